"""Writing: what is read comes back in the same mode, whole or not at all."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from picture_files import HEIGHT, MAKER, ORIENTATION, WIDTH, exif, levels, opened, planes, written
from PIL import Image, ImageCms

from hinas_jax.data.pictures import Picture, PictureError, load
from hinas_jax.data.saving import WRITABLE_SUFFIXES, path_that_holds, save


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# name of the file: its Pillow mode and its numbers
FILES_THAT_KEEP_THEIR_MODE = {
    "grey.png": ("L", levels()),
    "grey_alpha.png": ("LA", levels(2)),
    "rgb.png": ("RGB", levels(3)),
    "rgba.png": ("RGBA", levels(4)),
    "deep.png": ("I;16", levels(top=65535, dtype=np.uint16)),
    "grey.tif": ("L", levels()),
    "grey_alpha.tiff": ("LA", levels(2)),
    "rgb.tif": ("RGB", levels(3)),
    "rgba.tif": ("RGBA", levels(4)),
    "deep.tif": ("I;16", levels(top=65535, dtype=np.uint16)),
    "rgb.webp": ("RGB", levels(3)),
    "rgba.webp": ("RGBA", levels(4)),
    "grey.bmp": ("L", levels()),
    "rgb.bmp": ("RGB", levels(3)),
}


@pytest.mark.parametrize("name", FILES_THAT_KEEP_THEIR_MODE)
def test_a_picture_survives_loading_and_saving(name, tmp_path):
    mode, array = FILES_THAT_KEEP_THEIR_MODE[name]
    source = tmp_path / f"source_{name}"
    options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    Image.fromarray(array).save(source, **options)

    picture = load(source)
    target = save(picture, tmp_path / name)

    assert target == tmp_path / name
    assert picture.pixels.dtype == np.float32
    top = 65535 if mode == "I;16" else 255
    colours = array if array.ndim == 2 else array[..., : 1 if mode == "LA" else 3]
    np.testing.assert_allclose(picture.pixels, colours.reshape(HEIGHT, WIDTH, -1) / top, rtol=1e-6)
    assert (picture.alpha is not None) == mode.endswith("A")
    if picture.alpha is not None:
        np.testing.assert_allclose(picture.alpha, array[..., -1] / 255, rtol=1e-6)
    saved_mode, saved, _ = opened(target)
    assert saved_mode == mode
    np.testing.assert_array_equal(saved, array)


FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
}


def test_every_writable_suffix_is_tested():
    assert tuple(FORMATS) == WRITABLE_SUFFIXES


@pytest.mark.parametrize("suffix", [*FORMATS, ".PNG"])
def test_the_suffix_decides_the_format(suffix, tmp_path):
    smooth = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    path = save(Picture(smooth), tmp_path / f"picture{suffix}")
    assert open_format(path) == FORMATS[suffix.lower()]
    np.testing.assert_allclose(load(path).pixels, smooth, atol=0.02)


def open_format(path):
    with Image.open(path) as image:
        return image.format


def test_jpeg_keeps_colours_that_change_from_pixel_to_pixel(tmp_path):
    stripes = np.zeros((16, 16, 3), np.float32)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 1
    again = load(save(Picture(stripes), tmp_path / "picture.jpg"))
    np.testing.assert_allclose(again.pixels, stripes, atol=0.1)


def test_png_is_written_where_the_path_has_no_suffix(tmp_path):
    path = save(Picture(np.zeros((2, 2, 3), np.float32)), tmp_path / "picture")
    assert path == tmp_path / "picture.png"
    assert open_format(path) == "PNG"


def test_the_colour_profile_is_kept(tmp_path):
    profile = srgb_profile()
    for suffix in (".png", ".jpg", ".tif", ".webp"):
        source = written(tmp_path, Image.fromarray(levels(3)), f"source{suffix}", icc_profile=profile)
        target = save(load(source), tmp_path / f"target{suffix}")
        assert opened(target)[2]["icc_profile"] == profile, suffix


def test_the_profile_of_cmyk_is_dropped_with_the_cmyk(tmp_path):
    source = written(tmp_path, Image.merge("CMYK", planes(4)), "source.jpg", icc_profile=b"a CMYK profile")
    picture = load(source)
    assert picture.icc_profile is None
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_orientation_is_applied_once_and_other_notes_stay(suffix, tmp_path):
    gradient = np.linspace(0, 255, 16 * 24, dtype=np.uint8).reshape(16, 24)
    rgb = np.stack([gradient, gradient[::-1], gradient[:, ::-1]], axis=2)
    source = written(tmp_path, Image.fromarray(rgb), f"source{suffix}", exif=exif(6))

    picture = load(source)
    again = load(save(picture, tmp_path / f"target{suffix}"))

    np.testing.assert_allclose(picture.pixels, np.rot90(rgb, -1) / 255, atol=0.15)
    np.testing.assert_allclose(again.pixels, picture.pixels, atol=0.1)
    if suffix != ".tif":  # Pillow hands out a TIFF's notes only mixed with the layout of the file
        notes = Image.Exif()
        notes.load(again.exif)
        assert notes[MAKER] == "a camera"
        assert ORIENTATION not in notes


def test_alpha_is_turned_with_the_picture(tmp_path):
    rgba = levels(4)
    picture = load(written(tmp_path, Image.fromarray(rgba), exif=exif(8)))
    np.testing.assert_allclose(picture.alpha, np.rot90(rgba)[..., 3] / 255, rtol=1e-6)


def test_values_are_clipped_and_rounded(tmp_path):
    pixels = np.array([[[-0.5], [0.4 / 255], [0.6 / 255], [254.6 / 255], [1.5]]], np.float32)
    saved = opened(save(Picture(pixels), tmp_path / "picture.png"))[1]
    assert saved.tolist() == [[0, 0, 1, 255, 255]]
    deep = opened(save(Picture(pixels, bits=16), tmp_path / "deep.png"))[1]
    assert deep.tolist() == [[0, 103, 154, 65432, 65535]]


GREY, COLOUR = np.zeros((2, 2, 1), np.float32), np.zeros((2, 2, 3), np.float32)


@pytest.mark.parametrize(
    ("picture", "name", "words"),
    [
        (Picture(COLOUR, alpha=COLOUR[..., 0]), "a.jpg", r"a\.jpg: \.jpg cannot hold the picture's alpha"),
        (Picture(COLOUR, alpha=COLOUR[..., 0]), "a.bmp", r"\.bmp cannot hold the picture's alpha"),
        (Picture(GREY, bits=16), "a.jpeg", r"\.jpeg cannot hold the picture's 16 bits"),
        (Picture(GREY, bits=16), "a.webp", r"\.webp cannot hold the picture's 16 bits"),
        (Picture(COLOUR, icc_profile=b"profile"), "a.bmp", r"\.bmp cannot hold the picture's colour profile"),
        (Picture(COLOUR), "a.gif", r"cannot write \.gif; use one of \.png"),
        (Picture(COLOUR), "nowhere/a.png", r"there is no folder .*nowhere; create it"),
        (Picture(np.zeros((1, 65536, 1), np.float32)), "a.jpg", r"cannot hold the picture's size \(more than 65500"),
        (Picture(np.zeros((16384, 1, 1), np.float32)), "a.webp", r"cannot hold the picture's size"),
        (Picture(COLOUR, bits=16), "a.tif", r"cannot hold the picture's 16 bits"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_line(picture, name, words, tmp_path):
    with pytest.raises(PictureError, match=words) as raised:
        save(picture, tmp_path / name)
    assert str(raised.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()], ids=["disk full", "interrupt"])
def test_a_failure_leaves_the_old_file_and_no_half_one(error, tmp_path, monkeypatch):
    path = save(Picture(COLOUR), tmp_path / "picture.png")
    before = path.read_bytes()

    def write_half(image, file, *args, **options):
        file.write(b"half a file")
        raise error

    monkeypatch.setattr(Image.Image, "save", write_half)
    with pytest.raises((PictureError, KeyboardInterrupt)):
        save(Picture(COLOUR + 1), path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_older_file_is_replaced(tmp_path):
    path = save(Picture(COLOUR), tmp_path / "picture.png")
    save(Picture(COLOUR + 1), path)
    assert opened(path)[1].min() == 255
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_with_the_next_writing(tmp_path):
    program = (
        "import os, pathlib, signal, sys; import numpy as np; from hinas_jax.data import pictures, saving;"
        " pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        " saving.save(pictures.Picture(np.zeros((2, 2, 3), np.float32)), pathlib.Path(sys.argv[1]))"
    )
    path = tmp_path / ("p" * 251 + ".png")
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program, path], cwd=root, check=False, timeout=60)
    assert done.returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    save(Picture(COLOUR), path)
    assert list(tmp_path.iterdir()) == [path]


def test_values_that_are_not_finite_are_refused(tmp_path):
    for picture in (Picture(COLOUR + np.nan), Picture(COLOUR, alpha=COLOUR[..., 0] + np.inf)):
        with pytest.raises(ValueError, match="not finite"):
            save(picture, tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pixels": COLOUR[..., :2]}, "1 or 3 channels"),
        ({"pixels": COLOUR[..., 0]}, "1 or 3 channels"),
        ({"alpha": np.zeros((2, 3), np.float32)}, "as large as the pixels"),
        ({"bits": 12}, "8 or 16 bits, not 12"),
    ],
)
def test_an_impossible_picture_cannot_be_made(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(Picture(COLOUR), **changes)


@pytest.mark.parametrize(
    ("picture", "name", "scale", "fitting"),
    [
        (Picture(COLOUR), "a.jpg", 1, "a.jpg"),
        (Picture(COLOUR), "a.JPEG", 1, "a.JPEG"),
        (Picture(COLOUR), "a.b.webp", 1, "a.b.webp"),
        (Picture(COLOUR), "a.gif", 1, "a.png"),
        (Picture(COLOUR), "a.ppm", 1, "a.png"),
        (Picture(COLOUR), "a", 1, "a.png"),
        (Picture(COLOUR, alpha=COLOUR[..., 0]), "a.bmp", 1, "a.png"),
        (Picture(GREY, bits=16), "a.tif", 1, "a.tif"),
        (Picture(COLOUR, bits=16), "a.tif", 1, "a.png"),
        (Picture(np.zeros((1, 20_000, 1), np.float32)), "a.jpg", 3, "a.jpg"),
        (Picture(np.zeros((1, 20_000, 1), np.float32)), "a.jpg", 4, "a.png"),
    ],
)
def test_a_format_that_cannot_hold_a_picture_becomes_png(picture, name, scale, fitting, tmp_path):
    path = path_that_holds(picture, tmp_path / name, scale)
    assert path == tmp_path / fitting
    save(picture, path)


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "elsewhere.png").write_bytes(b"mine")
    (tmp_path / "picture.png").symlink_to(tmp_path / "elsewhere.png")
    save(Picture(COLOUR), tmp_path / "picture.png")
    assert (tmp_path / "elsewhere.png").read_bytes() == b"mine"
    assert not (tmp_path / "picture.png").is_symlink()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "deep.png"])
def test_the_resolution_for_printing_is_kept(name, tmp_path):
    picture = Picture(COLOUR, bits=16 if "deep" in name else 8, dpi=(300, 150))
    again = load(save(picture, tmp_path / name))
    np.testing.assert_allclose(again.dpi, (300, 150), rtol=1e-4)


@pytest.mark.parametrize("dpi", [(0, 0), (1, 1), (20_000, 300)])
def test_a_resolution_that_cannot_be_is_none(dpi, tmp_path):
    assert load(written(tmp_path, Image.fromarray(levels()), "a.tif", dpi=dpi)).dpi is None
