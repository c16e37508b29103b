"""Finding the pictures of a folder: which, in which order, and an end where links lead in circles."""

import errno
import os
import re
from pathlib import Path

import pytest

from hinas_jax.data.finding import PICTURE_SUFFIXES, find_pictures
from hinas_jax.data.pictures import PictureError


def touch(folder: Path, *names: str):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_finds_every_visible_picture_in_order(tmp_path):
    pictures = [
        "a/b/deep.JPG",
        "a/z.tif",
        "a.png",
        "b.jpeg",
        "c.webp",
        "d.bmp",
        "e.ppm",
        "f.pgm",
        "g.tiff",
        "h.jpg",
        "i.gif",
    ]
    others = [".hidden.png", ".folder/x.png", "a/.thumbs/y.png", "notes.txt", "png", "x.png.part"]
    touch(tmp_path, *pictures, *others)
    (tmp_path / "folder.png").mkdir()

    found = find_pictures(tmp_path)

    assert [path.relative_to(tmp_path).as_posix() for path in found] == sorted(pictures)
    assert {path.suffix.lower() for path in found} == set(PICTURE_SUFFIXES)


def test_follows_links_but_not_in_circles(tmp_path):
    touch(tmp_path, "set/inner/a.png", "elsewhere/b.png")
    (tmp_path / "set" / "inner" / "up").symlink_to(tmp_path / "set", target_is_directory=True)
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "set" / "linked_again").symlink_to(tmp_path / "elsewhere", target_is_directory=True)

    found = find_pictures(tmp_path / "set")

    assert [path.relative_to(tmp_path / "set").as_posix() for path in found] == [
        "inner/a.png",
        "linked/b.png",
    ]


def test_a_folder_without_pictures_says_what_was_looked_for(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(PictureError, match=re.escape(f"{tmp_path}: no pictures")) as raised:
        find_pictures(tmp_path)
    assert all(suffix in str(raised.value) for suffix in PICTURE_SUFFIXES)


def test_a_missing_folder_and_a_file_are_told_apart(tmp_path):
    touch(tmp_path, "a.png")
    with pytest.raises(PictureError, match=r"nowhere: there is no such folder"):
        find_pictures(tmp_path / "nowhere")
    with pytest.raises(PictureError, match=r"a\.png: this is a file"):
        find_pictures(tmp_path / "a.png")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refuse_closed(folder):
        if Path(folder).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse_closed)
    with pytest.raises(PictureError, match=r"closed: cannot be listed \(Permission denied\)"):
        find_pictures(tmp_path)
    told = []
    assert find_pictures(tmp_path, told.append) == [tmp_path / "a.png"]
    assert [str(error).split(" (")[0] for error in told] == [f"{tmp_path}/closed: cannot be listed"]
