"""Pictures as tiles of one fixed shape, and back. NumPy, HWC."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Shaped


def tile_starts(size: int, tile: int, overlap: int = 0) -> list[int]:
    """Where tiles start along one side: adjacent but for ``overlap``, the last flush with the border.

    A side no longer than a tile is one tile.

    Raises:
        ValueError: the overlap leaves no step.
    """
    if overlap >= tile:
        raise ValueError(f"tiles of {tile} pixels cannot overlap by {overlap}")
    last = max(size - tile, 0)
    return [*range(0, last, tile - overlap), last]


def cut_tiles(
    picture: Shaped[np.ndarray, "height width channel"], tile: int, overlap: int = 0
) -> Shaped[np.ndarray, "tiles tile_height tile_width channel"]:
    """All tiles of a picture, row by row; they are smaller than ``tile`` only where the picture is."""
    return np.stack(list(each_tile(picture, tile, overlap)))


def each_tile(
    picture: Shaped[np.ndarray, "height width channel"], tile: int, overlap: int = 0
) -> Iterator[Shaped[np.ndarray, "tile_height tile_width channel"]]:
    """The tiles of ``cut_tiles`` one by one, as views of the picture."""
    height, width = picture.shape[:2]
    for y in tile_starts(height, tile, overlap):
        for x in tile_starts(width, tile, overlap):
            yield picture[y : y + tile, x : x + tile]


def join_tiles(
    tiles: Iterable[Float[np.ndarray, "tile_height tile_width channel"]],
    height: int,
    width: int,
    tile: int,
    overlap: int = 0,
) -> Float[np.ndarray, "clean_height clean_width channel"]:
    """Put restored tiles together.

    Where tiles overlap, each side of the overlap's middle comes from the tile it is deeper inside of, so with an
    overlap of twice the receptive radius the result equals the whole picture's.

    Args:
        tiles: restored tiles, taken one by one, in the order of ``cut_tiles``; they may be larger than ``tile`` by a
            whole factor.
        height: of the degraded picture.
        width: of the degraded picture.
        tile: side of the degraded tiles.
        overlap: as given to ``cut_tiles``.
    """
    first, tiles = _peek(tiles)
    scale = first.shape[0] // min(tile, height)
    picture = np.empty((height * scale, width * scale, first.shape[-1]), first.dtype)
    places = [(y, x) for y in _spans(height, tile, overlap) for x in _spans(width, tile, overlap)]
    for restored, ((y, top, bottom), (x, left, right)) in zip(tiles, places, strict=True):
        inside = restored[(top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale]
        picture[top * scale : bottom * scale, left * scale : right * scale] = inside
    return picture


def _peek(
    tiles: Iterable[Float[np.ndarray, "tile_height tile_width channel"]],
) -> tuple[
    Float[np.ndarray, "tile_height tile_width channel"], Iterator[Float[np.ndarray, "tile_height tile_width channel"]]
]:
    rest = iter(tiles)
    first = next(rest)
    return first, itertools.chain([first], rest)


def _spans(size: int, tile: int, overlap: int) -> list[tuple[int, int, int]]:
    """(start of the tile, first and end of what it contributes), for each tile along one side."""
    starts = tile_starts(size, tile, overlap)
    cuts = [0, *((after + before + tile) // 2 for before, after in itertools.pairwise(starts)), size]
    return list(zip(starts, cuts[:-1], cuts[1:], strict=True))
