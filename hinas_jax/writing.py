"""Files are written whole or not at all: under a temporary name, onto the disk, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file; a reader, a killed process or a power cut sees the old one or the new one, never a part.

    Args:
        path: the file; replaced if it is there. A link's target is written, and a device, say /dev/stdout, as it is.
        content: bytes, or text to write as UTF-8.

    Raises:
        OSError: it cannot be written; the old file stays, and nothing is left beside it.
    """
    written = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(written)
        return
    with replacing(path.resolve()) as file:
        file.write(written)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a hidden file beside ``path``, which takes its place once it is written without an error.

    A link at ``path`` is replaced, not followed. The hidden file's name is ``partial_name``: what a killed process left
    goes with the next writing of the same file.

    Raises:
        OSError: it cannot be written; the old file stays, and nothing is left beside it.
    """
    unfinished = path.with_name(partial_name(path.name))
    try:
        unfinished.unlink(missing_ok=True)
        with unfinished.open("x+b") as file:  # a new one: a link of that name would lead elsewhere
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def partial_name(name: str) -> str:
    """What a file is called while it is written: always the same, hidden, and short where ``name`` is long."""
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.part"


def append_line(path: Path, line: str) -> None:
    """Add a line of text to a file, and see it onto the disk.

    Raises:
        OSError: it cannot be written; a part of the line may stay.
    """
    with path.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
