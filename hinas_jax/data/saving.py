"""Writing picture files, whole or not at all."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt
from PIL import Image

from hinas_jax.data.deep_colour import write_png
from hinas_jax.data.pictures import Picture, PictureError, to_levels
from hinas_jax.writing import replacing


@dataclasses.dataclass(frozen=True)
class _Format:
    """What Pillow can write under a suffix."""

    name: str
    alpha: bool = False
    deep: bool = False
    profile: bool = True
    exif: bool = True  # Pillow mixes a TIFF's notes with the layout of the file
    longest: int = 2**31 - 1  #: pixels of a side
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_JPEG: Final = _Format("JPEG", longest=65500, options={"quality": 95, "subsampling": 0})
_TIFF: Final = _Format("TIFF", alpha=True, deep=True, exif=False, options={"compression": "tiff_deflate"})
_FORMATS: Final[Mapping[str, _Format]] = {
    ".png": _Format("PNG", alpha=True, deep=True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _Format("WEBP", alpha=True, longest=16383, options={"lossless": True, "exact": True}),
    ".bmp": _Format("BMP", profile=False, exif=False),
}

#: The suffixes, in lower case, that ``save`` can write.
WRITABLE_SUFFIXES: Final = tuple(_FORMATS)


def save(picture: Picture, path: Path) -> Path:
    """Write a picture in the format of the path's suffix and return the path written.

    Without a suffix, ``.png`` is added. Values beyond [0, 1] are clipped. PNG, TIFF and WebP are lossless,
    but WebP stores grey as RGB; JPEG has quality 95 and colour at full resolution; TIFF and BMP drop ``exif``. The
    file takes its name only when it is complete: whatever happens before, nothing or the older file of that name is
    there. A link of that name is replaced, not followed.

    Raises:
        PictureError: the suffix is not in ``WRITABLE_SUFFIXES``, the format cannot hold the alpha, depth, profile or
            size of the picture, or the file cannot be written.
        ValueError: the picture holds values that are not finite.
    """
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    file_format = _format_for(picture, path)
    levels = _levels(picture)
    try:
        with replacing(path) as file:
            if picture.bits == 16 and levels.ndim == 3:
                write_png(file, levels, picture.icc_profile, picture.exif, picture.dpi)
            else:
                Image.fromarray(levels).save(file, file_format.name, **_save_options(picture, file_format))
    except FileNotFoundError as error:
        raise PictureError(f"{path}: there is no folder {path.parent}; create it") from error
    except (OSError, ValueError, struct.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"{path}: cannot be written ({reason}); write elsewhere or as .png") from error
    return path


def path_that_holds(picture: Picture, path: Path, scale: int = 1) -> Path:
    """The path itself, or with the suffix .png where the format of its own cannot be written or hold the picture.

    ``scale``: how many times larger, along a side, than ``picture`` the one to be held is.
    """
    file_format = _FORMATS.get(path.suffix.lower())
    fits = file_format is not None and _lacking(picture, file_format, scale) is None
    return path if fits else path.with_suffix(".png")


def _format_for(picture: Picture, path: Path) -> _Format:
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise PictureError(f"{path}: cannot write {suffix}; use one of {' '.join(WRITABLE_SUFFIXES)}")
    file_format = _FORMATS[suffix]
    if lacking := _lacking(picture, file_format):
        raise PictureError(f"{path}: {suffix} cannot hold the picture's {lacking}; write .png")
    return file_format


def _lacking(picture: Picture, file_format: _Format, scale: int = 1) -> str | None:
    """What of the picture the format cannot hold."""
    if picture.alpha is not None and not file_format.alpha:
        return "alpha"
    colour = picture.pixels.shape[2] > 1 or picture.alpha is not None
    if picture.bits == 16 and (not file_format.deep or (colour and file_format.name != "PNG")):
        return "16 bits"
    if picture.icc_profile is not None and not file_format.profile:
        return "colour profile"
    if max(picture.pixels.shape) * scale > file_format.longest:
        return f"size (more than {file_format.longest} pixels along a side)"
    return None


def _levels(picture: Picture) -> UInt[np.ndarray, "..."]:
    """The numbers of the file, in the shape that tells Pillow the mode: two axes for grey, else three."""
    values = picture.pixels
    if picture.alpha is not None:
        values = np.concatenate([values, picture.alpha[..., None]], axis=2)
    if not np.isfinite(values).all():
        raise ValueError("the picture holds values that are not finite")
    levels = to_levels(values, picture.bits)
    return levels[..., 0] if levels.shape[2] == 1 else levels


def _save_options(picture: Picture, file_format: _Format) -> dict[str, Any]:
    options = dict(file_format.options)
    if picture.icc_profile is not None:
        options["icc_profile"] = picture.icc_profile
    if picture.exif is not None and file_format.exif:
        options["exif"] = picture.exif
    if picture.dpi is not None and file_format.name != "WEBP":
        options["dpi"] = picture.dpi
    return options
