"""Tasks, the one place where they differ: how pictures are degraded, what f_skip is, how results are compared.

A new task is one class below ``Task`` and its name in ``TaskName`` and ``TASKS``; its fields are named as those of the
config. Pictures are floats in [0, 1]; ``degrade`` takes one picture and a key, and runs under jit and vmap.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from hinas_jax.architecture import Architecture, ArchitectureError
from hinas_jax.data import bicubic
from hinas_jax.data.blur import gaussian_blur
from hinas_jax.data.jpeg import compress

TaskName = Literal["denoise", "super_resolve", "deblock", "deblur", "paired"]

#: Of several strengths: one of them for each picture, or any between the least and the greatest, evenly.
Draw = Literal["set", "range"]

#: How a restored picture is compared with the clean one: as it is, or as the literature of super-resolution does, by
#: the luma of 8-bit pictures without their border.
Comparison = Literal["pixels", "luma"]


class Task(abc.ABC):
    """What search, training, evaluation and restoring need to know of a task. Subclasses are frozen dataclasses.

    Attributes:
        name: the task's name in configs and in an Architecture.
        strength: what results and the command line call the strength of the degradation; "" where it has none.
        paired: whether the data show degraded pictures too, as further channels of the clean ones.
        comparison: see ``Comparison``.
        in_released_code: whether the authors' test code measures this task (the protocol ``released``).
        channels: of a picture, 1 or 3.
        residual: whether f_net = f_res + f_skip (section 3.3) or f_res alone.
    """

    name: ClassVar[TaskName]
    strength: ClassVar[str] = ""
    paired: ClassVar[bool] = False
    comparison: ClassVar[Comparison] = "pixels"
    in_released_code: ClassVar[bool] = False
    channels: int
    residual: bool

    @property
    def scale(self) -> int:
        """Clean pixels for each degraded pixel, along one side."""
        return 1

    @property
    def margin(self) -> int:
        """Degraded pixels at a crop's border that see beyond it."""
        return 0

    @property
    def strengths(self) -> tuple[float, ...]:
        """The strengths that are trained for; each is a row of an evaluation."""
        return ()

    def at(self, strength: float) -> Task:
        """The same task at one strength only.

        Raises:
            ValueError: it is out of range; the message begins with the name of the field.
        """
        raise ValueError(f"{self.name} has no strength to set to {strength:g}")

    @abc.abstractmethod
    def degrade(
        self, key: PRNGKeyArray, clean: Float[Array, "height width channel"]
    ) -> Float[Array, "degraded_height degraded_width channel"]:
        """One degraded picture."""

    def pair(
        self, key: PRNGKeyArray, picture: Float[Array, "height width data_channel"]
    ) -> tuple[Float[Array, "degraded_height degraded_width channel"], Float[Array, "height width channel"]]:
        """The degraded and the clean picture of what the data give, which is the clean one alone unless ``paired``."""
        return self.degrade(key, picture), picture

    def skip(
        self, degraded: Float[Array, "*batch height width channel"]
    ) -> Float[Array, "*batch clean_height clean_width channel"]:
        """f_skip of Eq. 7, the degraded picture at the clean one's size: here, itself."""
        return degraded


@dataclasses.dataclass(frozen=True)
class Denoise(Task):
    """Additive white Gaussian noise.

    Attributes:
        sigmas: standard deviations in grey levels of 0 to 255.
        channels: 1 (grey, as in the paper) or 3.
        residual: whether the noisy picture is added to the network's output.
        draw: how one of several sigmas is drawn for each picture.
    """

    sigmas: tuple[float, ...] = (30.0, 50.0, 70.0)
    channels: int = 1
    residual: bool = True
    draw: Draw = "set"
    name: ClassVar[TaskName] = "denoise"
    strength: ClassVar[str] = "sigma"
    in_released_code: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ok = all(0 < sigma <= 255 for sigma in self.sigmas)
        _require_strengths("sigmas", self.sigmas, self.draw, ok, "noise levels above 0 and up to 255")

    @property
    def strengths(self) -> tuple[float, ...]:
        """The sigmas."""
        return self.sigmas

    def at(self, strength: float) -> Denoise:
        """One sigma."""
        return dataclasses.replace(self, sigmas=(strength,), draw="set")

    def degrade(
        self, key: PRNGKeyArray, clean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width channel"]:
        """Add noise; the sum is neither clipped nor rounded."""
        choose, noise = jax.random.split(key)
        sigma = _drawn(choose, self.sigmas, self.draw).astype(clean.dtype) / 255
        return clean + sigma * jax.random.normal(noise, clean.shape, clean.dtype)


@dataclasses.dataclass(frozen=True)
class SuperResolve(Task):
    """Bicubic reduction as MATLAB does it on 8-bit pictures.

    Attributes:
        scale: 2, 3, 4 or 8.
        channels: 3 (RGB, as in the paper) or 1.
        residual: whether the bicubically enlarged picture is added to the network's output.
    """

    scale: int = 2
    channels: int = 3
    residual: bool = True
    name: ClassVar[TaskName] = "super_resolve"
    strength: ClassVar[str] = "scale"
    comparison: ClassVar[Comparison] = "luma"
    in_released_code: ClassVar[bool] = True
    margin: ClassVar[int] = 2  # half the width of the bicubic kernel

    def __post_init__(self) -> None:
        if self.scale not in (2, 3, 4, 8):
            raise ValueError(f"scale must be 2, 3, 4 or 8 for super-resolution, not {self.scale}")

    @property
    def strengths(self) -> tuple[float, ...]:
        """The scale."""
        return (self.scale,)

    def at(self, strength: float) -> SuperResolve:
        """Another scale, which is another network too."""
        return dataclasses.replace(self, scale=cast(int, strength))

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


@dataclasses.dataclass(frozen=True)
class Deblock(Task):
    """JPEG artefacts: blocks and ringing that quantisation leaves. RGB is coded with colour at half the resolution.

    Attributes:
        qualities: 1 (worst) to 100, as in libjpeg and Pillow.
        channels: 1 (grey, as in most of the literature) or 3.
        residual: whether the decoded picture is added to the network's output.
        draw: how one of several qualities is drawn for each picture.
    """

    qualities: tuple[int, ...] = (10, 20, 30, 40)
    channels: int = 1
    residual: bool = True
    draw: Draw = "set"
    name: ClassVar[TaskName] = "deblock"
    strength: ClassVar[str] = "quality"

    def __post_init__(self) -> None:
        ok = all(1 <= quality <= 100 and quality == int(quality) for quality in self.qualities)
        _require_strengths("qualities", self.qualities, self.draw, ok, "whole numbers from 1 to 100")

    @property
    def strengths(self) -> tuple[float, ...]:
        """The qualities."""
        return self.qualities

    def at(self, strength: float) -> Deblock:
        """One quality."""
        return dataclasses.replace(self, qualities=(cast(int, strength),), draw="set")

    def degrade(
        self, key: PRNGKeyArray, clean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width channel"]:
        """Save as JPEG and read again; blocks start at the picture's (or crop's) upper left corner."""
        return compress(clean, jnp.round(_drawn(key, self.qualities, self.draw)))


@dataclasses.dataclass(frozen=True)
class Deblur(Task):
    """Gaussian blur, rounded to 8 bits.

    Attributes:
        blurs: standard deviations of the kernel, in pixels.
        channels: 3 (RGB) or 1.
        residual: whether the blurred picture is added to the network's output.
        draw: how one of several blurs is drawn for each picture.
    """

    blurs: tuple[float, ...] = (1.6,)
    channels: int = 3
    residual: bool = True
    draw: Draw = "set"
    name: ClassVar[TaskName] = "deblur"
    strength: ClassVar[str] = "blur"

    def __post_init__(self) -> None:
        ok = all(0 < blur <= 10 for blur in self.blurs)
        _require_strengths("blurs", self.blurs, self.draw, ok, "widths in pixels above 0 and up to 10")

    @property
    def margin(self) -> int:
        """Three standard deviations of the widest kernel, where it is cut off."""
        return math.ceil(3 * max(self.blurs))

    @property
    def strengths(self) -> tuple[float, ...]:
        """The blurs."""
        return self.blurs

    def at(self, strength: float) -> Deblur:
        """One blur."""
        return dataclasses.replace(self, blurs=(strength,), draw="set")

    def degrade(
        self, key: PRNGKeyArray, clean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width channel"]:
        """Blur and round to levels / 255."""
        blurred = gaussian_blur(clean, _drawn(key, self.blurs, self.draw), self.margin)
        return jnp.round(255 * blurred) / 255


@dataclasses.dataclass(frozen=True)
class Paired(Task):
    """Real degradations: the data show every picture twice, clean and degraded, in the same place.

    Attributes:
        channels: 3 (RGB) or 1.
        residual: whether the degraded picture is added to the network's output.
    """

    channels: int = 3
    residual: bool = True
    name: ClassVar[TaskName] = "paired"
    paired: ClassVar[bool] = True

    def degrade(
        self, key: PRNGKeyArray, clean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width channel"]:
        """Refused: nobody knows how.

        Raises:
            ValueError: always.
        """
        raise ValueError("real degradations cannot be made from a clean picture; give pairs")

    def pair(
        self, key: PRNGKeyArray, picture: Float[Array, "height width two_pictures"]
    ) -> tuple[Float[Array, "height width channel"], Float[Array, "height width channel"]]:
        """The second half of the channels and the first; the key is not needed."""
        del key
        return picture[..., self.channels :], picture[..., : self.channels]


TASKS: Final[Mapping[str, type[Task]]] = {kind.name: kind for kind in (Denoise, SuperResolve, Deblock, Deblur, Paired)}


def build_task(name: str, fields: Mapping[str, Any]) -> Task:
    """The task of a name, with those of ``fields`` that it has.

    Raises:
        ValueError: there is no such task, or a field is out of its range; the message begins with the field's name.
    """
    if name not in TASKS:
        raise ValueError(f"task {name!r} is not one of {', '.join(TASKS)}")
    kind: Any = TASKS[name]
    task: Task = kind(**{field.name: fields[field.name] for field in dataclasses.fields(kind) if field.name in fields})
    return task


def task_of(architecture: Architecture, trained_for: Mapping[str, Any] | None = None) -> Task:
    """The task that an architecture was searched for.

    Args:
        architecture: says the task, channels, scale and residual learning.
        trained_for: further fields of the task, as the strengths that a model's card names; the rest as by default.

    Raises:
        ArchitectureError: there is no such task, or it does not go with the architecture's scale.
        ValueError: a field of ``trained_for`` is out of its range.
    """
    own = {name: getattr(architecture, name) for name in ("channels", "residual", "scale")}
    try:
        task = build_task(architecture.task, own)
    except ValueError as error:
        raise ArchitectureError(str(error)) from None
    if task.scale != architecture.scale:
        raise ArchitectureError(f"task {architecture.task!r} does not go with scale {architecture.scale}")
    return build_task(architecture.task, dict(trained_for or {}) | own)


def crop_side(task: Task, patch: int) -> int:
    """Pixels along a side of the clean crop behind a ``patch`` x ``patch`` degraded patch, margins included."""
    return (patch + 2 * task.margin) * task.scale


def degrade_crops(
    task: Task, key: PRNGKeyArray, crops: Float[Array, "batch side side data_channel"]
) -> tuple[Float[Array, "batch patch patch channel"], Float[Array, "batch clean clean channel"]]:
    """Degraded and clean patches from crops of ``crop_side`` pixels: each degraded by itself, margins cut off."""
    degraded, clean = jax.vmap(task.pair)(jax.random.split(key, crops.shape[0]), crops)
    return _cut(degraded, task.margin), _cut(clean, task.margin * task.scale)


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


def _drawn(key: PRNGKeyArray, strengths: tuple[float, ...], draw: Draw) -> Float[Array, ""]:
    values = jnp.asarray(strengths, jnp.float32)
    if draw == "range":
        return jax.random.uniform(key, minval=values.min(), maxval=values.max())
    return jax.random.choice(key, values)


def _require_strengths(field: str, strengths: tuple[float, ...], draw: Draw, ok: bool, what: str) -> None:
    if not strengths or not ok:
        raise ValueError(f"{field} must be one or more {what}, not {strengths}")
    if draw == "range" and min(strengths) == max(strengths):
        raise ValueError(f"{field} must name both ends of the range that draw = 'range' draws from, not {strengths}")
