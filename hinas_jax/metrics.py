"""PSNR and SSIM. Pictures are floats in [0, 1], NHWC or HWC; one number a picture comes back."""

from __future__ import annotations

from typing import Final

import dm_pix
import jax.numpy as jnp
from jaxtyping import Array, Float

SSIM_WINDOW: Final = 11  #: side of the SSIM's window in pixels, the least side of a picture


def psnr(
    restored: Float[Array, "*batch height width channel"], clean: Float[Array, "*batch height width channel"]
) -> Float[Array, "*batch"]:
    """Peak signal-to-noise ratio in dB, over all pixels and channels of each picture; infinite where equal."""
    return -10.0 * jnp.log10(jnp.mean(jnp.square(restored - clean), axis=(-3, -2, -1)))


def ssim(
    restored: Float[Array, "*batch height width channel"], clean: Float[Array, "*batch height width channel"]
) -> Float[Array, "*batch"]:
    """Structural similarity (Wang et al. 2004), at most 1: 11x11 Gaussian window of sigma 1.5, valid positions only.

    Both sides of a picture must have 11 pixels or more.
    """
    return jnp.asarray(dm_pix.ssim(restored, clean))
