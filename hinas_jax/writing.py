"""Files are written whole or not at all: under a temporary name, onto the disk, then renamed."""

from __future__ import annotations

import os
from pathlib import Path


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
    path = path.resolve()
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(written)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


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
