"""The two protocols by which one picture is measured.

standard: whole pictures, degraded once with the seed. Super-resolution: the output clipped and rounded to 8 bits, Y of
    BT.601 studio range kept as float, ``scale`` pixels of border cropped. All other tasks: all pixels and channels,
    the output neither clipped nor rounded; nor is the noise of denoising.
released: as the authors' test code measures, for comparison with the paper's rows only. Denoising: tiles of 64 pixels
    at a stride of 48, FRESH noise for every tile, overlaps averaged. Super-resolution: Y with the weights of R and B
    swapped, no border cropped, nothing rounded, SSIM over the zero-padded picture. Other tasks: refused.
Both: the mean over pictures of each picture's PSNR and SSIM.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hinas_jax.data.colour import luma
from hinas_jax.metrics import SSIM_WINDOW, psnr, ssim
from hinas_jax.tasks import Task, crop_to_multiple
from hinas_jax.tiling import tile_starts

Protocol = Literal["standard", "released"]
Picture = Float[np.ndarray, "height width channel"]
Restorer = Callable[[Picture, Picture], Picture]  #: degraded picture, clean one (for bounds only) -> restored

RELEASED_TILE: Final = 64
RELEASED_OVERLAP: Final = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """One picture, clean, degraded and restored, in [0, 1] but for noise and what is left of it, and its score."""

    clean: Picture
    degraded: Picture
    """Of super-resolution smaller by the scale."""
    restored: Picture
    psnr: float
    ssim: float


def measure(
    task: Task, restorer: Restorer, pixels: np.ndarray, protocol: Protocol, key: jax.Array
) -> tuple[float, float]:
    """PSNR and SSIM of one picture, degraded, restored and compared as the protocol says."""
    if is_tiled(protocol, task):
        clean = _whole(pixels, task)
        return _compare(task, _restore_fresh_tiles(task, restorer, clean, key), clean, protocol)
    _, clean, restored = _restored(task, restorer, pixels, key)
    return _compare(task, restored, clean, protocol)


def example(task: Task, restorer: Restorer, pixels: np.ndarray, number: int, seed: int = 0) -> Example:
    """One picture with all that ``evaluate`` measures of it by the protocol ``standard``.

    Args:
        task: at one strength.
        restorer: a network or a baseline.
        pixels: the picture, as it lies in its set: uint8 of shape [height, width, channel].
        number: its place in the set, counted from 0: that, with the seed, tells the noise.
        seed: of the evaluation.
    """
    degraded, clean, restored = _restored(task, restorer, pixels, noise_key(seed, number))
    return Example(clean, degraded, restored, *_compare(task, restored, clean, "standard"))


def noise_key(seed: int, number: int) -> jax.Array:
    """The key of picture ``number`` of a set, counted from 0: with it each picture has noise of its own."""
    return jax.random.fold_in(jax.random.key(seed), number)


def _compare(task: Task, restored: Picture, clean: Picture, protocol: Protocol) -> tuple[float, float]:
    if task.comparison == "luma":
        restored, clean = (_luma_of_output(picture, protocol, task.scale) for picture in (restored, clean))
        if protocol == "released":
            padding = SSIM_WINDOW // 2
            padded = [np.pad(x, ((padding, padding), (padding, padding), (0, 0))) for x in (restored, clean)]
            return float(_psnr(restored, clean)), float(_ssim(*padded))
    return psnr_and_ssim(restored, clean)


def psnr_and_ssim(restored: Picture, clean: Picture) -> tuple[float, float]:
    """PSNR in dB and SSIM of two pictures in [0, 1]."""
    return float(_psnr(restored, clean)), float(_ssim(restored, clean))


def is_tiled(protocol: Protocol, task: Task) -> bool:
    """Whether the protocol measures this task on tiles, each with noise of its own."""
    return protocol == "released" and task.comparison == "pixels"


def _whole(pixels: np.ndarray, task: Task) -> Picture:
    return crop_to_multiple(pixels, task.scale).astype(np.float32) / 255


def _restored(task: Task, restorer: Restorer, pixels: np.ndarray, key: jax.Array) -> tuple[Picture, Picture, Picture]:
    """A whole picture degraded, clean and restored."""
    degraded, clean = (np.asarray(picture) for picture in _pair(task, key, _whole(pixels, task)))
    return degraded, clean, restorer(degraded, clean)


def _restore_fresh_tiles(task: Task, restorer: Restorer, clean: Picture, key: jax.Array) -> Picture:
    total, weight = np.zeros_like(clean), np.zeros_like(clean)
    rows, columns = (tile_starts(side, RELEASED_TILE, RELEASED_OVERLAP) for side in clean.shape[:2])
    for number, (y, x) in enumerate((y, x) for y in rows for x in columns):
        place = (slice(y, y + RELEASED_TILE), slice(x, x + RELEASED_TILE))
        noisy, _ = _pair(task, jax.random.fold_in(key, number), clean[place])
        total[place] += restorer(np.asarray(noisy), clean[place])
        weight[place] += 1
    mean: Picture = total / weight
    return mean


def _luma_of_output(picture: Picture, protocol: Protocol, border: int) -> Picture:
    if protocol == "released":
        return _luma(picture[..., ::-1])
    rounded = np.round(np.clip(picture, 0, 1) * 255) / 255
    return _luma(rounded)[border:-border, border:-border]


def _luma(picture: Picture) -> Picture:
    return np.asarray(luma(jnp.asarray(picture))) if picture.shape[-1] == 3 else picture


_psnr = jax.jit(psnr)
_ssim = jax.jit(ssim)
_pair = jax.jit(lambda task, key, given: task.pair(key, given), static_argnums=0)
