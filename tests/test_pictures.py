"""Reading: every kind of picture file is made on the fly, read, and compared pixel by pixel."""

import struct
import zlib

import numpy as np
import pytest
from picture_files import (
    HEIGHT,
    MAKER,
    ORIENTATION,
    WIDTH,
    exif,
    levels,
    opened,
    planes,
    png_chunk,
    png_of,
    written,
)  # fmt: skip
from PIL import Image

from hinas_jax.data.colour import to_grey
from hinas_jax.data.pictures import PictureError, load, read_picture
from hinas_jax.data.saving import save

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
    assert picture.bits == (16 if array.dtype == np.uint16 else 8)
    again = load(save(picture, tmp_path / "saved.png"))
    np.testing.assert_allclose(again.pixels, picture.pixels, atol=1e-7)
    np.testing.assert_array_equal(again.alpha, picture.alpha)


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


# --- colour of 16 bits, which Pillow cannot hold


def deep_png_of(levels, *chunks):
    height, width, channels = levels.shape
    rows = [b"\0" + row.astype(">u2").tobytes() for row in levels]
    colour = {2: 4, 3: 2, 4: 6}[channels]
    return png_of(width, height, *chunks, png_chunk(b"IDAT", zlib.compress(b"".join(rows))), depth=16, colour=colour)


def tiff_of(levels, *, order="<", compressed=False, strips=1, planar=False):
    """A TIFF of 3 or 4 channels; tags as in the specification of TIFF 6.0."""
    height, width, channels = levels.shape
    bits = levels.dtype.itemsize * 8
    swapped = levels.astype(levels.dtype.newbyteorder(order))
    parts = np.split(swapped, strips) if not planar else list(np.moveaxis(swapped, 2, 0))
    contents = [zlib.compress(part.tobytes()) if compressed else part.tobytes() for part in parts]
    tags = {
        256: [width], 257: [height], 258: [bits] * channels, 259: [8 if compressed else 1], 262: [2],
        273: [0] * len(parts), 277: [channels], 278: [height // strips], 279: [len(content) for content in contents],
        284: [2 if planar else 1],
    }  # fmt: skip
    if channels == 4:
        tags[338] = [2]  # alpha that is not multiplied in
    start = 8 + 2 + 12 * len(tags) + 4
    behind = {tag: start + 4 * sum(len(v) for t, v in tags.items() if t < tag and len(v) > 1) for tag in tags}
    data = start + 4 * sum(len(values) for values in tags.values() if len(values) > 1)
    tags[273] = (data + np.cumsum([0, *map(len, contents[:-1])])).tolist()
    entries = b"".join(
        struct.pack(f"{order}HHII", tag, 4, len(values), values[0] if len(values) == 1 else behind[tag])
        for tag, values in tags.items()
    )
    longer = b"".join(np.array(values, f"{order}u4").tobytes() for values in tags.values() if len(values) > 1)
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + struct.pack(f"{order}I", 0) + longer + b"".join(contents)


def assert_deep(path, expected):
    picture = load(path)
    opacity = expected.shape[2] in (2, 4)
    colours = expected[..., :-1] if opacity else expected
    np.testing.assert_allclose(picture.pixels, colours / 65535, atol=1e-7)
    assert (picture.alpha is not None) == opacity
    if opacity:
        np.testing.assert_allclose(picture.alpha, expected[..., -1] / 65535, atol=1e-7)
    assert picture.bits == 16
    return picture


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_of_16_bits_is_read_and_written_to_the_last_bit(channels, tmp_path):
    deep = levels(channels, top=65535, dtype=np.uint16)
    (tmp_path / "picture.png").write_bytes(deep_png_of(deep))
    picture = assert_deep(tmp_path / "picture.png", deep)
    assert_deep(save(picture, tmp_path / "again.png"), deep)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("strips", [1, 5])
def test_a_tiff_of_16_bits_is_read_to_the_last_bit(channels, order, compressed, strips, tmp_path):
    deep = levels(channels, top=65535, dtype=np.uint16)
    path = tmp_path / "picture.tif"
    path.write_bytes(tiff_of(deep, order=order, compressed=compressed, strips=strips))
    assert_deep(path, deep)


def test_planes_of_16_bits_are_refused_where_pillow_would_misread_them(tmp_path):
    deep = levels(3, top=65535, dtype=np.uint16)
    (tmp_path / "raw.tif").write_bytes(tiff_of(deep, planar=True))
    with pytest.raises(PictureError, match="16 bits in separate planes are not supported"):
        load(tmp_path / "raw.tif")
    (tmp_path / "packed.tif").write_bytes(tiff_of(deep, planar=True, compressed=True))
    picture = load(tmp_path / "packed.tif")
    assert picture.bits == 8
    np.testing.assert_array_equal(picture.pixels, (deep >> 8).astype(np.float32) / 255)


def test_one_transparent_colour_of_16_bits_becomes_alpha(tmp_path):
    deep = levels(3, top=65535, dtype=np.uint16)
    (tmp_path / "picture.png").write_bytes(deep_png_of(deep, png_chunk(b"tRNS", deep[1, 2].astype(">u2").tobytes())))
    alpha = np.ones((HEIGHT, WIDTH))
    alpha[1, 2] = 0
    np.testing.assert_array_equal(load(tmp_path / "picture.png").alpha, alpha)


def test_notes_and_profile_of_a_deep_picture_are_kept_and_it_is_turned_once(tmp_path):
    deep = levels(3, top=65535, dtype=np.uint16)
    notes = png_chunk(b"eXIf", exif(6).tobytes().removeprefix(b"Exif\0\0"))
    profile = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(b"a profile"))
    (tmp_path / "picture.png").write_bytes(deep_png_of(deep, profile, notes))
    upright = np.rot90(deep, -1)
    picture = assert_deep(tmp_path / "picture.png", upright)
    saved = save(picture, tmp_path / "again.png")
    again = assert_deep(saved, upright)
    assert picture.icc_profile == again.icc_profile == b"a profile"
    with Image.open(saved) as image:
        assert image.getexif()[MAKER] == "a camera"
        assert ORIENTATION not in image.getexif()


def test_a_deep_picture_of_many_rows_is_written_whole(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (600, 3, 3), np.uint16)  # more rows than are packed at once
    (tmp_path / "picture.png").write_bytes(deep_png_of(deep))
    assert_deep(save(load(tmp_path / "picture.png"), tmp_path / "again.png"), deep)
