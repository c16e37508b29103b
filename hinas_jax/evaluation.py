"""Measuring a model, or a baseline without a network, on a set of pictures: means over them by a named protocol."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from hinas_jax.data.sources import BUNDLED, TFDS, PictureSet, Role, load_pictures
from hinas_jax.inference import ready
from hinas_jax.metrics import SSIM_WINDOW
from hinas_jax.modelfile import Model
from hinas_jax.protocols import RELEASED_TILE, Picture, Protocol, Restorer, is_tiled, measure, noise_key
from hinas_jax.released import model_path, released_models
from hinas_jax.saying import Say
from hinas_jax.tasks import TASKS, Task, TaskName, build_task, crop_to_multiple, task_of
from hinas_jax.writing import write_whole

BASELINES: Final = ("identity", "gaussian-blur", "bicubic")
BLUR_SIGMAS: Final = np.arange(0.3, 4.01, 0.1)


class EvaluationError(ValueError):
    """What is asked cannot be measured. The message is one line for people."""


@dataclasses.dataclass(frozen=True)
class Result:
    """One row: a set of pictures at one strength of degradation. PSNR in dB.

    ``strength`` has the task's name for it and its value, as {"sigma": 50.0} or {"scale": 2}; it may be empty.
    """

    set: str
    task: str
    strength: Mapping[str, float]
    images: int
    psnr: float
    ssim: float


@dataclasses.dataclass(frozen=True)
class Report:
    """All rows of one model."""

    model: str
    parameters: int
    protocol: Protocol
    results: tuple[Result, ...]


def evaluate(
    model: str,
    *,
    images: Path | None = None,
    data: str | None = None,
    protocol: Protocol = "standard",
    sigma: float | None = None,
    scale: int | None = None,
    quality: int | None = None,
    blur: float | None = None,
    task: TaskName | None = None,
    channels: int | None = None,
    first: int | None = None,
    seed: int = 0,
    say: Say = print,
) -> Report:
    """Measure a model file or a baseline.

    Args:
        model: path of a model file, the name of a released model, or one of BASELINES.
        images: folder of clean pictures, all of which are used.
        data: a root as in the config's ``data.root``, whose test pictures are used; default: bundled.
        protocol: see hinas_jax/protocols.py.
        sigma: noise level in grey levels; default: those the model was trained for.
        scale: factor of super-resolution, for a baseline; a model has its own.
        quality: of JPEG; default: those the model was trained for.
        blur: width of the Gaussian blur in pixels; default: those the model was trained for.
        task: for a baseline, if no strength tells it (``paired``); a model has its own.
        channels: 1 or 3, for a baseline; a model has its own.
        first: how many pictures to measure, in the order of their names; default: all.
        seed: of the noise.
        say: where lines for people go.

    Raises:
        EvaluationError: task and model do not fit, or the set has no test pictures.
        ModelError: the model file cannot be read.
        PictureError: the pictures cannot be read.
    """
    if not 0 <= seed < 2**32:
        raise EvaluationError(f"--seed must lie in 0..{2**32 - 1}, not {seed}")
    if model not in BASELINES and not model_path(model).exists():
        known = ", ".join([*BASELINES, *released_models()])
        raise EvaluationError(f"{model} is neither a model file nor a released model or a baseline, which are {known}")
    loaded = None if model in BASELINES else Model.load(model_path(model))
    given = {"sigma": sigma, "scale": scale, "quality": quality, "blur": blur}
    asked = {name: value for name, value in given.items() if value is not None}
    if loaded is None:
        rows = _tasks_of_baseline(model, asked, task, channels)
    else:
        rows = _tasks_of_model(model, loaded, asked, task, channels)
    if protocol == "released" and not rows[0].in_released_code:
        raise EvaluationError(f"the authors' code does not measure the task {rows[0].name}; use --protocol standard")
    name = _set_name(images, data or BUNDLED)
    pictures = _pictures(images, data or BUNDLED, rows[0])
    pictures = pictures.subset(range(min(len(pictures), first or len(pictures))))
    _check_sizes(pictures, protocol, rows[0])
    say(f"{len(pictures)} pictures of {name}, protocol {protocol}")
    restorer = baseline(model, rows[0]) if loaded is None else network_restorer(loaded)  # a baseline has one row
    results = []
    for row in rows:
        values = [
            measure(row, restorer, pixels, protocol, noise_key(seed, i))
            for i, pixels in enumerate(tqdm(pictures.pixels, desc=name, unit="picture", dynamic_ncols=True))
        ]
        means = np.mean(np.array(values, np.float64), axis=0)
        results.append(
            Result(
                set=name,
                task=row.name,
                strength=dict(zip((row.strength,), row.strengths, strict=False)),  # none where it has none
                images=len(pictures),
                psnr=float(means[0]),
                ssim=float(means[1]),
            )
        )
    parameters = 0 if loaded is None else loaded.architecture.parameters()
    return Report(model, parameters, protocol, tuple(results))


def check_writable(path: Path) -> None:
    """Find out whether ``write_report`` could write ``path``, before the work; what is there stays.

    Raises:
        EvaluationError: it could not.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        path.open("a").close()
        if new:
            path.unlink()
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written ({error.strerror})") from None


def write_report(report: Report, path: Path) -> None:
    """Write the report as JSON.

    Raises:
        EvaluationError: the file cannot be written.
    """
    document = dataclasses.asdict(report)
    document["results"] = [_flat(row) for row in document["results"]]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written ({error.strerror})") from None


def _check_sizes(pictures: PictureSet, protocol: Protocol, task: Task) -> None:
    least = RELEASED_TILE if is_tiled(protocol, task) else SSIM_WINDOW + 2 * task.scale
    for name, pixels in zip(pictures.names, pictures.pixels, strict=True):
        height, width = crop_to_multiple(pixels, task.scale).shape[:2]
        if min(height, width) < least:
            raise EvaluationError(
                f"{name}: {width}x{height} pixels is too small for the protocol {protocol},"
                f" which takes {least}x{least}; remove the picture"
            )


def network_restorer(model: Model) -> Restorer:
    """f_net of a trained model on whole pictures; one compilation for each size of picture."""
    run = ready(model)
    return lambda degraded, _: np.asarray(run(jnp.asarray(degraded)[None])[0])


def baseline(name: str, task: Task) -> Restorer:
    """A method without a network.

    identity: the degraded picture (enlarged by repetition for super-resolution). bicubic: enlarged bicubically.
    gaussian-blur: the best Gaussian blur, its width chosen for every picture with the truth in hand; not for
    super-resolution.

    Raises:
        EvaluationError: the baseline does not fit the task.
    """
    if name == "bicubic":
        if task.scale == 1:
            raise EvaluationError(f"the baseline bicubic enlarges, which the task {task.name} does not; give --scale")
        upsample = jax.jit(task.skip)
        return lambda degraded, _: np.asarray(upsample(degraded))
    if name == "gaussian-blur":
        if task.scale != 1:
            raise EvaluationError("the baseline gaussian-blur does not enlarge; give --sigma, not --scale")
        return best_gaussian_blur
    return lambda degraded, _: degraded.repeat(task.scale, axis=0).repeat(task.scale, axis=1)


def best_gaussian_blur(degraded: Picture, clean: Picture) -> Picture:
    """The Gaussian blur nearest to the clean picture: a bound for all blurs, since it knows the truth."""
    blurred = (gaussian_filter(degraded, (width, width, 0)) for width in BLUR_SIGMAS)
    best: Picture = min(blurred, key=lambda picture: float(np.mean(np.square(picture - clean))))
    return best


def _set_name(images: Path | None, data: str) -> str:
    """Of a folder its own and its parent's name, as Set5/HR."""
    if images is None and (data == BUNDLED or data.startswith(TFDS)):
        return data
    return "/".join((images or Path(data)).resolve().parts[-2:])


def _tasks_of_baseline(
    name: str, asked: Mapping[str, float], task: TaskName | None, channels: int | None
) -> list[Task]:
    """The one task of a baseline's one row, by the strength asked for or by its name."""
    kinds = [kind for kind in TASKS.values() if kind.strength in asked or kind.name == task]
    if len(kinds) != 1 or len(asked) > 1 or (kinds[0].strength and not asked):
        options = " or ".join(f"--{kind.strength}" for kind in TASKS.values() if kind.strength)
        raise EvaluationError(f"the baseline {name} needs one of {options}, or --task paired")
    kind = build_task(kinds[0].name, {} if channels is None else {"channels": channels})
    return [_at(kind, asked)] if asked else [kind]


def _tasks_of_model(
    name: str, model: Model, asked: Mapping[str, float], task: TaskName | None, channels: int | None
) -> list[Task]:
    """One task for each row: at the strength asked for, or at each that the model was trained for."""
    architecture = model.architecture
    if channels not in (None, architecture.channels):
        raise EvaluationError(f"{name} restores pictures of {architecture.channels} channels, not {channels}")
    if task not in (None, architecture.task):
        raise EvaluationError(f"{name} is for the task {architecture.task}, not {task}")
    own = task_of(architecture)
    if any(strength != own.strength for strength in asked):
        give = f"; give --{own.strength} or nothing" if own.strength else ""
        raise EvaluationError(f"{name} is for the task {own.name}, not for --{' or --'.join(asked)}{give}")
    if asked:
        row = _at(own, asked)
        if row.scale != architecture.scale:
            raise EvaluationError(f"{name} is for super-resolution x{architecture.scale}, nothing else")
        return [row]
    trained_for = _trained_for(name, model, own)
    return [trained_for.at(value) for value in trained_for.strengths] or [trained_for]


def _at(task: Task, asked: Mapping[str, float]) -> Task:
    (value,) = asked.values()
    try:
        return task.at(value)
    except ValueError as error:
        raise EvaluationError(f"--{task.strength} cannot be {value}: {error}") from None


def _trained_for(name: str, model: Model, task: Task) -> Task:
    """The task with the strengths that the model's card says it was trained for."""
    fields = dataclasses.fields(task)  # type: ignore[arg-type]
    graded = [field.name for field in fields if isinstance(getattr(task, field.name), tuple)]
    if not graded:  # no strength, or the scale, which is the network's own
        return task
    card = model.card.get("task")
    try:
        return task_of(model.architecture, {field: tuple(card[field]) for field in graded})  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise EvaluationError(
            f"{name} does not say which {task.strength} it was trained for; give --{task.strength}"
        ) from None


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the report with its strength in its place."""
    return {
        key: inner
        for name, value in row.items()
        for key, inner in (value if name == "strength" else {name: value}).items()
    }


def _pictures(images: Path | None, data: str, task: Task) -> PictureSet:
    if images is None and data != BUNDLED and not data.startswith(TFDS) and not Path(data).is_dir():
        raise EvaluationError(f"{data}: no such folder")
    role: Role = "all" if images else "test"
    pictures = load_pictures(str(images or data), role, task.channels, paired=task.paired)
    if pictures is None:
        raise EvaluationError(f"{data} has no pictures set aside for testing (a folder `test`); or give --images")
    return pictures
