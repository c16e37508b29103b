"""Measuring a model, or a baseline without a network, by a named protocol.

standard: whole pictures. Denoising: one seeded draw of noise, neither clipped nor rounded. Super-resolution: the output
    clipped and rounded to 8 bits, Y of BT.601 studio range kept as float, ``scale`` pixels of border cropped.
released: as the authors' test code measures, for comparison with the paper's rows only. Denoising: tiles of 64 pixels
    at a stride of 48, FRESH noise for every tile, overlaps averaged. Super-resolution: Y with the weights of R and B
    swapped, no border cropped, nothing rounded, SSIM over the zero-padded picture.
Both: the mean over pictures of each picture's PSNR and SSIM.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from hinas_jax.compiling import Say
from hinas_jax.data.colour import luma
from hinas_jax.data.sources import BUNDLED, TFDS, PictureSet, load_pictures
from hinas_jax.inference import ready
from hinas_jax.metrics import SSIM_WINDOW, psnr, ssim
from hinas_jax.modelfile import Model
from hinas_jax.tasks import Denoise, SuperResolve, Task, crop_to_multiple, task_of
from hinas_jax.tiling import tile_starts

Protocol = Literal["standard", "released"]
Picture = Float[np.ndarray, "height width channel"]
Restorer = Callable[[Picture, Picture], Picture]  #: degraded picture, clean one (for bounds only) -> restored

BASELINES: Final = ("identity", "gaussian-blur", "bicubic")
BLUR_SIGMAS: Final = np.arange(0.3, 4.01, 0.1)
RELEASED_TILE: Final = 64
RELEASED_OVERLAP: Final = 16


class EvaluationError(ValueError):
    """What is asked cannot be measured. The message is one line for people."""


@dataclasses.dataclass(frozen=True)
class Result:
    """One row: a set of pictures at one level of degradation. PSNR in dB."""

    set: str
    task: str
    sigma: float | None
    scale: int | None
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
    channels: int | None = None,
    seed: int = 0,
    say: Say = print,
) -> Report:
    """Measure a model file or a baseline.

    Args:
        model: path of a model file, or one of BASELINES.
        images: folder of clean pictures, all of which are used.
        data: a root as in the config's ``data.root``, whose test pictures are used; default: bundled.
        protocol: see the head of this module.
        sigma: noise level in grey levels; default: those the model was trained for.
        scale: factor of super-resolution, for a baseline; a model has its own.
        channels: 1 or 3, for a baseline; a model has its own.
        seed: of the noise.
        say: where lines for people go.

    Raises:
        EvaluationError: task and model do not fit, or the set has no test pictures.
        ModelError: the model file cannot be read.
        PictureError: the pictures cannot be read.
    """
    if not 0 <= seed < 2**32:
        raise EvaluationError(f"--seed must lie in 0..{2**32 - 1}, not {seed}")
    if model not in BASELINES and not Path(model).exists():
        raise EvaluationError(f"{model} is neither a model file nor one of the baselines {', '.join(BASELINES)}")
    loaded = None if model in BASELINES else Model.load(Path(model))
    tasks = _tasks(model, loaded, sigma, scale, channels)
    name = _set_name(images, data or BUNDLED)
    pictures = _pictures(images, data or BUNDLED, tasks[0].channels)
    _check_sizes(pictures, protocol, tasks[0])
    say(f"{len(pictures)} pictures of {name}, protocol {protocol}")
    results = []
    for task in tasks:
        restorer = baseline(model, task) if loaded is None else network_restorer(loaded)
        values = [
            measure(task, restorer, pixels, protocol, jax.random.fold_in(jax.random.key(seed), i))
            for i, pixels in enumerate(tqdm(pictures.pixels, desc=name, unit="picture", dynamic_ncols=True))
        ]
        means = np.mean(np.array(values, np.float64), axis=0)
        results.append(
            Result(
                set=name,
                task=task.name,
                sigma=task.sigmas[0] if isinstance(task, Denoise) else None,
                scale=task.scale if isinstance(task, SuperResolve) else None,
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
    for row in document["results"]:
        row.pop("scale" if row["scale"] is None else "sigma")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written ({error.strerror})") from None


def measure(
    task: Task, restorer: Restorer, pixels: np.ndarray, protocol: Protocol, key: jax.Array
) -> tuple[float, float]:
    """PSNR and SSIM of one picture, degraded, restored and compared as the protocol says."""
    pixels = crop_to_multiple(pixels, task.scale)
    clean = pixels.astype(np.float32) / 255
    if protocol == "released" and isinstance(task, Denoise):
        restored = _restore_fresh_tiles(task, restorer, clean, key)
    else:
        restored = restorer(np.asarray(_degrade(task, key, clean)), clean)
    if isinstance(task, SuperResolve):
        restored, clean = (_luma_of_output(picture, protocol, task.scale) for picture in (restored, clean))
        if protocol == "released":
            padding = SSIM_WINDOW // 2
            padded = [np.pad(x, ((padding, padding), (padding, padding), (0, 0))) for x in (restored, clean)]
            return float(_psnr(restored, clean)), float(_ssim(*padded))
    return psnr_and_ssim(restored, clean)


def _check_sizes(pictures: PictureSet, protocol: Protocol, task: Task) -> None:
    tiled = protocol == "released" and isinstance(task, Denoise)
    least = RELEASED_TILE if tiled else SSIM_WINDOW + 2 * task.scale
    for name, pixels in zip(pictures.names, pictures.pixels, strict=True):
        height, width = crop_to_multiple(pixels, task.scale).shape[:2]
        if min(height, width) < least:
            raise EvaluationError(
                f"{name}: {width}x{height} pixels is too small for the protocol {protocol},"
                f" which takes {least}x{least}; remove the picture"
            )


def psnr_and_ssim(restored: Picture, clean: Picture) -> tuple[float, float]:
    """PSNR in dB and SSIM of two pictures in [0, 1]."""
    return float(_psnr(restored, clean)), float(_ssim(restored, clean))


def network_restorer(model: Model) -> Restorer:
    """f_net of a trained model on whole pictures; one compilation for each size of picture."""
    run = ready(model)
    return lambda degraded, _: np.asarray(run(jnp.asarray(degraded)[None])[0])


def baseline(name: str, task: Task) -> Restorer:
    """A method without a network.

    identity: the degraded picture (enlarged by repetition for super-resolution). bicubic: enlarged bicubically.
    gaussian-blur: the best Gaussian blur, its width chosen for every picture with the truth in hand.

    Raises:
        EvaluationError: the baseline does not fit the task.
    """
    if name == "bicubic":
        if not isinstance(task, SuperResolve):
            raise EvaluationError("the baseline bicubic is for super-resolution; give --scale, not --sigma")
        upsample = jax.jit(task.skip)
        return lambda degraded, _: np.asarray(upsample(degraded))
    if name == "gaussian-blur":
        if not isinstance(task, Denoise):
            raise EvaluationError("the baseline gaussian-blur is for denoising; give --sigma, not --scale")
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


def _tasks(name: str, model: Model | None, sigma: float | None, scale: int | None, channels: int | None) -> list[Task]:
    """One task for each row of the report."""
    if sigma is not None and not 0 < sigma <= 255:
        raise EvaluationError(f"--sigma must be above 0 and up to 255, not {sigma:g}")
    if model is None:
        if (sigma is None) == (scale is None):
            raise EvaluationError(f"the baseline {name} needs either --sigma or --scale")
        if scale is not None and scale not in (2, 3, 4):
            raise EvaluationError(f"--scale must be 2, 3 or 4, not {scale}")
        if sigma is not None:
            return [Denoise((sigma,), channels or 1)]
        return [SuperResolve(scale or 2, channels or 3)]
    architecture = model.architecture
    if channels not in (None, architecture.channels):
        raise EvaluationError(f"{name} restores pictures of {architecture.channels} channels, not {channels}")
    if architecture.task == Denoise.name:
        if scale is not None:
            raise EvaluationError(f"{name} denoises; give --sigma, not --scale")
        sigmas = (sigma,) if sigma is not None else _sigmas_of(name, model)
        return [task_of(architecture, (s,)) for s in sigmas]
    if sigma is not None or scale not in (None, architecture.scale):
        raise EvaluationError(f"{name} is for super-resolution x{architecture.scale}, nothing else")
    return [task_of(architecture)]


def _sigmas_of(name: str, model: Model) -> tuple[float, ...]:
    """The noise levels that a model's card says it was trained for."""
    task = model.card.get("task")
    sigmas = task.get("sigmas") if isinstance(task, dict) else None
    if not isinstance(sigmas, list) or not all(isinstance(s, int | float) and 0 < s <= 255 for s in sigmas):
        raise EvaluationError(f"{name} does not say which noise it was trained for; give --sigma")
    return tuple(float(s) for s in sigmas)


def _pictures(images: Path | None, data: str, channels: int) -> PictureSet:
    if images is None and data != BUNDLED and not data.startswith(TFDS) and not Path(data).is_dir():
        raise EvaluationError(f"{data}: no such folder")
    pictures = load_pictures(str(images), "all", channels) if images else load_pictures(data, "test", channels)
    if pictures is None:
        raise EvaluationError(f"{data} has no pictures set aside for testing (a folder `test`); or give --images")
    return pictures


def _restore_fresh_tiles(task: Denoise, restorer: Restorer, clean: Picture, key: jax.Array) -> Picture:
    total, weight = np.zeros_like(clean), np.zeros_like(clean)
    rows, columns = (tile_starts(side, RELEASED_TILE, RELEASED_OVERLAP) for side in clean.shape[:2])
    for number, (y, x) in enumerate((y, x) for y in rows for x in columns):
        place = (slice(y, y + RELEASED_TILE), slice(x, x + RELEASED_TILE))
        noisy = np.asarray(_degrade(task, jax.random.fold_in(key, number), clean[place]))
        total[place] += restorer(noisy, clean[place])
        weight[place] += 1
    mean: Picture = total / weight
    return mean


def _luma_of_output(picture: Picture, protocol: Protocol, border: int) -> Picture:
    if protocol == "released":
        return _luma(picture[..., ::-1])
    rounded = np.round(np.clip(picture, 0, 1) * 255) / 255
    return _luma(rounded)[border:-border, border:-border]


def _luma(picture: Picture) -> Picture:
    return np.asarray(luma(jnp.asarray(picture))) if picture.shape[-1] == 3 else picture


_psnr = jax.jit(psnr)
_ssim = jax.jit(ssim)
_degrade = jax.jit(lambda task, key, clean: task.degrade(key, clean), static_argnums=0)
