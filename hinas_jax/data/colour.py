"""Colour to grey and to luma, as the benchmarks of image restoration define them."""

from __future__ import annotations

from typing import Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

#: The weights of R, G and B in MATLAB's rgb2gray, in millionths.
_GREY_MILLIONTHS: Final = (298_936, 587_043, 114_021)

#: The weights of R, G and B, and the offset, of ITU-R BT.601 luma in studio range, in levels of 255.
_LUMA_WEIGHTS: Final = (65.481, 128.553, 24.966)
_LUMA_OFFSET: Final = 16.0


def to_grey(rgb: UInt8[np.ndarray, "*batch height width 3"]) -> UInt8[np.ndarray, "*batch height width 1"]:
    """Convert as MATLAB's ``rgb2gray`` does, bit for bit, in full range: 0 to 255.

    Raises:
        TypeError: the picture is not uint8.
        ValueError: the last axis does not hold three channels.
    """
    if rgb.dtype != np.uint8:
        raise TypeError(f"the picture must be uint8, not {rgb.dtype}")
    _check_three_channels(rgb.shape)
    # In whole numbers, so that nothing depends on the order of a floating sum.
    millionths = rgb.astype(np.uint32) @ np.array(_GREY_MILLIONTHS, np.uint32)
    return ((millionths + 500_000) // 1_000_000).astype(np.uint8)[..., None]


def luma(rgb: Float[Array, "*batch height width 3"]) -> Float[Array, "*batch height width 1"]:
    """Compute Y of YCbCr by ITU-R BT.601 in studio range: [0, 1] becomes [16/255, 235/255], not rounded.

    Raises:
        TypeError: the image is not floating.
        ValueError: the last axis does not hold three channels.
    """
    if not jnp.issubdtype(rgb.dtype, jnp.floating):
        raise TypeError(f"the image must be floating, with values in [0, 1], not {rgb.dtype}")
    _check_three_channels(rgb.shape)
    # A sum and not a matrix product, which matrix units would compute in low precision.
    red, green, blue = (weight * rgb[..., i : i + 1] for i, weight in enumerate(_LUMA_WEIGHTS))
    return (red + green + blue + _LUMA_OFFSET) / 255.0


def _check_three_channels(shape: tuple[int, ...]) -> None:
    if not shape or shape[-1] != 3:
        raise ValueError(f"the last axis must hold R, G and B, but the shape is {shape}")
