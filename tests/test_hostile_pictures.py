"""Reading files that are broken, larger than they look, no pictures, or made to do harm."""

import errno
import os
import struct
import subprocess
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from picture_files import (
    HEIGHT,
    WIDTH,
    encoded,
    exif,
    levels,
    png_chunk,
    png_of,
    written,
)  # fmt: skip
from PIL import Image

from hinas_jax.data import pictures
from hinas_jax.data.pictures import PictureError, load, read_picture
from hinas_jax.data.saving import WRITABLE_SUFFIXES, save


def broken_files():
    png = encoded(Image.fromarray(levels(3)), "PNG")
    jpeg = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), "JPEG")
    return {
        "empty": (b"", "the file is empty"),
        "text": (b"this is no picture", "not a picture that can be read"),
        "cut_jpeg": (jpeg[:-1000], "damaged or cut short"),
        "cut_png": (png[:-40], "damaged or cut short"),
        "headless_png": (png[:20], "not a picture|damaged"),
        "bad_checksum": (png.replace(b"IDAT", b"IDAT\xff", 1), "damaged or cut short"),
    }


@pytest.mark.parametrize("read", [load, lambda path: read_picture(path, 3)], ids=["load", "read_picture"])
@pytest.mark.parametrize("name", broken_files())
def test_a_broken_file_is_named_in_one_line(name, read, tmp_path):
    content, words = broken_files()[name]
    path = tmp_path / f"{name}.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=words) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(PictureError, match=r"nowhere\.png: there is no such file"):
        load(tmp_path / "nowhere.png")
    with pytest.raises(PictureError, match=r": this is a folder"):
        load(tmp_path)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = written(tmp_path, Image.fromarray(levels(3)))

    def refuse(self, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PictureError, match=r"picture\.png: cannot be read \(Permission denied\)"):
        load(path)


@pytest.mark.parametrize("pillow_limit", [None, HEIGHT * WIDTH // 2 - 1])
def test_a_huge_picture_is_refused_even_where_pillow_would_read_it(pillow_limit, tmp_path, monkeypatch):
    path = written(tmp_path, Image.fromarray(levels(3)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow_limit)
    monkeypatch.setattr(pictures, "MOST_PIXELS", HEIGHT * WIDTH - 1)
    with pytest.raises(PictureError, match=r"picture\.png: too many pixels, more than 34; cut it into parts"):
        load(path)


def bombs():
    """Small files that claim, or unpack to, much more than anybody has."""
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(WIDTH * 3 + 1) * HEIGHT))
    packed = zlib.compress(bytes(50_000_000), 9)
    strips = b"II*\0" + struct.pack("<IHHHII", 8, 1, 273, 4, 2**31, 26) + bytes(4)
    many = 10_000_000
    bits = b"II*\0" + struct.pack("<IHHHII", 8, 1, 258, 3, many, 26) + bytes(4 + 2 * many)
    orientation = b"II*\0" + struct.pack("<IHHHII", 8, 1, 274, 3, many, 26) + bytes(4 + 2 * many)
    notes = png_chunk(b"eXIf", orientation)
    return {
        "pixels.png": (png_of(60_000, 60_000, pixels), "too many pixels, more than 178,956,970"),
        "wider_than_anything.png": (png_of(2**31 - 1, 2**31 - 1, pixels), "too many pixels"),
        "text.png": (png_of(WIDTH, HEIGHT, png_chunk(b"zTXt", b"note\0\0" + packed), pixels), "damaged or cut short"),
        "profile.png": (png_of(WIDTH, HEIGHT, png_chunk(b"iCCP", b"p\0\0" + packed), pixels), "damaged or cut short"),
        "canvas.gif": (
            b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";",
            "too many pixels|not a picture",
        ),
        "page.ppm": (b"P6 100000 100000 255\n" + bytes(30), "too many pixels"),
        "strips.tif": (strips, "more than 131,072 parts"),
        "bits.tif": (bits, "as many values of one tag"),
        "notes.png": (png_of(WIDTH, HEIGHT, notes, pixels), "notes take more than 1,048,576 bytes"),
        "notes_behind.png": (png_of(WIDTH, HEIGHT, pixels, notes), "notes take more than 1,048,576 bytes"),
    }


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_refused_before_memory_is_taken(name, tmp_path):
    content, words = bombs()[name]
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match=words):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000  # Pillow unpacks at most 1 MB of each text
    finally:
        tracemalloc.stop()


def test_a_file_of_terabytes_is_refused_unread(tmp_path):
    path = tmp_path / "picture.webp"
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWEBPVP8L")
        file.truncate(2**31 + 1)  # sparse: takes no room
    with pytest.raises(PictureError, match="larger than 2,147,483,648 bytes"):
        load(path)


def test_of_thousands_of_frames_the_first_is_read(tmp_path):
    frames = [Image.fromarray(np.full((HEIGHT, WIDTH), i % 200, np.uint8)) for i in range(2000)]
    path = written(tmp_path, frames[0], "film.gif", save_all=True, append_images=frames[1:])
    picture = load(path)
    np.testing.assert_array_equal(picture.pixels, 0)
    assert picture.first_of_several
    assert not load(written(tmp_path, frames[0], "still.gif")).first_of_several


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_of_an_animation_or_several_pages_the_first_is_read(suffix, tmp_path):
    frames = [Image.fromarray(np.full((HEIGHT, WIDTH, 3), i, np.uint8)) for i in (9, 90, 190)]
    options = {"lossless": True} if suffix == ".webp" else {}
    path = written(tmp_path, frames[0], f"film{suffix}", save_all=True, append_images=frames[1:], **options)
    picture = load(path)
    np.testing.assert_allclose(picture.pixels * 255, 9, atol=1e-4)
    assert picture.first_of_several


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"%PDF-1.4\n", b"<svg/>"])
def test_no_other_program_is_started_for_a_file_that_asks_for_it(content, tmp_path, monkeypatch):
    def started(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(os, "system", started)
    path = tmp_path / "picture.png"
    path.write_bytes(content + b"showpage\n%%EOF\n")
    with pytest.raises(PictureError, match="not a picture that can be read"):
        load(path)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (tmp_path / "nothing.png").symlink_to(tmp_path / "nowhere")
    for name, words in (
        ("pipe", "a device or a pipe"),
        ("device", "a device or a pipe"),
        ("circle", "cannot be read"),
        ("nothing", "there is no such file"),
    ):
        with pytest.raises(PictureError, match=words):
            load(tmp_path / f"{name}.png")


def test_a_name_that_cannot_be_shown_is_told_in_one_line_of_plain_text(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9\n\x1b[31m.png")
    path.write_bytes(b"no picture")
    with pytest.raises(PictureError) as raised:
        load(path)
    assert str(raised.value) == f"{tmp_path}/caf\\xe9\\n\\x1b[31m.png: not a picture that can be read; save it as a PNG"


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1)])
def test_the_narrowest_pictures_are_read(shape, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(read_picture(written(tmp_path, Image.fromarray(pixels)), 3), pixels)


def test_pillows_warnings_stay_inside(tmp_path, monkeypatch):
    """A large picture, and notes that are cut short: Pillow warns of both, and reads both."""
    notes = exif(1).tobytes()
    path = written(tmp_path, Image.fromarray(levels(3)), "picture.jpg", exif=notes[:-4])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Image.open(path) as image:
            image.getexif()
    assert len(caught) >= 2

    assert load(path).pixels.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_unreadable_notes_do_not_cost_the_picture(suffix, tmp_path):
    flat = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    path = written(tmp_path, Image.fromarray(flat), f"picture{suffix}", exif=b"Exif\0\0no TIFF head")
    for target in WRITABLE_SUFFIXES:
        again = load(save(load(path), tmp_path / f"target{target}"))
        np.testing.assert_allclose(again.pixels * 255, flat, atol=2, err_msg=target)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 2), 0.5, np.float32), "pixels of kind F are not supported"),
        (np.full((2, 2), 65536, np.int32), "grey levels outside 0 to 65535"),
        (np.full((2, 2), -1, np.int32), "grey levels outside 0 to 65535"),
    ],
)
def test_pixels_without_a_place_in_the_unit_range_are_refused(array, words, tmp_path):
    path = written(tmp_path, Image.fromarray(array), "picture.tif")
    with pytest.raises(PictureError, match=words):
        load(path)
