"""Gaussian blur in JAX: jit-able, also with a traced width. Images are NHWC or HWC, floating."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def gaussian_blur(
    image: Float[Array, "*batch height width channel"], sigma: float | Float[Array, ""], radius: int
) -> Float[Array, "*batch height width channel"]:
    """Blur with a Gaussian kernel, mirrored at the border (edge pixels repeat).

    Args:
        image: any values.
        sigma: standard deviation in pixels, above 0; may be traced.
        radius: pixels that the kernel reaches to each side; what lies beyond is cut off and the rest sums to 1.

    Raises:
        ValueError: the image has less than three axes.
    """
    if image.ndim < 3:
        raise ValueError(f"the image must have a height, a width and channels; its shape is {image.shape}")
    weights = jnp.exp(-0.5 * jnp.square(jnp.arange(-radius, radius + 1) / sigma)).astype(image.dtype)
    weights = weights / weights.sum()
    for axis in (image.ndim - 3, image.ndim - 2):
        margins = [(radius, radius) if i == axis else (0, 0) for i in range(image.ndim)]
        padded = jnp.pad(image, margins, mode="symmetric")
        places = jnp.arange(image.shape[axis])
        # Sums of moved images and not a matrix product, which matrix units would compute in low precision.
        image = sum(
            (weight * jnp.take(padded, places + tap, axis=axis) for tap, weight in enumerate(weights)),
            start=jnp.zeros((), image.dtype),
        )
    return image
