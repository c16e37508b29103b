"""Restoring pictures: files of any size and mode in, files out.

A grey model restores the channels of a colour picture one by one; an RGB model sees a grey picture as three equal
channels. Large pictures go through in tiles of one size that overlap by the network's receptive field, so the result
is the whole picture's, and memory does not grow with the picture.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from hinas_jax.compiling import MemoryNeedError
from hinas_jax.data.bicubic import upsample
from hinas_jax.data.finding import find_pictures
from hinas_jax.data.names import printable
from hinas_jax.data.pictures import Picture, PictureError, load
from hinas_jax.data.saving import path_that_holds, save
from hinas_jax.inference import Run, ready
from hinas_jax.modelfile import Model
from hinas_jax.saying import Say
from hinas_jax.space.network import receptive_radius
from hinas_jax.tiling import each_tile, join_tiles, tile_starts

TILE: Final = 512
TILES_OF_A_BAR: Final = 4  #: from so many on, a picture's tiles are counted on the screen
BICUBIC_RADIUS: Final = 2
MOST_RESULT_PIXELS: Final = 2**29  #: of a restored picture; 6 GiB of them while RGB is restored


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
        self._enlarge = jax.jit(functools.partial(upsample, scale=model.architecture.scale))
        self.scale = model.architecture.scale  #: the result's side over the picture's

    def __call__(self, pixels: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "high wide channel"]:
        """Restore a picture of 1 or 3 channels with values in [0, 1]; the result is clipped to [0, 1]."""
        wanted, given = self._architecture.channels, pixels.shape[-1]
        if wanted == given:
            restored = self._tiled(self._run, pixels)
        elif wanted == 1:
            restored = np.concatenate([self._tiled(self._run, pixels[..., c : c + 1]) for c in range(given)], axis=-1)
        else:
            restored = self._tiled(self._run, pixels.repeat(3, axis=-1)).mean(axis=-1, keepdims=True)
        clipped: Float[np.ndarray, "high wide channel"] = np.clip(restored, 0, 1, out=restored)
        return clipped

    def picture(self, picture: Picture) -> Picture:
        """Restore a picture with what belongs to it: alpha (enlarged with it), depth, profile, notes, printed size."""
        alpha = picture.alpha
        if alpha is not None and self.scale > 1:
            enlarged = self._tiled(self._enlarge, alpha[..., None])
            alpha = np.clip(enlarged[..., 0], 0, 1)
        dpi = picture.dpi and (picture.dpi[0] * self.scale, picture.dpi[1] * self.scale)  # as large on paper
        return dataclasses.replace(picture, pixels=self(picture.pixels), alpha=alpha, dpi=dpi)

    def _tiled(self, run: Run, pixels: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "..."]:
        """Tile by tile: only one of them is on the device at a time."""
        height, width = pixels.shape[:2]
        count = math.prod(len(tile_starts(side, self._tile, self._overlap)) for side in (height, width))
        # a bar on a terminal, where there is time to look at one
        quiet = True if count < TILES_OF_A_BAR else None
        bar = tqdm(total=count, unit="tile", leave=False, dynamic_ncols=True, disable=quiet)

        def restore(tile: Float[np.ndarray, "height width channel"]) -> Float[np.ndarray, "high wide channel"]:
            result: Float[np.ndarray, "high wide channel"] = np.asarray(run(jnp.asarray(tile[None], jnp.float32)))[0]
            bar.update()
            return result

        with bar:
            tiles = map(restore, each_tile(pixels, self._tile, self._overlap))
            restored: Float[np.ndarray, "..."] = join_tiles(tiles, height, width, self._tile, self._overlap)
            return restored


def restore_files(
    model: Path, inputs: Sequence[Path], output: Path, *, tile: int = TILE, keep: bool = False, say: Say = print
) -> int:
    """Restore files, and folders of files with their inner structure, into the folder ``output``.

    One picture after the other is read, restored and written; what is wrong with one costs it a line, and the others
    nothing. No result is written outside ``output``, whatever names or links lead there, and none over its source.

    Args:
        model: a model file.
        inputs: pictures, or folders of pictures; results that lie in such a folder already are no inputs.
        output: folder for the results, under the pictures' own names and in their formats; PNG where the format
            cannot be written or cannot hold the result.
        tile: see Restorer.
        keep: leave alone the results that are there already, instead of writing them anew.
        say: where lines for people go: one for each picture.

    Returns:
        How many pictures, or folders, could not be restored; each has had its line.

    Raises:
        ModelError: the model file cannot be read.
        PictureError: ``output`` cannot be made.
        ValueError: no inputs, or a tile of no pixels.
    """
    if not inputs or tile < 1:
        raise ValueError("name a picture to restore" if not inputs else f"--tile must be 1 or more, not {tile}")
    restorer = Restorer(Model.load(model), tile)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(f"{output}: cannot be written ({error.strerror}); give another --output") from None
    errors: list[PictureError] = []

    def refuse(error: PictureError) -> None:
        errors.append(error)
        say(str(error))

    results = _Results(restorer, output, keep)
    targets = _targets(inputs, output, refuse)
    for number, (source, name) in enumerate(targets, 1):
        count = f"[{number}/{len(targets)}] " if len(targets) > 1 else ""
        try:
            say(count + printable(results.add(source, name)))
        except PictureError as error:
            refuse(PictureError(f"{count}{error}"))
        except OSError as error:  # of a path that nobody has looked at before, as a result's name that is too long
            refuse(PictureError(f"{count}{source}: {error.filename}: {error.strerror}; rename it"))
    return len(errors)


class _Results:
    """The folder of the results."""

    def __init__(self, restorer: Restorer, output: Path, keep: bool) -> None:
        self._restorer, self._output, self._keep = restorer, output, keep
        self._written: dict[Path, Path] = {}

    def add(self, source: Path, name: Path) -> str:
        """Restore a file and write it under ``name``; returns the line that tells it."""
        picture = load(source)
        target = path_that_holds(picture, self._output / name, self._restorer.scale)
        self._check(source, target)
        self._written[target] = source
        if self._keep and target.exists():
            return f"{source}: {target} is there already"
        height, width = picture.pixels.shape[:2]
        if height * width * self._restorer.scale**2 > MOST_RESULT_PIXELS:
            raise PictureError(f"{source}: the result would have more than {MOST_RESULT_PIXELS:,} pixels; cut it up")
        try:
            restored = self._restorer.picture(picture)
        except MemoryNeedError as error:
            raise PictureError(f"{source}: {error} (--tile)") from None
        if not np.isfinite(restored.pixels).all():
            raise PictureError(f"{source}: the model gives values that are no numbers; it is damaged, fetch it again")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PictureError(f"{target.parent}: cannot be made ({error.strerror}); give another --output") from None
        save(restored, target)
        first = ", the first of several pictures in the file" if picture.first_of_several else ""
        return f"{source} ({width}x{height}{first}) -> {target}"

    def _check(self, source: Path, target: Path) -> None:
        try:
            inside = target.parent.resolve().is_relative_to(self._output.resolve())
            own = target.resolve() == source.resolve()
        except (OSError, RuntimeError):  # links that lead in circles
            inside, own = False, False
        if not inside:
            raise PictureError(f"{source}: a link at {target.parent} leads out of --output; remove the link")
        if own:
            raise PictureError(f"{source}: the result would replace it; give another --output")
        if target in self._written:
            raise PictureError(
                f"{source}: its result would replace that of {self._written[target]}; rename one of them"
            )


def _targets(inputs: Sequence[Path], output: Path, refuse: Callable[[PictureError], None]) -> list[tuple[Path, Path]]:
    """Each picture, and its name in the output folder."""
    targets: list[tuple[Path, Path]] = []
    for given in inputs:
        try:
            if not given.is_dir():
                targets.append((given, Path(given.name)))
                continue
            found = find_pictures(given, refuse)
        except PictureError as error:
            refuse(error)
            continue
        except OSError as error:
            refuse(PictureError(f"{given}: cannot be read ({error.strerror}); check the path"))
            continue
        results = output.resolve()
        if given.resolve() in results.parents:  # an earlier run's results are no inputs
            found = [path for path in found if not path.resolve().is_relative_to(results)]
        targets += [(path, path.relative_to(given)) for path in found]
    return targets
