"""Picture files made on the fly by Pillow alone, shared by the tests that read and write them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 5, 7  # unequal, so that a transposition shows
ORIENTATION, MAKER = 0x0112, 0x010F


def levels(*channels, top=255, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, top, (HEIGHT, WIDTH, *channels), dtype, endpoint=True)


def planes(count: int):
    return [Image.fromarray(levels(seed=seed)) for seed in range(count)]


def written(folder: Path, image: Image.Image, name="picture.png", **options) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def encoded(image: Image.Image, name: str, **options) -> bytes:
    """The bytes of a file in the format of that name."""
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


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


def write_pictures(folder, seed):
    """Two grey pictures for testing, of 64x64 pixels of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(2):
        Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)).save(folder / f"test{i}.png")


def png_chunk(kind, content):
    """A part of a PNG file, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width, height, *chunks, depth=8, colour=2):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")
