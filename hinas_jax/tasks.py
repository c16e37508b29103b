"""Tasks, the one place where they differ: how a clean picture is degraded, and what is added to the network's output.

Pictures are floats in [0, 1]. ``degrade`` takes one picture and a key, and runs under jit and vmap.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from hinas_jax.architecture import Architecture
from hinas_jax.data import bicubic


class Task(Protocol):
    """What search, training, evaluation and restoring need to know of a task."""

    @property
    def name(self) -> str:
        """The task's name in an Architecture."""

    @property
    def scale(self) -> int:
        """Clean pixels for each degraded pixel, along one side."""

    @property
    def margin(self) -> int:
        """Degraded pixels at a crop's border that see beyond it."""

    @property
    def channels(self) -> int:
        """Channels of a picture: 1 or 3."""

    @property
    def residual(self) -> bool:
        """Whether f_net = f_res + f_skip (section 3.3) or f_res alone."""

    def degrade(
        self, key: PRNGKeyArray, clean: Float[Array, "height width channel"]
    ) -> Float[Array, "degraded_height degraded_width channel"]:
        """One degraded picture."""

    def skip(
        self, degraded: Float[Array, "*batch height width channel"]
    ) -> Float[Array, "*batch clean_height clean_width channel"]:
        """f_skip of Eq. 7: the degraded picture at the clean one's size."""


@dataclasses.dataclass(frozen=True)
class Denoise:
    """Additive white Gaussian noise; of several sigmas one is drawn for each picture.

    Attributes:
        sigmas: standard deviations in grey levels of 0 to 255.
        channels: 1 (grey, as in the paper) or 3.
        residual: whether the noisy picture is added to the network's output.
    """

    sigmas: tuple[float, ...] = (30.0, 50.0, 70.0)
    channels: int = 1
    residual: bool = True
    name: ClassVar[str] = "denoise"
    scale: ClassVar[int] = 1
    margin: ClassVar[int] = 0

    def degrade(
        self, key: PRNGKeyArray, clean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width channel"]:
        """Add noise; the sum is neither clipped nor rounded."""
        choose, draw = jax.random.split(key)
        sigma = jax.random.choice(choose, jnp.asarray(self.sigmas, clean.dtype)) / 255
        return clean + sigma * jax.random.normal(draw, clean.shape, clean.dtype)

    def skip(
        self, degraded: Float[Array, "*batch height width channel"]
    ) -> Float[Array, "*batch height width channel"]:
        """The noisy picture itself."""
        return degraded


@dataclasses.dataclass(frozen=True)
class SuperResolve:
    """Bicubic reduction as MATLAB does it on 8-bit pictures.

    Attributes:
        scale: 2, 3 or 4.
        channels: 3 (RGB, as in the paper) or 1.
        residual: whether the bicubically enlarged picture is added to the network's output.
    """

    scale: int = 2
    channels: int = 3
    residual: bool = True
    name: ClassVar[str] = "super_resolve"
    margin: ClassVar[int] = 2  # half the width of the bicubic kernel

    def degrade(
        self, key: PRNGKeyArray, clean: Float[Array, "height width channel"]
    ) -> Float[Array, "reduced_height reduced_width channel"]:
        """Reduce by ``scale``, rounded to 8 bits; the key is not needed."""
        del key
        return bicubic.downsample(clean, self.scale)

    def skip(
        self, degraded: Float[Array, "*batch height width channel"]
    ) -> Float[Array, "*batch clean_height clean_width channel"]:
        """The bicubically enlarged picture, not rounded."""
        return bicubic.upsample(degraded, self.scale)


def crop_side(task: Task, patch: int) -> int:
    """Pixels along a side of the clean crop behind a ``patch`` x ``patch`` degraded patch, margins included."""
    return (patch + 2 * task.margin) * task.scale


def degrade_crops(
    task: Task, key: PRNGKeyArray, crops: Float[Array, "batch side side channel"]
) -> tuple[Float[Array, "batch patch patch channel"], Float[Array, "batch clean clean channel"]]:
    """Degraded and clean patches from clean crops of ``crop_side`` pixels: each degraded by itself, margins cut off."""
    degraded = jax.vmap(task.degrade)(jax.random.split(key, crops.shape[0]), crops)
    return _cut(degraded, task.margin), _cut(crops, task.margin * task.scale)


def _cut(x: Float[Array, "batch height width channel"], margin: int) -> Float[Array, "batch inner inner channel"]:
    return x[:, margin : x.shape[1] - margin, margin : x.shape[2] - margin]


def crop_to_multiple(
    pixels: Shaped[np.ndarray, "height width channel"], scale: int
) -> Shaped[np.ndarray, "clean_height clean_width channel"]:
    """The picture without the last rows and columns that ``scale`` does not divide."""
    height, width = pixels.shape[:2]
    return pixels[: height - height % scale, : width - width % scale]


def restore(
    task: Task,
    output: Float[Array, "*batch clean_height clean_width channel"],
    degraded: Float[Array, "*batch height width channel"],
) -> Float[Array, "*batch clean_height clean_width channel"]:
    """f_net = f_res + f_skip of Eq. 7, from the network's ``output`` f_res; f_res alone without residual learning."""
    return output + task.skip(degraded) if task.residual else output


def task_of(architecture: Architecture, sigmas: tuple[float, ...] = (50.0,)) -> Task:
    """The task that an architecture was searched for; ``sigmas`` as in Denoise."""
    if architecture.task == Denoise.name:
        return Denoise(sigmas, architecture.channels, architecture.residual)
    return SuperResolve(architecture.scale, architecture.channels, architecture.residual)
