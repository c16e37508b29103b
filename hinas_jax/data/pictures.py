"""Picture files in memory: what a picture is, and reading one from a file that anybody may have made.

In memory a picture is height, width, channel, and upright: its EXIF orientation is applied. Grey has 1
channel, RGB has 3. A file with several pages or frames counts as its first one. Whatever the person at the
keyboard can mend is raised as a ``PictureError``.

Files are taken for hostile. Only the formats of ``READ_FORMATS`` are decoded (Pillow would start Ghostscript for a
file that says it is PostScript, whatever its name), only regular files are opened (a pipe would never end), and the
sizes that a file claims are checked before memory is taken for them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

import numpy as np
from jaxtyping import Float, UInt, UInt8
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from hinas_jax.data.colour import to_grey
from hinas_jax.data.deep_colour import is_deep_colour, is_misread, read_levels
from hinas_jax.data.names import printable
from hinas_jax.data.tiff import most_values, no_remarks

#: The formats that are read, by Pillow's names; JPEG includes the MPO of some cameras.
READ_FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

MOST_PIXELS: Final = 2**29 // 3  #: pixels of a picture, 178,956,970: the limit that Pillow sets by default
LARGEST_FILE: Final = 2**31  #: bytes of a file
LARGEST_DPI: Final = 10_000
MOST_PARTS: Final = 2**17  #: strips or tiles of a TIFF file, and values of any of its tags that are no data
LONGEST_NOTES: Final = 2**20  #: bytes of the camera's notes (EXIF)

_GREY_MODES: Final = ("1", "L", "LA", "La")
_COLOUR_MODES: Final = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_DEEP_GREY_MODES: Final = ("I;16", "I;16L", "I;16B", "I;16N", "I")

_Values = tuple[
    Float[np.ndarray, "height width channel"], Float[np.ndarray, "height width"] | None, Literal[8, 16]
]  # pixels, alpha, bits


class PictureError(ValueError):
    """A picture file cannot be found, read or written. The message is one line for people."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture, with what a restored copy of it should keep.

    ``pixels`` lie in [0, 1] and have 1 channel for grey, 3 for RGB. ``alpha`` is the opacity in [0, 1], None
    where the file has none. ``bits`` is the depth of a channel in the file: 8 or 16.
    ``exif`` holds the camera's notes, less the orientation, which is applied already. ``first_of_several`` says that
    the file holds more pages or frames, which were not read. ``dpi`` is the resolution for printing, in pixels an inch.

    Raises:
        ValueError: the shapes do not fit together, or the depth is another.
    """

    pixels: Float[np.ndarray, "height width channel"]
    alpha: Float[np.ndarray, "height width"] | None = None
    bits: Literal[8, 16] = 8
    icc_profile: bytes | None = None
    exif: bytes | None = None
    first_of_several: bool = False
    dpi: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 3):
            raise ValueError(f"pixels must be height, width, 1 or 3 channels, not {self.pixels.shape}")
        if self.alpha is not None and self.alpha.shape != self.pixels.shape[:2]:
            raise ValueError(f"alpha {self.alpha.shape} must be as large as the pixels {self.pixels.shape}")
        if self.bits not in (8, 16):
            raise ValueError(f"a channel has 8 or 16 bits, not {self.bits}")


def read_picture(path: Path, channels: Literal[1, 3]) -> UInt8[np.ndarray, "height width {channels}"]:
    """Read a picture of any mode for training or evaluation, as 8-bit grey or RGB.

    Alpha is dropped and nothing blended, 16 bits are rounded to 8, grey becomes RGB by repetition, and RGB
    becomes grey by ``to_grey``.

    Raises:
        PictureError: as ``load``.
    """
    levels = to_levels(load(path).pixels, 8)
    if levels.shape[2] == channels:
        return levels
    return to_grey(levels) if channels == 1 else np.repeat(levels, channels, axis=2)


def load(path: Path) -> Picture:
    """Read a picture of any mode, keeping what ``saving.save`` needs to write it in the same one.

    Files in black and white or grey give grey; all others give RGB, palettes and CMYK among them (a CMYK
    profile is dropped, as no CMYK is left). Transparency, a channel or one transparent colour, gives
    ``alpha``. 16 bits are kept in grey, RGB and alpha; those of CMYK, of premultiplied alpha, of RGB in a PPM and of
    planes in a TIFF are read as 8.

    Raises:
        PictureError: there is no such file, it is empty, damaged or cut short, no picture, larger than
            ``LARGEST_FILE`` or ``MOST_PIXELS`` or in more than ``MOST_PARTS``, or its pixels are of a kind without a
            place in [0, 1].
    """
    with _telling(path):
        _check_file(path)
        with path.open("rb") as file, _open(file, path) as image:
            several = bool(getattr(image, "is_animated", False))
            if is_deep_colour(image):
                with path.open("rb") as again, _open(again, path) as other:
                    pixels, alpha, bits = _deep_colour_values(image, other)
            else:
                _load_upright(image)
                pixels, alpha, bits = _values(image, path)
            profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
            notes, dpi = image.info.get("exif") or None, _dpi(image)
            return Picture(pixels, alpha, bits, profile or None, notes, several, dpi)


def to_levels(values: Float[np.ndarray, "..."], bits: Literal[8, 16]) -> UInt[np.ndarray, "..."]:
    """Values, clipped to [0, 1], as whole numbers of ``bits`` bits."""
    scaled = np.clip(values, 0, 1)  # a copy, and the only one: pictures may fill a large part of the memory
    scaled *= 2**bits - 1
    levels: UInt[np.ndarray, "..."] = np.rint(scaled, out=scaled).astype(f"uint{bits}")
    return levels


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Turn whatever reading ``path`` raises into a PictureError, and drop Pillow's remarks on odd, readable files."""
    remarks = logging.getLogger("PIL")
    level = remarks.level
    remarks.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"{path}: not a picture that can be read; save it as a PNG") from error
    except Image.DecompressionBombError as error:
        raise PictureError(_too_large(path)) from error
    except Exception as error:  # decoders raise anything on files that break their format's rules
        raise PictureError(_why_unread(path, error)) from error
    finally:
        remarks.setLevel(level)


def _check_file(path: Path) -> None:
    facts = path.stat()
    if stat.S_ISDIR(facts.st_mode):
        raise PictureError(f"{path}: this is a folder; name a picture in it")
    if not stat.S_ISREG(facts.st_mode):
        raise PictureError(f"{path}: a device or a pipe, not a file; name a picture's file")
    if facts.st_size == 0:
        raise PictureError(f"{path}: the file is empty; copy it again")
    if facts.st_size > LARGEST_FILE:
        raise PictureError(f"{path}: larger than {LARGEST_FILE:,} bytes; cut the picture into parts")


def _open(file: BinaryIO, path: Path) -> ImageFile.ImageFile:
    """Open a file, refusing by what it says of itself before its pixels are decoded."""
    if most_values(file, MOST_PARTS) > MOST_PARTS:
        raise PictureError(f"{path}: in more than {MOST_PARTS:,} parts, or as many values of one tag; save it as a PNG")
    image = Image.open(file, formats=READ_FORMATS)
    _check_claims(image, path)
    return image


def _check_claims(image: ImageFile.ImageFile, path: Path) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise PictureError(f"{path}: a picture without pixels ({width}x{height}); make it again")
    if width * height > MOST_PIXELS:
        raise PictureError(_too_large(path))
    if is_misread(image):
        raise PictureError(f"{path}: 16 bits in separate planes are not supported; save it as a PNG")


def _too_large(path: Path) -> str:
    return f"{path}: too many pixels, more than {MOST_PIXELS:,}; cut it into parts"


def _why_unread(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: there is no such file; check the path"
    if isinstance(error, MemoryError):
        return f"{path}: there is not memory enough to read it; cut it into parts"
    if isinstance(error, OSError) and error.strerror:
        return f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"{path}: the file is damaged or cut short ({reason[:200]}); copy it again"


def _load_upright(image: ImageFile.ImageFile) -> None:
    by_libtiff = any(tile.codec_name == "libtiff" for tile in image.tile)
    with no_remarks() if by_libtiff else contextlib.nullcontext():
        image.load()
    if len(image.info.get("exif") or b"") > LONGEST_NOTES:  # Pillow makes objects of what they hold
        raise ValueError(f"the camera's notes take more than {LONGEST_NOTES:,} bytes")
    with contextlib.suppress(Exception):  # the camera's notes may be unreadable: that must not cost the picture
        ImageOps.exif_transpose(image, in_place=True)


def _values(image: Image.Image, path: Path) -> _Values:
    if image.mode in _DEEP_GREY_MODES:
        return _deep_grey_values(image, path)
    if image.mode in _GREY_MODES + _COLOUR_MODES:
        return _byte_values(image)
    raise PictureError(f"{path}: pixels of kind {image.mode} are not supported; save it as a plain PNG")


def _byte_values(image: Image.Image) -> _Values:
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    if not image.has_transparency_data:
        values = _unit(np.asarray(image.convert(mode)))
        return values.reshape(*values.shape[:2], -1), None, 8
    values = _unit(np.asarray(image.convert(f"{mode}A")))
    return values[..., :-1], values[..., -1], 8


def _deep_grey_values(image: Image.Image, path: Path) -> _Values:
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:  # mode I holds 32 bits, which mostly carry 16
        raise PictureError(f"{path}: has grey levels outside 0 to 65535; save it as a 16-bit PNG")
    return _unit(levels[..., None], 65535), _opacity(levels[..., None], image.info.get("transparency")), 16


def _deep_colour_values(image: ImageFile.ImageFile, again: ImageFile.ImageFile) -> _Values:
    levels = read_levels(image, again, _load_upright)
    if levels.shape[2] == 3:
        return _unit(levels, 65535), _opacity(levels, image.info.get("transparency")), 16
    return _unit(levels[..., :-1], 65535), _unit(levels[..., -1], 65535), 16


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """The resolution, where the file has one that can be: many say 1 or 0 for none."""
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None
    return (across, down) if 1 < across <= LARGEST_DPI and 1 < down <= LARGEST_DPI else None


def _unit(levels: UInt[np.ndarray, "..."], top: int = 255) -> Float[np.ndarray, "..."]:
    values: Float[np.ndarray, "..."] = np.divide(levels, top, dtype=np.float32)  # without a copy between
    return values


def _opacity(
    levels: UInt[np.ndarray, "height width channel"], transparent: int | tuple[int, ...] | None
) -> Float[np.ndarray, "height width"] | None:
    """Where the one transparent colour of a file is not."""
    return None if transparent is None else np.any(levels != transparent, axis=2).astype(np.float32)
