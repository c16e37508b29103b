"""What is particular to TIFF: how many values a file claims, told before memory is taken, and libtiff's remarks."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

#: The first bytes of a TIFF file: its byte order, and whether it is a BigTIFF.
_KINDS: Final = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}

#: Tags that carry data for other programs: profiles, notes, layers. As bytes or text they may be of any length. All
#: others describe the picture, and of those Pillow makes an object of each value, whatever their type.
_DATA: Final = frozenset({270, 700, 33723, 34377, 34675, 37500, 37510, 37724, *range(40000, 65536)})
_BYTES: Final = frozenset({1, 2, 7})  # types that Pillow leaves as they are: bytes, text, undefined


def most_values(file: BinaryIO, most: int) -> int:
    """How many values a tag of the first picture of a TIFF claims at most; 0 for other and damaged files.

    Among them are the strips or tiles. Not counted are those of data for other programs, such as profiles.

    Args:
        file: read from its start, where it is left.
        most: as many tags are looked at; where there are more, their number is the answer.
    """
    try:
        kind = _KINDS.get(file.read(4))
        return 0 if kind is None else _most_values(file, most, *kind)
    except struct.error:
        return 0
    finally:
        file.seek(0)


@contextlib.contextmanager
def no_remarks() -> Iterator[None]:
    """Silence the process's standard error: libtiff writes there by itself what it thinks of a file."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _most_values(file: BinaryIO, most: int, order: str, big: bool) -> int:
    if big:
        file.seek(8)
    place, count, entry = ("Q", "Q", "HHQ8x") if big else ("I", "H", "HHI4x")
    file.seek(min(_unpack(file, order + place)[0], 2**62))
    (tags,) = _unpack(file, order + count)
    if tags > most:
        return tags
    entries = struct.iter_unpack(order + entry, _whole(file.read(tags * (20 if big else 12)), big))
    return max((values for tag, kind, values in entries if not (tag in _DATA and kind in _BYTES)), default=0)


def _unpack(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _whole(entries: bytes, big: bool) -> bytes:
    return entries[: len(entries) - len(entries) % (20 if big else 12)]
