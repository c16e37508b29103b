"""The folder in which JAX keeps compiled programs between processes, rid of what is no whole program."""

from __future__ import annotations

import contextlib
import importlib
import os
import zlib
from pathlib import Path
from typing import Any, Final

_ENTRIES: Final = "*-cache"  # so JAX calls them
_STAMP: Final = ".checked"
_GRANULARITY: Final = 2.0  #: seconds by which a file's time may be wrong
_BLOCK: Final = 2**20
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


def drop_broken(folder: Path) -> int:
    """Remove the entries that do not unpack, and return how many these were.

    JAX writes an entry in place and never again while it is there: one cut short by a kill or a full disk would cost
    every later start two warnings and the compilation. Only entries written since the last call are looked at, so that
    a large folder costs nothing. One that another process is writing right now is taken from it: it compiles again.
    A folder that is not there or cannot be written is left as it is.
    """
    stamp, dropped = folder / _STAMP, 0
    with contextlib.suppress(OSError):
        entries = {path: path.stat().st_mtime for path in folder.glob(_ENTRIES)}
        checked = stamp.stat().st_mtime if stamp.exists() else 0.0
        newest = max(entries.values(), default=checked)
        for path, written in entries.items():
            if written >= checked - _GRANULARITY and not _is_whole(path):
                path.unlink(missing_ok=True)
                dropped += 1
        if folder.is_dir():
            stamp.touch()
            os.utime(stamp, (newest, newest))  # by the clock of the entries
    return dropped


def _is_whole(path: Path) -> bool:
    """Whether a packed file unpacks to its end; True where nothing here can tell."""
    with path.open("rb") as file:
        unpacker = _unpacker(file.read(len(_ZSTD)))
        if unpacker is None:
            return True
        file.seek(0)
        try:
            while not unpacker.eof and (block := file.read(_BLOCK)):
                unpacker.decompress(block)
        except Exception:  # each library has its own error for what is not packed
            return False
        return bool(unpacker.eof)


def _unpacker(start: bytes) -> Any:
    if start != _ZSTD:
        return zlib.decompressobj()
    for module, name in (("compression.zstd", "ZstdDecompressor"), ("zstandard", "ZstdDecompressor")):
        with contextlib.suppress(ImportError):
            found = getattr(importlib.import_module(module), name)()
            return found if hasattr(found, "eof") else found.decompressobj()
    return None
