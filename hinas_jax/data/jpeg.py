"""What baseline JPEG leaves of a picture, in JAX: jit-able, also with a traced quality, on the device.

Images are floats in [0, 1], NHWC: any leading axes, then height, width, channel; they hold 8-bit levels, and so do the
results. Grey is coded as it is; RGB as YCbCr of full range with colour at half the resolution (4:2:0), which is what
Pillow and libjpeg do where nothing else is asked for. Rounding follows libjpeg step by step; its own DCT computes in
whole numbers, so now and then a level differs by one. Entropy coding loses nothing and is left out.
"""

from __future__ import annotations

import math
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BLOCK: Final = 8

#: ITU-T T.81, Annex K: the quantisation of quality 50, for Y (and grey) and for Cb and Cr.
_LUMA_TABLE: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_TABLE: Final = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)

#: R, G and B to Y, Cb and Cr (JFIF); Cb and Cr are then moved by 128.
_TO_YCBCR: Final = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
_TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def compress(
    image: Float[Array, "*batch height width channel"], quality: float | Float[Array, ""]
) -> Float[Array, "*batch height width channel"]:
    """The picture after being saved as JPEG at ``quality`` and read again.

    Args:
        image: 1 channel (grey) or 3 (RGB), values k / 255.
        quality: 1 (worst) to 100, a whole number; may be traced.

    Raises:
        ValueError: the image has neither 1 nor 3 channels.
    """
    if image.ndim < 3 or image.shape[-1] not in (1, 3):
        raise ValueError(f"the image must have 1 channel or 3; its shape is {image.shape}")
    levels = _rounded(image * 255)
    if image.shape[-1] == 1:
        return _coded(levels[..., 0], _scaled(_LUMA_TABLE, quality))[..., None] / 255
    y, blue, red = (
        _rounded(_mixed(levels, weights) + offset) for weights, offset in zip(_TO_YCBCR, (0, 128, 128), strict=True)
    )
    height, width = image.shape[-3:-1]
    y = _coded(y, _scaled(_LUMA_TABLE, quality))
    table = _scaled(_CHROMA_TABLE, quality)
    blue, red = (_doubled(_coded(_halved(part), table))[..., :height, :width] for part in (blue, red))
    coded = jnp.stack([y, blue - 128, red - 128], axis=-1)
    return jnp.stack([_rounded(_mixed(coded, weights)) for weights in _TO_RGB], axis=-1) / 255


def _scaled(table: tuple[tuple[int, ...], ...], quality: float | Float[Array, ""]) -> Float[Array, "8 8"]:
    """The table of a quality, by libjpeg's rule."""
    percent = jnp.where(jnp.asarray(quality) < 50, jnp.floor(5000 / jnp.asarray(quality)), 200 - 2 * quality)
    return jnp.clip(jnp.floor((jnp.asarray(table, jnp.float32) * percent + 50) / 100), 1, 255)


def _coded(plane: Float[Array, "*batch height width"], table: Float[Array, "8 8"]) -> Float[Array, "..."]:
    """A plane of levels after DCT, quantisation and back; what lacks to whole blocks repeats the last pixels."""
    height, width = plane.shape[-2:]
    padded = _padded(plane, -height % BLOCK, -width % BLOCK)
    tall, wide = (side // BLOCK for side in padded.shape[-2:])
    blocks = padded.reshape(*plane.shape[:-2], tall, BLOCK, wide, BLOCK) - 128
    steps = table[:, None, :]
    eighths = jnp.round(
        8 * _transformed(blocks, _cosines())
    )  # the precision that libjpeg keeps, without which ties flip
    scaled = eighths / (8 * steps)
    kept = jnp.sign(scaled) * jnp.floor(jnp.abs(scaled) + 0.5) * steps
    back = _transformed(kept, _cosines().T) + 128
    return _rounded(back.reshape(padded.shape)[..., :height, :width])


def _transformed(blocks: Float[Array, "..."], matrix: Float[np.ndarray, "8 8"]) -> Float[Array, "..."]:
    # Full precision: matrix units would otherwise multiply in bfloat16 or TF32.
    weights = jnp.asarray(matrix, blocks.dtype)
    rows = jnp.einsum("ui,...hiwj->...huwj", weights, blocks, precision=jax.lax.Precision.HIGHEST)
    return jnp.einsum("vj,...huwj->...huwv", weights, rows, precision=jax.lax.Precision.HIGHEST)


def _cosines() -> Float[np.ndarray, "8 8"]:
    """The orthonormal DCT of 8 samples."""
    frequency, sample = np.arange(BLOCK)[:, None], np.arange(BLOCK)[None, :]
    matrix = np.cos(math.pi * frequency * (2 * sample + 1) / (2 * BLOCK)) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


def _halved(plane: Float[Array, "*batch height width"]) -> Float[Array, "*batch half_height half_width"]:
    """Means of 2 x 2 pixels; halves are rounded down in even columns and up in odd ones, as libjpeg does."""
    height, width = plane.shape[-2:]
    # Columns are filled up before halving, rows (but one) after it: this too is libjpeg's way.
    padded = _padded(plane, height % 2, -width % (2 * BLOCK))
    sums = padded[..., ::2, ::2] + padded[..., ::2, 1::2] + padded[..., 1::2, ::2] + padded[..., 1::2, 1::2]
    return jnp.floor((sums + 1 + jnp.arange(sums.shape[-1]) % 2) / 4)[..., : -(-width // 2) + (-width % 16) // 2]


def _doubled(plane: Float[Array, "*batch height width"]) -> Float[Array, "*batch double_height double_width"]:
    """Enlarged twofold: each pixel three quarters of the nearest one and a quarter of the next, along both axes."""
    tall = _interleaved(plane, -2)
    return jnp.floor((_interleaved(tall, -1) + 7 + (jnp.arange(2 * plane.shape[-1]) % 2 == 0)) / 16)


def _interleaved(plane: Float[Array, "*batch height width"], axis: int) -> Float[Array, "..."]:
    """Three times each pixel plus the one before it, then plus the one after it, along ``axis``."""
    size = plane.shape[axis]
    before, after = (jnp.clip(jnp.arange(size) + step, 0, size - 1) for step in (-1, 1))
    pair = [3 * plane + jnp.take(plane, places, axis=axis) for places in (before, after)]
    shape = list(plane.shape)
    shape[axis] *= 2
    return jnp.stack(pair, axis=plane.ndim + axis + 1).reshape(shape)


def _mixed(image: Float[Array, "*batch height width 3"], weights: tuple[float, ...]) -> Float[Array, "..."]:
    first, second, third = (weight * image[..., i] for i, weight in enumerate(weights))
    return first + second + third


def _padded(plane: Float[Array, "*batch height width"], below: int, beside: int) -> Float[Array, "..."]:
    return jnp.pad(plane, [(0, 0)] * (plane.ndim - 2) + [(0, below), (0, beside)], mode="edge")


def _rounded(levels: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.clip(jnp.floor(levels + 0.5), 0, 255)
