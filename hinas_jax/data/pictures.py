"""Picture files: finding, reading and writing them.

In memory a picture is height, width, channel, and upright: its EXIF orientation is applied. Grey has 1
channel, RGB has 3. A file with several pages or frames counts as its first one. Whatever the person at the
keyboard can mend is raised as a ``PictureError``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NoReturn

import numpy as np
from jaxtyping import Float, UInt, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from hinas_jax.data.colour import to_grey

#: The suffixes, in lower case, of the files that are taken for pictures.
PICTURE_SUFFIXES: Final = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

_GREY_MODES: Final = ("1", "L", "LA", "La")
_COLOUR_MODES: Final = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_DEEP_GREY_MODES: Final = ("I;16", "I;16L", "I;16B", "I;16N", "I")

# What Pillow's decoders raise when a file breaks its format's rules.
_DECODER_ERRORS: Final = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error)


class PictureError(ValueError):
    """A picture file cannot be found, read or written. The message is one line for people."""


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture, with what a restored copy of it should keep.

    ``pixels`` lie in [0, 1] and have 1 channel for grey, 3 for RGB. ``alpha`` is the opacity in [0, 1], None
    where the file has none. ``bits`` is the depth of a channel in the file: 8, or 16 for grey without alpha.
    ``exif`` holds the camera's notes, less the orientation, which is applied already.

    Raises:
        ValueError: the shapes do not fit together, or the depth does not fit the channels.
    """

    pixels: Float[np.ndarray, "height width channel"]
    alpha: Float[np.ndarray, "height width"] | None = None
    bits: Literal[8, 16] = 8
    icc_profile: bytes | None = None
    exif: bytes | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] not in (1, 3):
            raise ValueError(f"pixels must be height, width, 1 or 3 channels, not {self.pixels.shape}")
        if self.alpha is not None and self.alpha.shape != self.pixels.shape[:2]:
            raise ValueError(f"alpha {self.alpha.shape} must be as large as the pixels {self.pixels.shape}")
        if self.bits not in (8, 16):
            raise ValueError(f"a channel has 8 or 16 bits, not {self.bits}")
        if self.bits == 16 and (self.pixels.shape[2] != 1 or self.alpha is not None):
            raise ValueError("only grey without alpha can have 16 bits")


def find_pictures(folder: Path) -> list[Path]:
    """List the pictures in a folder and in all folders below it, sorted by their path within it.

    Hidden files and folders are left out. Links to folders are followed, but no folder is visited twice.

    Raises:
        PictureError: there is no such folder, it cannot be listed, or it holds no pictures.
    """
    if not folder.exists():
        raise PictureError(f"{folder}: there is no such folder; check the path")
    if not folder.is_dir():
        raise PictureError(f"{folder}: this is a file; name the folder that holds the pictures")
    found = [path for path in _visible_files(folder) if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        looked_for = " ".join(PICTURE_SUFFIXES)
        raise PictureError(f"{folder}: no pictures here or in folders below; put some in ({looked_for})")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def read_picture(path: Path, channels: Literal[1, 3]) -> UInt8[np.ndarray, "height width {channels}"]:
    """Read a picture of any mode for training or evaluation, as 8-bit grey or RGB.

    Alpha is dropped and nothing blended, 16 bits are rounded to 8, grey becomes RGB by repetition, and RGB
    becomes grey by ``to_grey``.

    Raises:
        PictureError: as ``load``.
    """
    levels = _to_levels(load(path).pixels, 8)
    if levels.shape[2] == channels:
        return levels
    return to_grey(levels) if channels == 1 else np.repeat(levels, channels, axis=2)


def load(path: Path) -> Picture:
    """Read a picture of any mode, keeping what ``save`` needs to write it in the same one.

    Files in black and white or grey give grey; all others give RGB, palettes and CMYK among them (a CMYK
    profile is dropped, as no CMYK is left). Transparency, a channel or one transparent colour, gives
    ``alpha``. Pillow reads RGB of 16 bits as 8, and grey of 16 bits with alpha as RGB of 8 with alpha: so
    does this. Grey of 16 bits with one transparent colour becomes 8 bits with alpha, as Pillow cannot write
    it otherwise.

    Raises:
        PictureError: there is no such file, it is empty, damaged or cut short, no picture, or too large (more
            than twice Pillow's ``MAX_IMAGE_PIXELS``), or its pixels are of a kind without a place in [0, 1].
    """
    image = _decode(path)
    if image.mode in _DEEP_GREY_MODES:
        pixels, alpha, bits = _deep_grey_values(image, path)
    elif image.mode in _GREY_MODES + _COLOUR_MODES:
        pixels, alpha, bits = *_byte_values(image), 8
    else:
        raise PictureError(f"{path}: pixels of kind {image.mode} are not supported; save it as a plain PNG")
    profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
    return Picture(pixels, alpha, bits, profile or None, image.info.get("exif") or None)


def _visible_files(folder: Path) -> Iterator[Path]:
    visited: set[tuple[int, int]] = set()
    for name, subfolders, files in os.walk(folder, onerror=_refuse_unlisted, followlinks=True):
        parent = Path(name)
        identity = (parent.stat().st_dev, parent.stat().st_ino)
        # Sorted, so that of several links to one folder the same one wins everywhere.
        subfolders[:] = sorted(sub for sub in subfolders if not sub.startswith("."))
        if identity in visited:
            subfolders.clear()
            continue
        visited.add(identity)
        yield from (parent / file for file in files if not file.startswith("."))


def _refuse_unlisted(error: OSError) -> NoReturn:
    raise PictureError(f"{error.filename}: cannot be listed ({error.strerror}); change its permissions")


def _decode(path: Path) -> Image.Image:
    """Read a file into memory, upright. What is wrong with the file becomes a PictureError."""
    try:
        with _quiet_decoders(), path.open("rb") as file, Image.open(file) as image:
            image.load()
            return _upright(image)
    except UnidentifiedImageError as error:
        if path.stat().st_size == 0:
            raise PictureError(f"{path}: the file is empty; copy it again") from error
        raise PictureError(f"{path}: not a picture that can be read; save it as a PNG") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: too many pixels to read it safely; cut it into parts") from error
    except _DECODER_ERRORS as error:
        raise PictureError(_why_unread(path, error)) from error


def _why_unread(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: there is no such file; check the path"
    if isinstance(error, IsADirectoryError):
        return f"{path}: this is a folder; name a picture in it"
    if isinstance(error, OSError) and error.strerror:
        return f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
    reason = " ".join(str(error).split())
    return f"{path}: the file is damaged or cut short ({reason}); copy it again"


@contextlib.contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Drop Pillow's remarks on odd but readable files, even where warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        # Only a remark up to twice Image.MAX_IMAGE_PIXELS; beyond, Pillow raises DecompressionBombError.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _DECODER_ERRORS:  # the camera's notes are unreadable: that must not cost the picture
        return image.copy()


def _byte_values(
    image: Image.Image,
) -> tuple[Float[np.ndarray, "height width channel"], Float[np.ndarray, "height width"] | None]:
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    if not image.has_transparency_data:
        values = np.asarray(image.convert(mode), np.float32) / 255
        return values.reshape(*values.shape[:2], -1), None
    values = np.asarray(image.convert(f"{mode}A"), np.float32) / 255
    return values[..., :-1], values[..., -1]


def _deep_grey_values(
    image: Image.Image, path: Path
) -> tuple[Float[np.ndarray, "height width 1"], Float[np.ndarray, "height width"] | None, Literal[8, 16]]:
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:  # mode I holds 32 bits, which mostly carry 16
        raise PictureError(f"{path}: has grey levels outside 0 to 65535; save it as a 16-bit PNG")
    pixels = (levels / 65535).astype(np.float32)[..., None]
    transparent = image.info.get("transparency")
    if transparent is None:
        return pixels, None, 16
    return pixels, (levels != transparent).astype(np.float32), 8


@dataclasses.dataclass(frozen=True)
class _Format:
    """What Pillow can write under a suffix."""

    name: str
    alpha: bool = False
    deep: bool = False
    profile: bool = True
    exif: bool = True  # Pillow mixes a TIFF's notes with the layout of the file
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_JPEG: Final = _Format("JPEG", options={"quality": 95, "subsampling": 0})
_TIFF: Final = _Format("TIFF", alpha=True, deep=True, exif=False, options={"compression": "tiff_deflate"})
_FORMATS: Final[Mapping[str, _Format]] = {
    ".png": _Format("PNG", alpha=True, deep=True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _Format("WEBP", alpha=True, options={"lossless": True, "exact": True}),
    ".bmp": _Format("BMP", profile=False, exif=False),
}

#: The suffixes, in lower case, that ``save`` can write.
WRITABLE_SUFFIXES: Final = tuple(_FORMATS)


def save(picture: Picture, path: Path) -> Path:
    """Write a picture in the format of the path's suffix and return the path written.

    Without a suffix, ``.png`` is added. Values beyond [0, 1] are clipped. PNG, TIFF and WebP are lossless,
    but WebP stores grey as RGB; JPEG has quality 95; TIFF and BMP drop ``exif``. The file takes its name
    only when it is complete: whatever happens before, nothing or the older file of that name is there.

    Raises:
        PictureError: the suffix is not in ``WRITABLE_SUFFIXES``, the format cannot hold the alpha, depth or
            profile of the picture, or the file cannot be written.
        ValueError: the picture holds values that are not finite.
    """
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    file_format = _format_for(picture, path)
    image = Image.fromarray(_levels(picture))
    try:
        with _replacing(path) as file:
            image.save(file, file_format.name, **_save_options(picture, file_format))
    except FileNotFoundError as error:
        raise PictureError(f"{path}: there is no folder {path.parent}; create it") from error
    except (OSError, ValueError, struct.error) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise PictureError(f"{path}: cannot be written ({reason}); write elsewhere or as .png") from error
    return path


def _format_for(picture: Picture, path: Path) -> _Format:
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise PictureError(f"{path}: cannot write {suffix}; use one of {' '.join(WRITABLE_SUFFIXES)}")
    file_format = _FORMATS[suffix]
    if picture.alpha is not None and not file_format.alpha:
        raise PictureError(f"{path}: {suffix} cannot hold the picture's alpha; write .png")
    if picture.bits == 16 and not file_format.deep:
        raise PictureError(f"{path}: {suffix} cannot hold the picture's 16 bits; write .png")
    if picture.icc_profile is not None and not file_format.profile:
        raise PictureError(f"{path}: {suffix} cannot hold the picture's colour profile; write .png")
    return file_format


def _levels(picture: Picture) -> UInt[np.ndarray, "..."]:
    """The numbers of the file, in the shape that tells Pillow the mode: two axes for grey, else three."""
    values = picture.pixels
    if picture.alpha is not None:
        values = np.concatenate([values, picture.alpha[..., None]], axis=2)
    if not np.isfinite(values).all():
        raise ValueError("the picture holds values that are not finite")
    levels = _to_levels(values, picture.bits)
    return levels[..., 0] if levels.shape[2] == 1 else levels


def _to_levels(values: Float[np.ndarray, "..."], bits: Literal[8, 16]) -> UInt[np.ndarray, "..."]:
    levels: UInt[np.ndarray, "..."] = np.rint(np.clip(values, 0, 1) * (2**bits - 1)).astype(f"uint{bits}")
    return levels


def _save_options(picture: Picture, file_format: _Format) -> dict[str, Any]:
    options = dict(file_format.options)
    if picture.icc_profile is not None:
        options["icc_profile"] = picture.icc_profile
    if picture.exif is not None and file_format.exif:
        options["exif"] = picture.exif
    return options


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a hidden file beside ``path`` that takes its place once it is written without an error."""
    unfinished = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with unfinished.open("x+b") as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
