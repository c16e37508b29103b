"""Bicubic resizing that agrees with MATLAB's ``imresize``: how the benchmarks degrade, and the baseline.

Images are floating and NHWC: any leading axes, then height, width, channel. Where a function quantises, their
values lie in [0, 1]. A resize is linear and separable, so it is one matrix per axis; the matrices follow from
the sizes alone and are computed in float64 while tracing, whatever the dtype of the image.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

#: What lies beyond the border: the image mirrored (MATLAB today), or its last pixels repeated (older MATLAB,
#: which made the low-resolution pictures of Set14).
Border = Literal["symmetric", "replicate"]

_KERNEL_RADIUS: Final = 2
_TAPS: Final = 2 * _KERNEL_RADIUS + 1  # pixels that an enlarged one can depend on, per axis
_TOP_LEVEL: Final = 255.0


def resize(
    image: Float[Array, "*batch height width channel"],
    out_height: int,
    out_width: int,
    *,
    scale: float | None = None,
    antialias: bool = True,
    border: Border = "symmetric",
    quantise: bool = False,
) -> Float[Array, "*batch {out_height} {out_width} channel"]:
    """Resize as MATLAB's ``imresize`` does, in the dtype of the image (float32 or float64).

    Without ``scale`` each axis is scaled by out / in, as in ``imresize(image, [out_height out_width])``. With
    it both axes use ``scale``, whatever the sizes, as in ``imresize(image, scale)``, which makes
    ceil(scale * size) pixels.

    ``antialias`` widens the kernel where an axis shrinks. ``quantise`` takes the image as 8-bit levels / 255
    and rounds and clips to such levels after each of the two passes, as MATLAB does for uint8. The axis with
    the smaller scale goes first; of equal ones, the rows. Unquantised values may overshoot [0, 1].

    The sizes are static. The function can be jitted, mapped and, unless it quantises, differentiated.

    Raises:
        TypeError: the image is not floating.
        ValueError: the image has less than three axes or no pixels, an output size or the scale is not
            positive, or the border is not one of the two.
    """
    _check_image(image)
    _check_target(out_height, out_width, scale, border)
    height, width = image.shape[-3:-1]
    row_scale = scale or out_height / height
    column_scale = scale or out_width / width
    rows = _matrix(height, out_height, row_scale, antialias, border)
    columns = _matrix(width, out_width, column_scale, antialias, border)

    passes = [("oh,...hwc->...owc", rows), ("ow,...hwc->...hoc", columns)]
    if column_scale < row_scale:
        passes.reverse()
    values = _round_to_level(image * _TOP_LEVEL) if quantise else image
    for equation, matrix in passes:
        weights = jnp.asarray(matrix, image.dtype)
        # Full precision: matrix units would otherwise multiply in bfloat16 or TF32.
        values = jnp.einsum(equation, weights, values, precision=jax.lax.Precision.HIGHEST)
        values = _round_to_level(values) if quantise else values
    return values / _TOP_LEVEL if quantise else values


def downsample(
    image: Float[Array, "*batch height width channel"], scale: int, *, border: Border = "symmetric"
) -> Float[Array, "*batch low_height low_width channel"]:
    """Make the low-resolution picture of the benchmarks: ``imresize(image, 1 / scale)`` of an 8-bit image.

    The image has values k / 255, and so has the result; its sizes are ceil(size / scale).

    Raises:
        TypeError: the image is not floating.
        ValueError: the image has less than three axes or no pixels, ``scale`` is less than 1, or the
            border is not one of the two.
    """
    _check_image(image)
    _check_factor(scale)
    low_height, low_width = (-(-size // scale) for size in image.shape[-3:-1])
    return resize(image, low_height, low_width, scale=1 / scale, border=border, quantise=True)


def upsample(
    image: Float[Array, "*batch height width channel"], scale: int
) -> Float[Array, "*batch {scale}*height {scale}*width channel"]:
    """Enlarge by a whole factor: ``imresize(image, scale)`` in float, nothing rounded or clipped.

    Equals ``resize`` to the same size. Since every pixel is enlarged by the same few weights, this needs
    neither matrices nor fixed sizes: it also traces with symbolic ones, declared to be at least 2.

    Raises:
        TypeError: the image is not floating.
        ValueError: the image has less than three axes or no pixels, or ``scale`` is less than 1.
    """
    _check_image(image)
    _check_factor(scale)
    for axis in (image.ndim - 3, image.ndim - 2):
        image = _enlarge(image, scale, axis)
    return image


def _enlarge(image: Float[Array, "..."], scale: int, axis: int) -> Float[Array, "..."]:
    size = image.shape[axis]
    margins = [(0, 0)] * image.ndim
    margins[axis] = (_KERNEL_RADIUS, _KERNEL_RADIUS)
    padded = jnp.pad(image, margins, mode="symmetric")
    neighbours = [jax.lax.slice_in_dim(padded, tap, tap + size, axis=axis) for tap in range(_TAPS)]
    phases = [_weighted_sum(weights, neighbours) for weights in _phase_weights(scale)]
    interleaved = jnp.stack(phases, axis=axis + 1)
    return interleaved.reshape(*image.shape[:axis], size * scale, *image.shape[axis + 1 :])


def _phase_weights(scale: int) -> list[list[float]]:
    """For each of the ``scale`` pixels that replace one: the weights of that one and its neighbours."""
    matrix = _matrix(_TAPS, _TAPS * scale, float(scale), True, "symmetric")
    middle = matrix[_KERNEL_RADIUS * scale : (_KERNEL_RADIUS + 1) * scale]
    return [[float(weight) for weight in row] for row in middle]


def _weighted_sum(weights: list[float], images: list[Float[Array, "..."]]) -> Float[Array, "..."]:
    terms = [weight * image for weight, image in zip(weights, images, strict=True) if weight]
    return functools.reduce(operator.add, terms)


@functools.lru_cache(maxsize=32)
def _matrix(
    size: int, out_size: int, scale: float, antialias: bool, border: Border
) -> Float[np.ndarray, "{out_size} {size}"]:
    """The matrix that resizes one axis; its rows sum to 1. It is shared, hence read-only."""
    shrink = min(scale, 1.0) if antialias else 1.0
    radius = _KERNEL_RADIUS / shrink
    centres = (np.arange(out_size)[:, None] + 0.5) / scale - 0.5
    # Every pixel within the radius; one that is beyond it has weight zero.
    positions = np.floor(centres - radius) + np.arange(math.ceil(2 * radius) + 1)
    weights = _cubic(shrink * (centres - positions))
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((out_size, size))
    np.add.at(matrix, (np.arange(out_size)[:, None], _inside(positions, size, border)), weights)
    matrix.flags.writeable = False
    return matrix


def _cubic(offset: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The cubic convolution kernel of Keys (1981) with a = -1/2."""
    d = np.abs(offset)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d <= 2, far, 0.0))


def _inside(positions: Float[np.ndarray, "..."], size: int, border: Border) -> Int[np.ndarray, "..."]:
    """The index of the pixel that stands for each position, also for one beyond the border."""
    indices = positions.astype(np.int64)
    if border == "replicate":
        return indices.clip(0, size - 1)
    wrapped = indices % (2 * size)
    return np.where(wrapped < size, wrapped, 2 * size - 1 - wrapped)


def _round_to_level(values: Float[Array, "..."]) -> Float[Array, "..."]:
    # Halves go up, as in MATLAB; jnp.round would take them to the even neighbour.
    return jnp.clip(jnp.floor(values + 0.5), 0.0, _TOP_LEVEL)


def _check_image(image: Float[Array, "..."]) -> None:
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(f"the image must be floating, not {image.dtype}")
    if image.ndim < 3 or 0 in image.shape[-3:]:
        raise ValueError(f"the image must have a height, a width and channels; its shape is {image.shape}")


def _check_target(out_height: int, out_width: int, scale: float | None, border: str) -> None:
    if out_height < 1 or out_width < 1:
        raise ValueError(f"the output must have at least one pixel, not {out_height} x {out_width}")
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"the scale must be a positive number, not {scale}")
    if border not in ("symmetric", "replicate"):
        raise ValueError(f"the border must be 'symmetric' or 'replicate', not {border!r}")


def _check_factor(scale: int) -> None:
    if scale < 1:
        raise ValueError(f"the factor must be 1 or more, not {scale}")
