"""Finding the pictures of a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from hinas_jax.data.pictures import PictureError

#: The suffixes, in lower case, of the files that are taken for pictures.
PICTURE_SUFFIXES: Final = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def refuse(error: PictureError) -> None:
    """Raise what makes a file or a folder unusable."""
    raise error


def find_pictures(folder: Path, unlisted: Callable[[PictureError], None] = refuse) -> list[Path]:
    """List the pictures in a folder and in all folders below it, sorted by their path within it.

    Hidden files and folders are left out. Links to folders are followed, but no folder is visited twice.

    Args:
        folder: where to look.
        unlisted: what becomes of a folder below it that cannot be listed; by default it is raised.

    Raises:
        PictureError: there is no such folder, it cannot be looked at, or it holds no pictures.
    """
    try:
        there, is_folder = folder.exists(), folder.is_dir()
    except OSError as error:
        raise PictureError(f"{folder}: cannot be read ({error.strerror}); check the path") from None
    if not there:
        raise PictureError(f"{folder}: there is no such folder; check the path")
    if not is_folder:
        raise PictureError(f"{folder}: this is a file; name the folder that holds the pictures")
    found = [path for path in _visible_files(folder, unlisted) if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        looked_for = " ".join(PICTURE_SUFFIXES)
        raise PictureError(f"{folder}: no pictures here or in folders below; put some in ({looked_for})")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _visible_files(folder: Path, unlisted: Callable[[PictureError], None]) -> Iterator[Path]:
    visited: set[tuple[int, int]] = set()

    def tell(error: OSError) -> None:
        unlisted(PictureError(f"{error.filename}: cannot be listed ({error.strerror}); change its permissions"))

    for name, subfolders, files in os.walk(folder, onerror=tell, followlinks=True):
        parent = Path(name)
        identity = (parent.stat().st_dev, parent.stat().st_ino)
        # Sorted, so that of several links to one folder the same one wins everywhere.
        subfolders[:] = sorted(sub for sub in subfolders if not sub.startswith("."))
        if identity in visited:
            subfolders.clear()
            continue
        visited.add(identity)
        yield from (parent / file for file in files if not file.startswith("."))
