"""What is particular to TIFF: how many parts a file claims, told before memory is taken, and libtiff's remarks."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
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
