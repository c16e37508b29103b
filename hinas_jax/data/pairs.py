"""Pairs of pictures that show the same thing clean and degraded, as two folders: DIR/clean and DIR/degraded.

A pair has the same place and name in both (suffixes may differ) and the same size, pixel upon pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import UInt8

from hinas_jax.data.finding import find_pictures, refuse
from hinas_jax.data.pictures import PictureError, read_picture

CLEAN: Final = "clean"
DEGRADED: Final = "degraded"


def find_pairs(folder: Path, unusable: Callable[[PictureError], None] = refuse) -> dict[str, tuple[Path, Path]]:
    """The clean and the degraded file of each name (its path within DIR/clean, without suffix).

    Args:
        folder: holds the folders ``clean`` and ``degraded``.
        unusable: what becomes of a picture without a partner, and of a folder that cannot be listed; by default it is
            raised.

    Raises:
        PictureError: a folder is missing or empty.
    """
    sides = [folder / CLEAN, folder / DEGRADED]
    for side in sides:
        if not side.is_dir():
            raise PictureError(f"{folder}: pairs need the folders {CLEAN} and {DEGRADED}; there is no {side}")
    clean, degraded = (
        {path.relative_to(side).with_suffix("").as_posix(): path for path in find_pictures(side, unusable)}
        for side in sides
    )
    for name in sorted(clean.keys() ^ degraded.keys()):
        there, side = (clean[name], sides[1]) if name in clean else (degraded[name], sides[0])
        unusable(PictureError(f"{there}: has no partner {name} in {side}; add it or take the picture away"))
    return {name: (clean[name], degraded[name]) for name in clean if name in degraded}


def read_pair(clean: Path, degraded: Path, channels: Literal[1, 3]) -> UInt8[np.ndarray, "height width two_pictures"]:
    """Both pictures as one of twice the channels, the clean one first: what is cropped and turned together.

    Raises:
        PictureError: a picture cannot be read, or their sizes differ.
    """
    return stacked(read_picture(clean, channels), read_picture(degraded, channels), str(degraded))


def stacked(
    clean: UInt8[np.ndarray, "height width channel"], degraded: UInt8[np.ndarray, "height width channel"], name: str
) -> UInt8[np.ndarray, "height width two_pictures"]:
    """Two pictures as one of twice the channels.

    Raises:
        PictureError: their sizes differ; the message begins with ``name``.
    """
    if clean.shape != degraded.shape:
        (height, width), (degraded_height, degraded_width) = clean.shape[:2], degraded.shape[:2]
        raise PictureError(
            f"{name}: {degraded_width}x{degraded_height} pixels, but its clean picture has {width}x{height};"
            " a pair must show the same pixels"
        )
    return np.concatenate([clean, degraded], axis=-1)
