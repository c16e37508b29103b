"""Depthwise convolutions as sums of shifted features, which is what a CPU does fastest.

Convolutions of one channel each are slow there, and composing them with the pointwise convolution after them takes
several times the operations (docs/performance.md). Sums are float32 whatever the type of the features.
"""

from __future__ import annotations

import functools
from typing import Final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: How many pieces of a picture the gradient by the kernel adds up value by value, at most.
PIECES: Final = 8


@jax.custom_vjp
def depthwise(
    x: Float[Array, "batch height width channel"], kernel: Float[Array, "size size channel"]
) -> Float[Array, "batch height width channel"]:
    """Convolve channel by channel; the size is kept. In reverse mode only: ``jax.jvp`` refuses it."""
    size, (height, width) = kernel.shape[0], x.shape[1:3]
    padded, weights = _padded(x, size), kernel.astype(jnp.float32)
    shifts = [padded[:, i : i + height, j : j + width] * weights[i, j] for i in range(size) for j in range(size)]
    return functools.reduce(jnp.add, shifts).astype(x.dtype)


def _forward(
    x: Float[Array, "batch height width channel"], kernel: Float[Array, "size size channel"]
) -> tuple[Float[Array, "batch height width channel"], tuple[Array, Array]]:
    return depthwise(x, kernel), (x, kernel)


def _backward(
    kept: tuple[Array, Array], gradient: Float[Array, "batch height width channel"]
) -> tuple[Float[Array, "batch height width channel"], Float[Array, "size size channel"]]:
    x, kernel = kept
    return depthwise(gradient, kernel[::-1, ::-1]), _by_kernel(x, gradient, len(kernel)).astype(kernel.dtype)


depthwise.defvjp(_forward, _backward)


def _by_kernel(
    x: Float[Array, "batch height width channel"], gradient: Float[Array, "batch height width channel"], size: int
) -> Float[Array, "size size channel"]:
    """For each pixel of the kernel the sum of the shifted features times the gradient.

    Floating-point sums keep their order, so that XLA:CPU adds up a channel one number after the other. Pieces of a
    picture are therefore first added value by value, and what is left is a product with ones.
    """
    _, height, width, channels = gradient.shape
    padded, gradient = _padded(x, size), gradient.astype(jnp.float32)
    pieces = max(count for count in range(1, PIECES + 1) if height % count == 0)
    tall = height // pieces

    def kernel_row(i: Array, kernel: Float[Array, "size size channel"]) -> Float[Array, "size size channel"]:
        sums = []
        for j in range(size):
            products = [
                jax.lax.dynamic_slice_in_dim(padded, i + top, tall, axis=1)[:, :, j : j + width]
                * gradient[:, top : top + tall]
                for top in range(0, height, tall)
            ]
            sums.append(functools.reduce(jnp.add, products).reshape(-1, channels))
        ones = jnp.ones(len(sums[0]))
        return kernel.at[i].set(jnp.stack([ones @ total for total in sums]))

    found: Float[Array, "size size channel"]
    found = jax.lax.fori_loop(0, size, kernel_row, jnp.zeros((size, size, channels)))
    return found


def _padded(
    x: Float[Array, "batch height width channel"], size: int
) -> Float[Array, "batch padded_height padded_width channel"]:
    """Float32 features with so many zeros around them that a kernel of ``size`` finds some everywhere."""
    edge = size // 2
    return jnp.pad(x.astype(jnp.float32), ((0, 0), (edge, edge), (edge, edge), (0, 0)))
