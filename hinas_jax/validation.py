"""Evaluation on V while searching and training (section 4.1): adjacent tiles of one shape, noise from a seed.

It is a protocol of its own: what it measures is called ``run_files.V_PROTOCOL``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from hinas_jax.compiling import compile_step
from hinas_jax.data.sources import PictureSet
from hinas_jax.mesh import cut, whole
from hinas_jax.metrics import psnr, ssim
from hinas_jax.saying import Say
from hinas_jax.tasks import Task, crop_to_multiple
from hinas_jax.tiling import cut_tiles, join_tiles

Restore = Callable[[Any, Any], Float[Array, "batch height width channel"]]


@dataclasses.dataclass(frozen=True)
class Score:
    """Means over V of per-picture PSNR (dB) and SSIM."""

    psnr: float
    ssim: float

    @property
    def value(self) -> float:
        """What the best is chosen by: SSIM + PSNR / 100."""
        return self.ssim + self.psnr / 100


class Validation:
    """V, degraded once and cut into tiles; ``score`` evaluates any variables with one compiled function."""

    def __init__(self, pictures: PictureSet, task: Task, *, seed: int, tile: int, batch: int) -> None:
        self._task, self._tile, self._batch = task, tile, batch
        keys = jax.random.split(jax.random.key(seed), len(pictures))
        pair = jax.jit(task.pair)
        self._clean: list[np.ndarray] = []
        self._sizes: list[tuple[int, int]] = []
        tiles = []
        for key, pixels in zip(keys, pictures.pixels, strict=True):
            given = crop_to_multiple(pixels, task.scale).astype(np.float32) / 255
            degraded, clean = (np.asarray(picture) for picture in pair(key, given))
            self._clean.append(clean)
            self._sizes.append(degraded.shape[:2])
            tiles.append(cut_tiles(degraded, tile))
        self._counts = [len(part) for part in tiles]
        self._tiles = np.concatenate(tiles)

    def compile(
        self, function: Restore, variables: Any, mesh: Mesh, say: Say, *, deterministic: bool = False
    ) -> Restore:
        """Compile ``function`` for variables like these, and for batches of our tiles, which the devices share.

        A batch holds no more tiles than there are, but for what makes the devices' parts equal.
        """
        self._batch = -(-min(self._batch, len(self._tiles)) // mesh.size) * mesh.size
        tiles = np.zeros((self._batch, *self._tiles.shape[1:]), np.float32)
        jitted = jax.jit(function, out_shardings=whole(mesh))
        arguments = (variables, cut(tiles, mesh))
        program = compile_step("the evaluation on V", jitted, arguments, say, deterministic=deterministic)
        return lambda variables, tiles: program(variables, cut(tiles, mesh))

    def skip_score(self) -> Score:
        """The score of f_skip alone: of the degraded pictures, enlarged for super-resolution."""
        skip = jax.jit(self._task.skip)
        return self.score(lambda _, tiles: skip(tiles), None)

    def score(self, restore: Restore, variables: Any) -> Score:
        """Restore all tiles, join them, and measure each picture against the clean one.

        Args:
            restore: compiled f_net: variables and a batch of tiles to restored tiles.
            variables: its first argument.
        """
        parts, ahead = [], None
        for start in range(0, len(self._tiles), self._batch):
            batch = self._tiles[start : start + self._batch]
            missing = self._batch - len(batch)
            given = restore(variables, np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0))))
            if ahead is not None:  # one ahead and no more: devices of a CPU with many at once wait for ever
                parts.append(np.asarray(ahead))
            ahead = given
        restored = np.concatenate([*parts, np.asarray(ahead)])
        values, start = [], 0
        for clean, count, (height, width) in zip(self._clean, self._counts, self._sizes, strict=True):
            picture = join_tiles(restored[start : start + count], height, width, self._tile)
            values.append(_measure(picture, clean))
            start += count
        means = np.mean(np.array(values, np.float64), axis=0)
        return Score(float(means[0]), float(means[1]))


@jax.jit
def _measure(
    picture: Float[Array, "height width channel"], clean: Float[Array, "height width channel"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    return psnr(picture, clean), ssim(picture, clean)
