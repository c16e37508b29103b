"""Restoring pictures: files of any size and mode in, files out.

A grey model restores the channels of a colour picture one by one; an RGB model sees a grey picture as three equal
channels. Large pictures go through in tiles of one size that overlap by the network's receptive field, so the result
is the whole picture's, and memory does not grow with the picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from hinas_jax.compiling import Say
from hinas_jax.data.bicubic import upsample
from hinas_jax.data.pictures import WRITABLE_SUFFIXES, Picture, PictureError, find_pictures, load, save
from hinas_jax.inference import ready
from hinas_jax.modelfile import Model
from hinas_jax.space.network import receptive_radius
from hinas_jax.tiling import cut_tiles, join_tiles

TILE: Final = 512
BICUBIC_RADIUS: Final = 2


class Restorer:
    """A model ready to restore pictures; the same tile size is compiled once."""

    def __init__(self, model: Model, tile: int = TILE) -> None:
        """Take a model.

        Args:
            model: any trained model.
            tile: side of the tiles that larger pictures are cut into, in pixels of the input; at least three times
                the network's receptive radius is used.
        """
        self._architecture = model.architecture
        radius = max(receptive_radius(model.architecture), BICUBIC_RADIUS)
        self._tile, self._overlap = max(tile, 3 * radius), 2 * radius
        self._run = ready(model)

    def __call__(self, pixels: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "high wide channel"]:
        """Restore a picture of 1 or 3 channels with values in [0, 1]; the result is clipped to [0, 1]."""
        wanted, given = self._architecture.channels, pixels.shape[-1]
        if wanted == given:
            restored = self._tiled(pixels)
        elif wanted == 1:
            restored = np.concatenate([self._tiled(pixels[..., c : c + 1]) for c in range(given)], axis=-1)
        else:
            restored = self._tiled(pixels.repeat(3, axis=-1)).mean(axis=-1, keepdims=True)
        clipped: Float[np.ndarray, "high wide channel"] = np.clip(restored, 0, 1)
        return clipped

    def picture(self, picture: Picture) -> Picture:
        """Restore a picture with what belongs to it: alpha (enlarged with it), bit depth, profile."""
        scale, alpha = self._architecture.scale, picture.alpha
        if alpha is not None and scale > 1:
            alpha = np.clip(np.asarray(upsample(jnp.asarray(alpha)[..., None], scale))[..., 0], 0, 1)
        return dataclasses.replace(picture, pixels=self(picture.pixels), alpha=alpha)

    def _tiled(self, pixels: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "high wide channel"]:
        height, width = pixels.shape[:2]
        tiles = cut_tiles(pixels.astype(np.float32), self._tile, self._overlap)
        restored = np.concatenate([np.asarray(self._run(jnp.asarray(tile[None]))) for tile in tiles])
        return join_tiles(restored, height, width, self._tile, self._overlap)


def restore_files(model: Path, inputs: Sequence[Path], output: Path, *, tile: int = TILE, say: Say = print) -> int:
    """Restore files, and folders of files with their inner structure, into the folder ``output``.

    Args:
        model: a model file.
        inputs: pictures, or folders of pictures.
        output: folder for the results, under the pictures' own names; formats that cannot be written become PNG.
        tile: see Restorer.
        say: where lines for people go: one for each picture.

    Returns:
        How many pictures could not be restored; each has had its line.

    Raises:
        ModelError: the model file cannot be read.
        PictureError: an input folder holds no pictures, or ``output`` cannot be made.
        ValueError: no inputs, or a tile of no pixels.
    """
    if not inputs or tile < 1:
        raise ValueError("name a picture to restore" if not inputs else f"--tile must be 1 or more, not {tile}")
    restorer = Restorer(Model.load(model), tile)
    failures = 0
    written: dict[Path, Path] = {}
    for source, name in _targets(inputs):
        try:
            target = _writable(output / name)
            if target.resolve() == source.resolve():
                raise PictureError(f"{source}: the result would replace it; give another --output")
            if target in written:
                raise PictureError(f"{source}: its result would replace that of {written[target]}; rename one of them")
            written[target] = source
            picture = load(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            save(restorer.picture(picture), target)
            height, width = picture.pixels.shape[:2]
            say(f"{source} ({width}x{height}) -> {target}")
        except PictureError as error:
            failures += 1
            say(str(error))
        except OSError as error:
            raise PictureError(f"{output}: cannot be written ({error.strerror}); give another --output") from None
    return failures


def _targets(inputs: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Each picture, and its name in the output folder."""
    targets: list[tuple[Path, Path]] = []
    for given in inputs:
        if given.is_dir():
            targets += [(path, path.relative_to(given)) for path in find_pictures(given)]
        else:
            targets.append((given, Path(given.name)))
    return targets


def _writable(path: Path) -> Path:
    return path if path.suffix.lower().lstrip(".") in WRITABLE_SUFFIXES else path.with_suffix(".png")
