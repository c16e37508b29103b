"""Sets of pictures: what is found where, what is refused, and the three-way split of section 3.4."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hinas_jax.data.colour import to_grey
from hinas_jax.data.pictures import PictureError
from hinas_jax.data.sources import PictureSet, large_enough, load_pictures, split


def levels(name, height=12, width=14, channels=3):
    rng = np.random.default_rng(list(os.fsencode(name)))
    return rng.integers(0, 256, (height, width, channels), np.uint8)


def fill(folder, *names):
    """Write one PNG for each name, with pixels that follow from the name."""
    for name in names:
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels(name)).save(path)
    return folder


def numbered(count, size=1):
    """A set of tiny pictures whose every pixel is the picture's number."""
    pixels = tuple(np.full((size, size, 1), i % 256, np.uint8) for i in range(count))
    return PictureSet(tuple(f"{i:03d}" for i in range(count)), pixels)


def names_of(*arguments):
    pictures = load_pictures(*arguments)
    return None if pictures is None else pictures.names


def refusal(function, *arguments):
    with pytest.raises(PictureError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the split


@given(st.integers(3, 90), st.integers(0, 2**32 - 1), st.floats(0.001, 0.999))
def test_the_split_is_disjoint_complete_and_halved(count, seed, fraction):
    pictures = numbered(count)
    w, a, v = split(pictures, seed, fraction)
    names = w.names + a.names + v.names
    assert sorted(names) == list(pictures.names)
    assert len(w) - len(a) in (0, 1)
    assert min(len(w), len(a), len(v)) >= 1
    wanted = max(1, round(fraction * count))
    assert len(v) == min(wanted, count - 2)


@given(st.integers(3, 40), st.integers(0, 100))
def test_names_and_pixels_stay_together(count, seed):
    for part in split(numbered(count), seed, 0.2):
        assert [int(pixels[0, 0, 0]) for pixels in part.pixels] == [int(name) for name in part.names]
        assert list(part.names) == sorted(part.names)


def test_two_percent_of_300_pictures_are_6():
    assert [len(part) for part in split(numbered(300), 0, 0.02)] == [147, 147, 6]


def test_the_split_follows_the_seed_alone():
    def parts(seed):
        return [part.names for part in split(numbered(30), seed, 0.2)]

    assert parts(1) == parts(1)
    assert len({str(parts(seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_pictures_cannot_be_split(count):
    assert f"not {count}" in refusal(split, numbered(count), 0, 0.5)


# --- folders


@pytest.mark.parametrize(
    ("there", "train", "test"),
    [
        (["b", "a"], ("a", "b"), None),
        (["x/b", "x/y/a", "c"], ("c", "x/b", "x/y/a"), None),
        (["train/b", "train/deep/a"], ("train/b", "train/deep/a"), None),
        (["train/b", "val/a"], ("train/b", "val/a"), None),
        (["train/b", "val/a", "test/c", "other/d"], ("train/b", "val/a"), ("test/c",)),
        (["train/b", "test/c"], ("train/b",), ("test/c",)),
        (["val/a", "test/c"], ("test/c", "val/a"), None),
        (["a b", "a-b", "a", "ab"], ("a", "a b", "a-b", "ab"), None),  # sorted by name, not by file name
    ],
)
def test_what_a_folder_gives_for_training_and_testing(tmp_path, there, train, test):
    root = str(fill(tmp_path, *there))
    assert names_of(root, "train", 1) == train
    assert names_of(root, "test", 1) == test
    assert sorted(names_of(root, "all", 1)) == sorted(there)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_in_the_channels_asked_for(tmp_path, channels):
    fill(tmp_path, "colour")
    Image.fromarray(levels("grey", channels=1)[..., 0]).save(tmp_path / "grey.png")
    pictures = load_pictures(str(tmp_path), "train", channels)
    colour, grey = levels("colour"), levels("grey", channels=1)
    expected = (colour, grey.repeat(3, axis=-1)) if channels == 3 else (to_grey(colour), grey)
    for actual, wanted in zip(pictures.pixels, expected, strict=True):
        assert actual.dtype == np.uint8
        np.testing.assert_array_equal(actual, wanted)


def test_the_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    names = ["c", "a", "d/x", "b/y"]
    one, other = fill(tmp_path / "one", *names), fill(tmp_path / "other", *reversed(names))
    forwards = load_pictures(str(one), "train", 1)
    walk = os.walk

    def backwards(*arguments, **options):
        for folder, subfolders, files in walk(*arguments, **options):
            subfolders.reverse()
            yield folder, subfolders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    again = load_pictures(str(other), "train", 1)
    assert again.names == forwards.names == ("a", "b/y", "c", "d/x")
    assert again.digest() == forwards.digest()


def test_excluded_names_are_left_out_wherever_they_lie_even_when_damaged(tmp_path):
    fill(tmp_path, "a", "x/b", "y/b", "bb")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert names_of(str(tmp_path), "train", 1, ("b", "broken")) == ("a", "bb")
    assert names_of(str(tmp_path), "all", 1, ("b", "broken", "absent")) == ("a", "bb")
    assert "names 'brokn', which is no picture there; did you mean 'broken'?" in refusal(
        load_pictures, str(tmp_path), "train", 1, ("brokn",)
    )
    assert "data.exclude" in refusal(load_pictures, str(tmp_path), "train", 1, ("a", "b", "bb", "broken"))


def test_a_missing_folder_an_empty_one_and_a_file_are_refused_by_name(tmp_path):
    file = fill(tmp_path / "some", "a") / "a.png"
    (tmp_path / "empty").mkdir()
    (tmp_path / "half" / "train").mkdir(parents=True)
    for path in (tmp_path / "missing", tmp_path / "empty", tmp_path / "half", file):
        assert str(path) in refusal(load_pictures, str(path), "train", 1)


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_an_unreadable_picture_is_refused_by_name_where_all_are_asked_for(tmp_path, content):
    broken = fill(tmp_path, "a") / "broken.png"
    broken.write_bytes(content)
    assert str(broken) in refusal(load_pictures, str(tmp_path), "train", 1)


def test_what_cannot_be_used_is_left_out_and_told_once_with_a_count(tmp_path):
    fill(tmp_path, "a", "x/b", "c")
    for i in range(5):
        (tmp_path / f"broken{i}.png").write_bytes(b"no picture" * i)
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:-60])
    said = []
    pictures = load_pictures(str(tmp_path), "train", 1, (), said.append)
    assert pictures.names == ("a", "x/b")
    assert len(pictures.pixels) == 2
    assert said == [
        "left out 6 of 8 pictures that cannot be used:"
        f" {tmp_path}/broken0.png: the file is empty; copy it again"
        f" | {tmp_path}/broken1.png: not a picture that can be read; save it as a PNG"
        f" | {tmp_path}/broken2.png: not a picture that can be read; save it as a PNG | and 3 more"
    ]


def test_nothing_is_said_where_all_can_be_used(tmp_path):
    said = []
    assert len(load_pictures(str(fill(tmp_path, "a", "b")), "train", 1, (), said.append)) == 2
    assert not said


def test_a_folder_of_which_nothing_is_left_is_refused_in_one_line(tmp_path):
    for name in ("train/a.png", "train/b.png", "test/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    said = []
    message = refusal(load_pictures, str(tmp_path), "train", 1, (), said.append)
    assert message.startswith(f"{tmp_path}: none of 2 pictures can be used: {tmp_path}/train/a.png: not a picture")
    assert "none of 1 pictures" in refusal(load_pictures, str(tmp_path), "test", 1, (), said.append)
    assert not said


def test_names_of_any_bytes_can_be_told_and_digested(tmp_path):
    fill(tmp_path, os.fsdecode(b"caf\xe9"), os.fsdecode(b"two\nlines"))
    pictures = load_pictures(str(tmp_path), "train", 1)
    assert pictures.names == (r"caf\xe9", r"two\nlines")
    assert len(pictures.digest()) == 64
    assert names_of(str(tmp_path), "train", 1, (os.fsdecode(b"caf\xe9"),)) == (r"two\nlines",)


def test_pictures_smaller_than_the_crop_are_left_out_with_their_sizes():
    pixels = [np.zeros((height, width, 1), np.uint8) for height, width in ((9, 9), (7, 9), (9, 6), (1, 1), (2, 9))]
    pictures = PictureSet(("large", "low", "narrow", "one", "strip"), tuple(pixels))
    said = []
    assert large_enough(pictures, 1, "the search", said.append) is pictures
    assert not said
    assert large_enough(pictures, 8, "the search", said.append).names == ("large",)
    assert said == [
        "left out 4 of 5 pictures, too small for the search, which takes 8x8 pixels:"
        " low (9x7), narrow (6x9), one (1x1) and 1 more"
    ]
    message = refusal(large_enough, pictures, 10, "the search", said.append)
    assert message.startswith("all 5 pictures are too small for the search, which takes 10x10 pixels: large (9x9), ")
    assert message.endswith("; make the patch smaller")


# --- sets


def test_the_digest_changes_with_a_pixel_a_name_and_a_shape_and_with_nothing_else():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    other = pixels.copy()
    other[1, 2, 0] += 1
    sets = [
        PictureSet(("a",), (pixels,)),
        PictureSet(("a",), (other,)),
        PictureSet(("b",), (pixels,)),
        PictureSet(("a",), (pixels.reshape(4, 3, 1),)),
    ]
    assert len({pictures.digest() for pictures in sets}) == 4
    copied = np.asfortranarray(pixels.copy())
    assert PictureSet(("a",), (copied,)).digest() == sets[0].digest()


def test_two_sets_join_sorted_by_name():
    pictures = numbered(9)
    w, a, v = split(pictures, 0, 0.3)
    assert w.joined(a).names == tuple(sorted(w.names + a.names))
    assert w.joined(a).joined(v).digest() == pictures.digest()


# --- bundled pictures and TFDS


@pytest.mark.parametrize("channels", [1, 3])
def test_bundled_pictures_for_training_and_testing_share_none(channels):
    train, test = (load_pictures("bundled", role, channels) for role in ("train", "test"))
    assert len(train) == 10
    assert len(test) == 3
    assert not set(train.names) & set(test.names)
    assert list(train.names) == sorted(train.names)
    assert {pixels.shape[-1] for pixels in train.pixels + test.pixels} == {channels}
    assert min(min(pixels.shape[:2]) for pixels in train.pixels + test.pixels) >= 128
    digests = [PictureSet(("",), (pixels,)).digest() for pixels in train.pixels + test.pixels]
    assert len(set(digests)) == 13


def test_bundled_pictures_can_be_excluded():
    assert "coins" not in names_of("bundled", "train", 1, ("coins",))


@pytest.mark.parametrize("feature", ["hr", "image"])
def test_tfds_pictures_are_read_without_tensorflow(tmp_path, monkeypatch, feature):
    import tensorflow_datasets as tfds

    fill(tmp_path / "files", "a", "b", "c", "d")

    class Tiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        name = f"tiny_{feature}"

        def _info(self):
            features = tfds.features.FeaturesDict({feature: tfds.features.Image(shape=(None, None, 3))})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            del dl_manager
            return {"train": self._generate_examples("abc"), "validation": self._generate_examples("d")}

        def _generate_examples(self, names):
            for name in names:
                yield name, {feature: str(tmp_path / "files" / f"{name}.png")}

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    Tiny(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    train = load_pictures(f"tfds:tiny_{feature}", "train", 3)
    assert train.names == ("train/000000", "train/000001", "train/000002")
    assert {p.tobytes() for p in train.pixels} == {levels(name).tobytes() for name in "abc"}
    test = load_pictures(f"tfds:tiny_{feature}", "test", 1)
    np.testing.assert_array_equal(test.pixels[0], to_grey(levels("d")))


def test_an_unknown_tfds_set_is_refused_by_name(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    assert refusal(load_pictures, "tfds:no_such_set", "train", 1).startswith("tfds:no_such_set: ")


@pytest.mark.parametrize("name", ["huggingface:anything", "kubric:set", "../set", "/tmp/set", "a b", "", "set:latest"])
def test_a_tfds_name_that_could_fetch_and_run_a_strangers_code_is_refused(name):
    assert "no name of a TFDS set" in refusal(load_pictures, f"tfds:{name}", "train", 1)


@pytest.mark.parametrize("name", ["div2k/bicubic_x2", "no_such_set:1.0.0", "no_such_set/config:1.*.*"])
def test_a_tfds_name_with_config_and_version_is_looked_for(name, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    assert "TFDS cannot read split" in refusal(load_pictures, f"tfds:{name}", "train", 1)
