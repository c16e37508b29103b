"""Every kind of picture file is made on the fly, read, written, and compared pixel by pixel."""

import dataclasses
import errno
import io
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from hinas_jax.data.colour import to_grey
from hinas_jax.data.pictures import (
    PICTURE_SUFFIXES,
    WRITABLE_SUFFIXES,
    Picture,
    PictureError,
    find_pictures,
    load,
    read_picture,
    save,
)

HEIGHT, WIDTH = 5, 7  # unequal, so that a transposition shows
ORIENTATION, MAKER = 0x0112, 0x010F


def levels(*channels, top=255, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, top, (HEIGHT, WIDTH, *channels), dtype, endpoint=True)


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def written(folder: Path, image: Image.Image, name="picture.png", **options) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def exif(orientation: int) -> Image.Exif:
    notes = Image.Exif()
    notes[ORIENTATION] = orientation
    notes[MAKER] = "a camera"
    return notes


def opened(path):
    """Mode, array and info of a file, by Pillow alone."""
    with Image.open(path) as image:
        image.load()
        return image.mode, np.asarray(image), dict(image.info)


# --- find_pictures


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


# --- read_picture


def test_reads_rgb_and_grey_as_they_are(tmp_path):
    rgb, grey = levels(3), levels()
    colour_file = written(tmp_path, Image.fromarray(rgb), "colour.png")
    grey_file = written(tmp_path, Image.fromarray(grey), "grey.png")

    np.testing.assert_array_equal(read_picture(colour_file, 3), rgb)
    np.testing.assert_array_equal(read_picture(colour_file, 1), to_grey(rgb))
    np.testing.assert_array_equal(read_picture(grey_file, 1), grey[..., None])
    np.testing.assert_array_equal(read_picture(grey_file, 3), np.stack([grey] * 3, axis=2))
    assert read_picture(colour_file, 1).dtype == read_picture(grey_file, 3).dtype == np.uint8


def test_drops_alpha_without_blending(tmp_path):
    rgba = levels(4)
    np.testing.assert_array_equal(read_picture(written(tmp_path, Image.fromarray(rgba)), 3), rgba[..., :3])


def test_rounds_16_bits_to_8(tmp_path):
    deep = np.array([[0, 128, 129, 257], [32767, 32896, 65406, 65535]], np.uint16)
    path = written(tmp_path, Image.fromarray(deep))
    assert read_picture(path, 1)[..., 0].tolist() == [[0, 0, 1, 1], [127, 128, 254, 255]]


@pytest.mark.parametrize("mode", ["P", "PA", "1", "CMYK", "YCbCr"])
def test_reads_unusual_modes(mode, tmp_path):
    image = unusual_image(mode)
    path = written(tmp_path, image, "picture.tif" if mode != "1" else "picture.png")
    assert opened(path)[0] == mode
    np.testing.assert_array_equal(read_picture(path, 3), np.asarray(image.convert("RGB")))
    assert load(path).pixels.shape[2] == (1 if mode == "1" else 3)


def unusual_image(mode: str) -> Image.Image:
    if mode == "PA":
        return Image.fromarray(levels(4)).convert("PA")
    if mode == "CMYK":
        return Image.merge("CMYK", planes(4))
    return Image.fromarray(levels(3)).convert(mode)


def planes(count: int):
    return [Image.fromarray(levels(seed=seed)) for seed in range(count)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_pictures_upright(orientation, tmp_path):
    rgb = levels(3)
    path = written(tmp_path, Image.fromarray(rgb), exif=exif(orientation))
    upright = {
        1: rgb,
        2: rgb[:, ::-1],
        3: rgb[::-1, ::-1],
        4: rgb[::-1],
        5: rgb.swapaxes(0, 1),
        6: np.rot90(rgb, -1),
        7: rgb[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(rgb),
    }[orientation]
    np.testing.assert_array_equal(read_picture(path, 3), upright)


# --- what cannot be read


def jpeg_bytes():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def png_bytes(image: Image.Image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def broken_files():
    png = png_bytes(Image.fromarray(levels(3)))
    return {
        "empty": (b"", "the file is empty"),
        "text": (b"this is no picture", "not a picture that can be read"),
        "cut_jpeg": (jpeg_bytes()[:-1000], "damaged or cut short"),
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


def test_a_huge_picture_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path, Image.fromarray(levels(3)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 2 - 1)
    with pytest.raises(PictureError, match=r"picture\.png: too many pixels"):
        load(path)


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


# --- load and save


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


def test_a_bilevel_picture_becomes_grey(tmp_path):
    bits = levels() > 127
    picture = load(written(tmp_path, Image.fromarray(bits)))
    np.testing.assert_array_equal(picture.pixels[..., 0], bits)
    assert (picture.alpha, picture.bits) == (None, 8)


def test_a_transparent_palette_entry_becomes_alpha(tmp_path):
    image = Image.fromarray(levels(top=2)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    index = np.asarray(image)
    for transparency in (1, bytes([255, 0, 128])):
        picture = load(written(tmp_path, image, transparency=transparency))
        opacity = [255, 0, 255 if transparency == 1 else 128]
        np.testing.assert_array_equal(picture.pixels, np.eye(3)[index])
        np.testing.assert_allclose(picture.alpha, np.take(opacity, index) / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("array", "transparency"),
    [
        (np.array([[10, 20], [30, 20]], np.uint8), 20),
        (np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), (4, 5, 6)),
        (np.array([[1000, 2000], [3000, 2000]], np.uint16), 2000),
    ],
    ids=["grey", "rgb", "16-bit grey"],
)
def test_a_transparent_colour_becomes_alpha(array, transparency, tmp_path):
    picture = load(written(tmp_path, Image.fromarray(array), transparency=transparency))
    values = array if array.ndim == 3 else array[..., None]
    np.testing.assert_array_equal(picture.alpha, np.any(values != transparency, axis=2))
    opaque = picture.alpha == 1
    np.testing.assert_allclose(picture.pixels[opaque], values[opaque] / np.iinfo(array.dtype).max, rtol=1e-6)
    assert picture.bits == 8
    assert save(picture, tmp_path / "saved.png").exists()


@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
def test_16_bits_are_read_in_either_byte_order(byte_order, tmp_path):
    deep = levels(top=65535, dtype=np.uint16)
    path = written(tmp_path, Image.fromarray(deep.astype(byte_order)), "picture.tif")
    np.testing.assert_allclose(load(path).pixels[..., 0], deep / 65535, rtol=1e-6)
    assert load(path).bits == 16


def test_a_16_bit_pgm_is_read(tmp_path):
    deep = levels(top=65535, dtype=np.uint16)
    path = tmp_path / "picture.pgm"
    path.write_bytes(f"P5 {WIDTH} {HEIGHT} 65535\n".encode() + deep.astype(">u2").tobytes())
    np.testing.assert_allclose(load(path).pixels[..., 0], deep / 65535, rtol=1e-6)
    assert load(path).bits == 16


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
        (Picture(np.zeros((1, 65536, 1), np.float32)), "a.jpg", r"cannot be written"),
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
        ({"bits": 16}, "only grey without alpha"),
        ({"pixels": GREY, "alpha": GREY[..., 0], "bits": 16}, "only grey without alpha"),
    ],
)
def test_an_impossible_picture_cannot_be_made(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(Picture(COLOUR), **changes)
