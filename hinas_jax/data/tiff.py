"""What a TIFF file says of itself, read before any decoder takes memory for it."""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

#: The first bytes of a TIFF file: its byte order, and whether it is a BigTIFF.
_KINDS: Final = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}

_OFFSETS: Final = (273, 324)  # of strips, of tiles
_MOST_TAGS: Final = 65535


def count_parts(file: BinaryIO) -> int:
    """How many strips or tiles the first picture of a TIFF claims; 0 for other and damaged files.

    The file is left at its start.
    """
    try:
        kind = _KINDS.get(file.read(4))
        return 0 if kind is None else _most_offsets(file, *kind)
    except struct.error:
        return 0
    finally:
        file.seek(0)


def _most_offsets(file: BinaryIO, order: str, big: bool) -> int:
    if big:
        file.seek(8)
    place, count, entry = ("Q", "Q", "HHQ8x") if big else ("I", "H", "HHI4x")
    file.seek(min(_unpack(file, order + place)[0], 2**62))
    (tags,) = _unpack(file, order + count)
    entries = struct.iter_unpack(order + entry, _whole(file.read(min(tags, _MOST_TAGS) * (20 if big else 12)), big))
    return max((values for tag, _, values in entries if tag in _OFFSETS), default=0)


def _unpack(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _whole(entries: bytes, big: bool) -> bytes:
    return entries[: len(entries) - len(entries) % (20 if big else 12)]
