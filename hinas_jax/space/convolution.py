"""Convolutions of one source, of many edges, and of composed kernels. NHWC features, HWIO kernels, size kept.

Their gradient by the kernel is a computation of our own on CPU, where XLA runs its own form of it, a convolution with a
kernel of the picture's size, at a third of the speed (docs/performance.md).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

DIMENSIONS: Final = ("NHWC", "HWIO", "NHWC")

#: Fewer input channels than this leave the gradient by the kernel to XLA on CPU too: its matrices are then too thin.
FEWEST_CHANNELS_OF_TAPS: Final = 16


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

    A loop, not one grouped convolution: on CPU the grouped form takes 20 to 40 times as long, backward included.
    """
    outputs = [convolve(x[..., e, :], kernels[e], dilation) for e in range(kernels.shape[0])]
    return jnp.stack(outputs, axis=-2)


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(
    x: Float[Array, "batch height width channel"], kernel: Float[Array, "kernel kernel _ out"], dilation: int
) -> Float[Array, "batch height width out"]:
    """One convolution that keeps the size; a kernel of one input channel is depthwise."""
    return _convolve(x, kernel, dilation)


def _convolve(
    x: Float[Array, "batch height width channel"], kernel: Float[Array, "kernel kernel _ out"], dilation: int
) -> Float[Array, "batch height width out"]:
    return jax.lax.conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        (1, 1),
        "SAME",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=DIMENSIONS,
        feature_group_count=x.shape[-1] // kernel.shape[-2],
    )


def _forward(
    x: Float[Array, "batch height width channel"], kernel: Float[Array, "kernel kernel _ out"], dilation: int
) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, dilation), (x, kernel)


def _backward(dilation: int, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    by_x = jax.vjp(lambda x: _convolve(x, kernel, dilation), x)[1](gradient)[0]
    by_xla = functools.partial(_kernel_gradient_of_xla, kernel=kernel, dilation=dilation)
    dense = kernel.shape[-2] == x.shape[-1]
    if not dense or x.shape[-1] < FEWEST_CHANNELS_OF_TAPS:
        return by_x, by_xla(x, gradient)
    by_taps = functools.partial(kernel_gradient_by_taps, size=kernel.shape[0], dilation=dilation)
    by_kernel = jax.lax.platform_dependent(x, gradient, cpu=by_taps, default=by_xla)
    return by_x, by_kernel


convolve.defvjp(_forward, _backward)


def _kernel_gradient_of_xla(x: Array, gradient: Array, *, kernel: Array, dilation: int) -> Array:
    by_kernel: Array = jax.vjp(lambda kernel: _convolve(x, kernel, dilation), kernel)[1](gradient)[0]
    return by_kernel


def kernel_gradient_by_taps(
    x: Float[Array, "batch height width channel"],
    gradient: Float[Array, "batch height width out"],
    *,
    size: int,
    dilation: int,
) -> Float[Array, "kernel kernel channel out"]:
    """The gradient of a dense convolution by its kernel: for each tap, one product of two matrices over all pixels.

    Args:
        x: what was convolved.
        gradient: by the convolution's output.
        size: of the kernel's side, odd.
        dilation: of the kernel.
    """
    margin = dilation * (size // 2)
    padded = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    pixels = gradient.reshape(-1, gradient.shape[-1])

    def tap(number: Array) -> Float[Array, "channel out"]:
        row, column = jnp.divmod(number, size)
        seen = jax.lax.dynamic_slice(padded, (0, row * dilation, column * dilation, 0), x.shape)
        return jnp.matmul(seen.reshape(-1, x.shape[-1]).T, pixels, preferred_element_type=jnp.float32)

    taps: Array = jax.lax.map(tap, jnp.arange(size**2))
    return taps.reshape(size, size, *taps.shape[1:])
