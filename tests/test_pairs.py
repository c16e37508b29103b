"""Pairs: found by name in both folders, of one size, kept together."""

import os

import numpy as np
import pytest
from PIL import Image

from hinas_jax.data.pairs import find_pairs, read_pair
from hinas_jax.data.pictures import PictureError
from hinas_jax.data.sources import load_pictures


def write(path, value, size=(4, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
    return path


def test_a_pair_has_one_name_in_both_folders_whatever_the_suffix(tmp_path):
    clean, degraded = write(tmp_path / "clean" / "x" / "a.png", 1), write(tmp_path / "degraded" / "x" / "a.bmp", 2)
    assert find_pairs(tmp_path) == {"x/a": (clean, degraded)}
    assert read_pair(clean, degraded, 3)[0, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert read_pair(clean, degraded, 1)[0, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["clean/a.png"], "there is no .*degraded"),
        (["a.png"], "need the folders clean and degraded"),
        (["clean/a.png", "clean/b.png", "degraded/a.png"], r"clean.b\.png: has no partner b in .*degraded"),
        (["clean/a.png", "degraded/a.png", "degraded/b.png"], r"degraded.b\.png: has no partner b in .*clean"),
    ],
)
def test_a_picture_without_a_partner_is_told(tmp_path, files, words):
    for file in files:
        write(tmp_path / file, 0)
    with pytest.raises(PictureError, match=words) as told:
        find_pairs(tmp_path)
    assert "\n" not in str(told.value)


def test_training_leaves_out_pictures_without_a_partner_and_evaluation_refuses_them(tmp_path):
    for file in ("clean/a.png", "degraded/a.png", "clean/b.png", "degraded/c.png"):
        write(tmp_path / file, 0)
    said = []
    assert load_pictures(str(tmp_path), "train", 3, say=said.append, paired=True).names == ("a",)
    (line,) = said
    assert line.startswith("left out 2 of 3 pictures that cannot be used: ")
    assert "b.png: has no partner b" in line
    assert "c.png: has no partner c" in line
    with pytest.raises(PictureError, match=r"b\.png: has no partner b"):
        load_pictures(str(tmp_path), "all", 3, paired=True)


def test_a_folder_of_pairs_that_cannot_be_listed_is_left_out(tmp_path, monkeypatch):
    for name in ("a", "x/b"):
        for side in ("clean", "degraded"):
            write(tmp_path / side / f"{name}.png", 0)
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("degraded/x"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    said = []
    assert load_pictures(str(tmp_path), "train", 3, say=said.append, paired=True).names == ("a",)
    assert "degraded/x: cannot be listed (Permission denied)" in said[0]
    assert "b.png: has no partner x/b" in said[0]


def test_where_no_pair_is_left_training_is_refused(tmp_path):
    for file in ("clean/a.png", "degraded/b.png"):
        write(tmp_path / file, 0)
    with pytest.raises(PictureError, match=r"none of 2 pictures can be used: .*has no partner a"):
        load_pictures(str(tmp_path), "train", 3, say=[].append, paired=True)


def test_a_pair_of_two_sizes_is_told(tmp_path):
    clean, degraded = write(tmp_path / "a.png", 0), write(tmp_path / "b.png", 0, (4, 6))
    with pytest.raises(PictureError, match=r"b\.png: 6x4 pixels, but its clean picture has 5x4"):
        read_pair(clean, degraded, 3)


def test_a_folder_of_pairs_is_split_like_any_other(tmp_path):
    for number, part in enumerate(("train", "val", "test")):
        write(tmp_path / part / "clean" / "a.png", number)
        write(tmp_path / part / "degraded" / "a.png", 10 + number)
    train = load_pictures(str(tmp_path), "train", 3, paired=True)
    assert train.names == ("train/a", "val/a")
    assert [pixels[0, 0, [0, 3]].tolist() for pixels in train.pixels] == [[0, 10], [1, 11]]
    assert load_pictures(str(tmp_path), "test", 1, paired=True).pixels[0][0, 0].tolist() == [2, 12]
    assert load_pictures(str(tmp_path / "val"), "all", 1, paired=True).names == ("a",)
    with pytest.raises(PictureError, match="no pairs"):
        load_pictures("bundled", "train", 1, paired=True)
