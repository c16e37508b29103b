"""Prepared sets: what is read is what was given, from folders and from archives, without TensorFlow."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from given_sets import SET5, fill, small
from left_by_runs import quiet
from PIL import Image

from hinas_jax.cli import main
from hinas_jax.config import Config, DataConfig, TaskConfig
from hinas_jax.data.catalogue import KNOWN_SETS
from hinas_jax.data.pictures import PictureError
from hinas_jax.data.prepared import prepare, prepared_names, read_digests
from hinas_jax.data.sources import load_pictures
from hinas_jax.runs import RunFolder
from hinas_jax.tables.definition import Shown, with_fields
from hinas_jax.tables.pictures import Roots, find_shown, load_test_sets, pictures_of, training_pictures
from hinas_jax.tables.store import Store

pytestmark = pytest.mark.usefixtures("data_dir")


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one.pixels, other.pixels, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("place", ["", "images", "BSDS500/data/images"])
def test_bsds500_is_found_prepared_and_read_like_its_folder(tmp_path, monkeypatch, place):
    small(monkeypatch, "bsds500", {"train": 2, "validation": 1, "test": 2})
    folder = tmp_path / "given" / place
    for part, names in (("train", ("b.jpg", "a.png")), ("val", ("c.jpg",)), ("test", ("e.png", "d.jpg"))):
        fill(folder / part, *names)
    prepare("bsds500", tmp_path / "given", quiet)
    train = load_pictures("tfds:bsds500", "train", 1)
    assert train.names == ("train/a", "train/b", "validation/c")
    same(train, load_pictures(str(folder), "train", 1))
    same(load_pictures("tfds:bsds500", "test", 3), load_pictures(str(folder), "test", 3))
    assert load_pictures("tfds:bsds500", "train", 1, ["b"]).names == ("train/a", "validation/c")
    assert set(read_digests("bsds500")) == {"train", "validation", "test"}


def test_a_benchmark_is_for_testing_only(tmp_path, monkeypatch):
    small(monkeypatch, SET5, {"test": 2})
    prepare(SET5, fill(tmp_path / "Set5" / "HR", "a.png", "b.png").parents[1], quiet)
    assert load_pictures(f"tfds:{SET5}", "test", 3).names == ("test/a", "test/b")
    with pytest.raises(PictureError, match="for testing only"):
        load_pictures(f"tfds:{SET5}", "train", 3)


def test_a_table_tests_on_a_prepared_set(tmp_path, monkeypatch, tiny_config):
    """The same pictures as from their folder, found again by the number that the paper gives, and measured."""
    small(monkeypatch, SET5, {"test": 2})
    folder = tmp_path / "Set5"
    folder.mkdir()
    for number in (1, 2):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)).save(
            folder / f"img_00{number}.png"
        )
    config = with_fields(tiny_config, {"task.channels": 3})
    training = training_pictures(config)
    with pytest.raises(PictureError, match="hinas data prepare sr_benchmark/set5"):
        load_test_sets(training, config, ("Set5",), {"Set5": f"tfds:{SET5}"}, None)
    prepare(SET5, folder, quiet)
    loaded = []
    for place in (f"tfds:{SET5}", str(folder)):
        named = Roots(tests=(f"Set5={place}",)).named_tests(("Set5",), "table 2")
        loaded.append(load_test_sets(training, config, ("Set5", "B100"), named, 1))
    (prepared,), (plain,) = loaded
    assert prepared.about == plain.about == "Set5 (first 1 of 2)"
    same(pictures_of(prepared, 3), pictures_of(plain, 3))
    assert find_shown(Shown("002", "Set5", scale=2), [prepared], 3)[1] == 1
    scaled = with_fields(config, {"task": TaskConfig("super_resolve", scale=2, channels=3)})
    scores = [
        Store(tmp_path / name, quiet).baseline_score("bicubic", scaled, test, "released")
        for name, test in (("prepared", prepared), ("plain", plain))
    ]
    assert scores[0] == scores[1]


def test_urban100_is_cut_to_a_multiple_of_4(tmp_path, monkeypatch):
    small(monkeypatch, "sr_benchmark/urban100", {"test": 1})
    folder = fill(tmp_path / "HR", "a.png")
    prepare("sr_benchmark/urban100", folder, quiet)
    (pixels,) = load_pictures("tfds:sr_benchmark/urban100", "test", 3).pixels
    np.testing.assert_array_equal(pixels, load_pictures(str(folder), "all", 3).pixels[0][:8, :8])


def test_pictures_of_ones_own_of_any_mode_flat_nested_or_split(tmp_path, data_dir):
    flat = fill(tmp_path / "flat", "a.png", "deep/b.bmp")
    fill(flat, "grey.png", mode="L")
    prepare("image_folder/mine", flat, quiet)
    same(load_pictures("tfds:image_folder/mine", "train", 3), load_pictures(str(flat), "train", 3))
    same(load_pictures("tfds:image_folder/mine", "train", 1), load_pictures(str(flat), "train", 1))
    assert load_pictures("tfds:image_folder/mine", "test", 3) is None
    for part in ("train", "test"):
        fill(tmp_path / "split" / part, f"{part}.png")
    prepare("image_folder/split", tmp_path / "split", quiet)
    assert load_pictures("tfds:image_folder/split", "test", 3).names == ("test/test",)
    assert prepared_names() == ["image_folder/mine", "image_folder/split"]
    assert (data_dir / "image_folder" / "mine" / "1.0.0" / "digests.json").is_file()


def test_pairs_stay_pairs(tmp_path):
    for side in ("clean", "degraded"):
        fill(tmp_path / "real" / side, "a.png", f"{'b.png' if side == 'clean' else 'b.bmp'}")
    Image.fromarray(np.full((9, 10, 3), 7, np.uint8)).save(tmp_path / "real" / "degraded" / "a.png")
    prepare("image_folder/real", tmp_path / "real", quiet)
    prepared = load_pictures("tfds:image_folder/real", "train", 3, paired=True)
    same(prepared, load_pictures(str(tmp_path / "real"), "train", 3, paired=True))
    assert (prepared.pixels[0][..., 3:] == 7).all()
    with pytest.raises(PictureError, match="pairs, for the task paired"):
        load_pictures("tfds:image_folder/real", "train", 3)


def test_the_digest_is_that_of_the_pictures_not_of_the_files(tmp_path):
    for number, suffix in enumerate((".png", ".bmp")):
        folder = tmp_path / str(number)
        folder.mkdir()
        Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(folder / f"a{suffix}")
        prepare(f"image_folder/set{number}", folder, quiet)
    assert read_digests("image_folder/set0") == read_digests("image_folder/set1")
    assert len(read_digests("image_folder/set0")["train"]) == 64


def test_the_manifest_tells_the_digests_of_what_was_prepared(tmp_path):
    prepare("image_folder/mine", fill(tmp_path / "mine", "a.png"), quiet)
    config = Config(data=DataConfig(root="tfds:image_folder/mine"))
    RunFolder(tmp_path / "run", config, "search", {"W": "abc"})
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["data"] == {"root": "tfds:image_folder/mine", "digests": read_digests("image_folder/mine")}
    assert manifest["splits"] == {"W": "abc"}


def test_digests_cut_short_are_told_and_can_be_prepared_again(tmp_path, data_dir):
    source = fill(tmp_path / "mine", "a.png")
    file = prepare("image_folder/mine", source, quiet) / "digests.json"
    whole = file.read_text()
    for torn in (whole[:20], "", "[]"):
        file.write_text(torn)
        with pytest.raises(PictureError, match="cut short; hinas data prepare image_folder/mine again") as told:
            load_pictures("tfds:image_folder/mine", "train", 3)
        assert "\n" not in str(told.value)
    prepare("image_folder/mine", source, quiet)
    assert file.read_text() == whole


def test_digests_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        prepare("image_folder/mine", fill(tmp_path / "mine", "a.png"), quiet)
    assert prepared_names() == []


@pytest.fixture
def prepared_before(tmp_path, monkeypatch, data_dir):
    """A set of two pictures whose digest is known, prepared; and how to tell that it still is, and nothing besides."""
    small(monkeypatch, SET5, {"test": 2})
    prepare(SET5, fill(tmp_path / "good", "a.png", "b.png"), quiet)
    known = dataclasses.replace(KNOWN_SETS[SET5], digests=read_digests(SET5))
    monkeypatch.setitem(KNOWN_SETS, SET5, known)

    def still():
        assert read_digests(SET5) == known.digests
        same(load_pictures(f"tfds:{SET5}", "test", 3), load_pictures(str(tmp_path / "good"), "all", 3))
        assert [path.name for path in data_dir.iterdir()] == ["sr_benchmark"]
        assert len(list(data_dir.glob("sr_benchmark/set5/*"))) == 1

    return still


def test_the_same_pictures_under_other_names_are_not_called_others(tmp_path, prepared_before):
    for name in ("a.png", "b.png"):
        (tmp_path / "renamed").mkdir(exist_ok=True)
        (tmp_path / "renamed" / f"x{name}").write_bytes((tmp_path / "good" / name).read_bytes())
    with pytest.raises(PictureError, match=r"names or pixels differ .*; get .* 2 pictures in .*\(baby, bird, "):
        prepare(SET5, tmp_path / "renamed", quiet)
    prepared_before()


def test_what_cannot_be_checked_says_so(tmp_path, monkeypatch):
    assert [name for name, known in KNOWN_SETS.items() if not known.digests] == ["sr_benchmark/manga109"]
    small(monkeypatch, "sr_benchmark/manga109", {"test": 1})
    lines = []
    prepare("sr_benchmark/manga109", fill(tmp_path / "manga", "a.png"), lines.append)
    assert lines[-1] == "sr_benchmark/manga109: not checked: no digest of it is known here"
    prepare("image_folder/mine", tmp_path / "manga", lines.append)
    assert "not checked" not in lines[-1]


def test_other_pictures_leave_the_set_that_was_prepared(tmp_path, prepared_before):
    with pytest.raises(PictureError, match="original"):
        prepare(SET5, fill(tmp_path / "other", "a.png", "c.png"), quiet)
    prepared_before()


def test_a_damaged_picture_leaves_the_set_that_was_prepared(tmp_path, prepared_before):
    folder = fill(tmp_path / "torn", "a.png", "b.png")
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:150])
    with pytest.raises(PictureError, match=r"b\.png: .* damaged"):
        prepare(SET5, folder, quiet)
    prepared_before()


def test_a_set_that_cannot_be_put_in_place_leaves_the_one_before(tmp_path, prepared_before, monkeypatch):
    rename = type(tmp_path).rename

    def no_room(self, target):
        if "before" not in (self.name, target.name):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "rename", no_room)
        with pytest.raises(OSError, match="No space"):
            prepare(SET5, tmp_path / "good", quiet)
    prepared_before()
    prepare(SET5, tmp_path / "good", quiet)
    prepared_before()


# --- mistakes, and the command


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("sr_benchmark/manga109", None, "cannot be downloaded; .* 109 pictures"),
        ("bsds500", "nowhere", "there is no such folder"),
        (
            "bsds500",
            ".",
            r"200 pictures in .*train \(100075, .*\.\.\.\), 100 pictures in .*val .*, 200 pictures in .*test",
        ),
        ("image_folder/mine", None, "--from DIR"),
        ("image_folder/../up", ".", "there is no set"),
        ("unknown", ".", "there is no set 'unknown'"),
        ("div2k", None, "TensorFlow"),
        ("div2k/bicubic_x2", None, "TensorFlow"),
        ("div2k", ".", r"needs no preparing: give --data\.root /"),
        ("mnist", None, "TensorFlow"),
        ("set5", None, r"there is no set 'set5'; did you mean sr_benchmark/set5\?; known are bsds500, .*image_folder"),
        ("set5", ".", r"did you mean sr_benchmark/set5\?"),
        ("sr_benchmark/Set14", None, r"did you mean sr_benchmark/set14\?"),
        ("sr_benchmark", None, r"did you mean sr_benchmark/NAME\?; known are .*sr_benchmark/set5"),
        ("BSDS500", None, r"did you mean bsds500\?"),
        ("bsd500", None, r"did you mean bsds500\?"),
        ("Urban-100", None, r"did you mean sr_benchmark/urban100\?"),
        ("image_folder", None, r"did you mean image_folder/NAME"),
        ("image_folder/my-set", ".", r"letters, digits and _"),
        ("dvi2k", None, r"did you mean div2k\?"),
        ("nothing", None, "there is no set 'nothing'; known are bsds500"),
    ],
)
def test_what_cannot_be_prepared_is_told(tmp_path, name, source, words):
    if words == "TensorFlow" and importlib.util.find_spec("tensorflow") is not None:
        pytest.skip("TensorFlow is installed here")
    with pytest.raises(PictureError, match=words) as told:
        prepare(name, None if source is None else tmp_path / source, quiet)
    assert "\n" not in str(told.value)
    assert prepared_names() == []


def test_the_command_prepares_and_lists(tmp_path, monkeypatch, capsys, quick_compiling, keep_jax_settings):
    del keep_jax_settings
    monkeypatch.setenv("XDG_CACHE_HOME", str(quick_compiling))
    small(monkeypatch, SET5, {"test": 1})
    main(["data", "prepare", SET5, "--from", str(fill(tmp_path / "Set5", "a.png"))])
    assert capsys.readouterr().out.strip().endswith(f"use it as tfds:{SET5}")
    main(["data", "list"])
    listed = capsys.readouterr().out
    assert f"tfds:{SET5}: prepared" in listed
    assert "tfds:bsds500: not prepared; 200 train, 100 validation, 200 test; from " in listed
    with pytest.raises(SystemExit) as ended:
        main(["data", "remove"])
    assert ended.value.code == 2


def command(tmp_path, words):
    """`hinas data` in a process of its own: what it writes is seen whoever writes it."""
    environment = os.environ | {"TFDS_DATA_DIR": str(tmp_path / "tfds"), "XDG_CACHE_HOME": str(tmp_path)}
    program = [sys.executable, "-m", "hinas_jax", "data", *words]
    return subprocess.run(program, capture_output=True, text=True, timeout=120, check=False, env=environment)


def test_preparing_a_folder_says_only_what_it_made(tmp_path):
    done = command(tmp_path, ["prepare", "image_folder/mine", "--from", str(fill(tmp_path / "mine", "a.png"))])
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("use it as tfds:image_folder/mine\n")
    assert "WARNING" not in done.stderr + done.stdout
    assert len((done.stderr + done.stdout).splitlines()) == 2  # its digest, and where it is


def test_a_folder_without_pictures_is_told_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    done = command(tmp_path, ["prepare", "image_folder/mine", "--from", str(tmp_path / "empty")])
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{tmp_path / 'empty'}: no pictures here" in line


def test_our_builders_are_known_to_tfds_once_imported_and_not_before():
    program = (
        "import sys, hinas_jax.cli; assert 'tensorflow_datasets' not in sys.modules;"
        " import tensorflow_datasets as tfds;"
        " ours = {'bsds500', 'sr_benchmark', 'image_folder'};"
        " assert not ours & set(tfds.list_builders(with_community_datasets=False));"
        " import hinas_jax.data.builders;"
        " assert ours <= set(tfds.list_builders(with_community_datasets=False));"
        " assert {c.name for c in tfds.builder_cls('sr_benchmark').BUILDER_CONFIGS} =="
        " {'set5', 'set14', 'b100', 'urban100', 'manga109'};"
        " assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [SET5, "sr_benchmark/set14", "sr_benchmark/b100"])
def test_the_reference_data_are_the_original_pictures(name, shared_data):
    """The catalogue's digests are met by them, and nothing else is."""
    source = shared_data / "BSDS500" if name.endswith("b100") else shared_data
    folder = prepare(name, source, quiet)
    known = KNOWN_SETS[name]
    assert json.loads((folder / "digests.json").read_text()) == known.digests
    there = [name.removeprefix("test/") for name in load_pictures(f"tfds:{name}", "test", 3).names]
    assert list(known.names["test"]) == there[: len(known.names["test"])]
