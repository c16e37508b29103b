"""Colour, and alpha, of 16 bits: Pillow has no mode for it, so both bytes are read through it one after the other.

Of such a file Pillow keeps the high byte of every value. Told that the file has the other byte order, it keeps the low
one. PNG alone is written.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from typing import BinaryIO, Final

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import ImageFile

_NATIVE_OTHER: Final = "B" if sys.byteorder == "little" else "L"

#: Pillow's name for the layout of a file's pixels, and the one that gives the other byte of every value.
_OTHER_BYTE: Final = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", _NATIVE_OTHER))
}
_GREY_ALPHA: Final = "LA;16B"  # has no twin, but its four bytes can be read as those of RGBA

_BITS_PER_SAMPLE, _PLANAR_CONFIGURATION = 258, 284  # tags of TIFF
_ROWS_AT_ONCE: Final = 256
_PNG_COLOUR_TYPES: Final = {2: 4, 3: 2, 4: 6}  # channels: the number that PNG has for them


def is_deep_colour(image: ImageFile.ImageFile) -> bool:
    """Whether an opened file, not yet loaded, holds colour or alpha of 16 bits that can be read in full."""
    layouts = {_layout(tile) for tile in _tiles(image)}
    planes = getattr(image, "tag_v2", {}).get(_PLANAR_CONFIGURATION, 1) == 2  # of these Pillow gives high bytes only
    return len(layouts) == 1 and layouts <= {*_OTHER_BYTE, _GREY_ALPHA} and not planes


def is_misread(image: ImageFile.ImageFile) -> bool:
    """Whether an opened file holds 16 bits in separate planes, whose bytes Pillow takes for values."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return 16 in bits and any(len(_layout(tile)) == 1 for tile in _tiles(image))


def read_levels(
    high: ImageFile.ImageFile, low: ImageFile.ImageFile, load_upright: Callable[[ImageFile.ImageFile], None]
) -> UInt16[np.ndarray, "height width channel"]:
    """Decode both bytes of every value: grey with alpha, RGB, or RGB with alpha.

    Args:
        high: an opened file, not yet loaded, for which ``is_deep_colour``.
        low: the same file opened again, not yet loaded.
        load_upright: decodes an opened file and turns it upright, in place.
    """
    grey = _layout(_tiles(high)[0]) == _GREY_ALPHA
    low.tile = [_with_layout(tile, "RGBA" if grey else _OTHER_BYTE[_layout(tile)]) for tile in _tiles(low)]
    for image in (high, low):
        load_upright(image)
    second = np.asarray(low).astype(np.uint16)
    if grey:
        return second[..., 0::2] << 8 | second[..., 1::2]
    return np.asarray(high).astype(np.uint16) << 8 | second


def write_png(
    file: BinaryIO,
    levels: UInt16[np.ndarray, "height width channel"],
    icc_profile: bytes | None,
    exif: bytes | None,
    dpi: tuple[float, float] | None,
) -> None:
    """Write a PNG of 16 bits: grey with alpha (2 channels), RGB (3), or RGB with alpha (4)."""
    height, width, channels = levels.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOUR_TYPES[channels], 0, 0, 0))
    if icc_profile is not None:
        _write_chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    if exif is not None:
        _write_chunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if dpi is not None:
        per_metre = (round(value / 0.0254) for value in dpi)
        _write_chunk(file, b"pHYs", struct.pack(">IIB", *per_metre, 1))
    packer = zlib.compressobj()
    above = np.zeros((1, width * channels * 2), np.uint8)
    for start in range(0, height, _ROWS_AT_ONCE):
        rows = _bytes_of_rows(levels[start : start + _ROWS_AT_ONCE])
        differences = np.diff(rows, axis=0, prepend=above)  # PNG's filter 2, "up": modulo 256
        filtered = np.pad(differences, ((0, 0), (1, 0)), constant_values=2)
        _write_chunk(file, b"IDAT", packer.compress(filtered.tobytes()))
        above = rows[-1:]
    _write_chunk(file, b"IDAT", packer.flush())
    _write_chunk(file, b"IEND", b"")


def _tiles(image: ImageFile.ImageFile) -> list[ImageFile._Tile]:
    return list(image.tile)


def _layout(tile: ImageFile._Tile) -> str:
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _with_layout(tile: ImageFile._Tile, layout: str) -> ImageFile._Tile:
    return tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout)


def _bytes_of_rows(levels: UInt16[np.ndarray, "rows width channel"]) -> UInt8[np.ndarray, "rows byte"]:
    return np.ascontiguousarray(levels.astype(">u2")).view(np.uint8).reshape(len(levels), -1)


def _write_chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
