"""Convolutions of one source, of many edges, and of composed kernels. NHWC features, HWIO kernels, size kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hinas_jax.space.depthwise import depthwise

DIMENSIONS: Final = ("NHWC", "HWIO", "NHWC")


def convolve_source(
    x: Float[Array, "batch height width channel"],
    kernels: Float[Array, "edge kernel kernel channel out"],
    dilation: int,
) -> Float[Array, "batch height width edge out"]:
    """Convolve one source with the kernels of all its edges: one convolution, outputs stacked on the channels."""
    edges, size, _, channels, out = kernels.shape
    stacked = kernels.transpose(1, 2, 3, 0, 4).reshape(size, size, channels, edges * out)
    y = convolve(x, stacked, dilation)
    return y.reshape(*y.shape[:-1], edges, out)


def convolve_edges(
    x: Float[Array, "batch height width edge channel"],
    kernels: Float[Array, "edge kernel kernel channel out"],
    dilation: int,
) -> Float[Array, "batch height width edge out"]:
    """Convolve every edge's own features with its own kernel.

    A loop, not one grouped convolution, which takes 1.2 to 1.9 times as long on CPU (docs/performance.md).
    """
    outputs = [convolve(x[..., e, :], kernels[e], dilation) for e in range(kernels.shape[0])]
    return jnp.stack(outputs, axis=-2)


def convolve_apart(
    x: Float[Array, "batch height width channel"],
    depthwise_kernel: Float[Array, "kernel kernel _ channel"],
    pointwise: Float[Array, "1 1 channel out"],
) -> Float[Array, "batch height width out"]:
    """Convolve depthwise, then pointwise; on a CPU this is faster than a composed kernel (docs/performance.md)."""
    y = depthwise(x, depthwise_kernel[:, :, 0])
    # one axis of positions: of several, XLA:CPU transposes all features for the gradient by the kernel
    flat = y.reshape(-1, y.shape[-1])
    return (flat @ pointwise[0, 0].astype(y.dtype)).reshape(*y.shape[:-1], -1)


def convolve_in_turn(
    x: Float[Array, "batch height width channel"],
    kernels: Sequence[Float[Array, "kernel kernel _ out"]],
    dilation: int,
) -> Float[Array, "batch height width out"]:
    """One convolution after the other; a kernel of one input channel is depthwise."""
    for kernel in kernels:
        x = convolve(x, kernel, dilation)
    return x


def compose(
    first: Float[Array, "edge kernel kernel _ channel"], pointwise: Float[Array, "edge 1 1 channel out"] | None = None
) -> Float[Array, "edge kernel kernel channel out"]:
    """The dense kernel that does a depthwise and then a pointwise convolution at once (nothing stands between them).

    A dense kernel alone is what it is.
    """
    return first if pointwise is None else jnp.swapaxes(first, -1, -2) * pointwise


def convolve(
    x: Float[Array, "batch height width channel"], kernel: Float[Array, "kernel kernel _ out"], dilation: int
) -> Float[Array, "batch height width out"]:
    """One convolution that keeps the size; a kernel of one input channel is depthwise."""
    return jax.lax.conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        (1, 1),
        "SAME",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=DIMENSIONS,
        feature_group_count=x.shape[-1] // kernel.shape[-2],
    )
