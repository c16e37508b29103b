"""The command `evaluate`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hinas_jax import evaluation
from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import say, tell
from hinas_jax.cli.mistakes import UsageError
from hinas_jax.tasks import TaskName


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure a model by a named protocol."""

    model: Annotated[str, tyro.conf.Positional]
    """A model file, the name of a released model, or a baseline: identity, gaussian-blur, bicubic."""
    json: Path
    """Where to write the result."""
    images: Path | None = None
    """Folder of clean pictures to degrade and restore."""
    data: str | None = None
    """Set of pictures: bundled, tfds:NAME, or a folder whose `test` is used. Default: bundled."""
    protocol: Literal["standard", "released"] = "standard"
    """standard: whole pictures, one seeded noise draw. released: the authors' test code, for their rows only."""
    sigma: float | None = None
    """Noise level in grey levels; default: those the model was trained for."""
    scale: int | None = None
    """Factor of super-resolution, for baselines; a model has its own."""
    quality: int | None = None
    """Quality of JPEG; default: those the model was trained for."""
    blur: float | None = None
    """Width of the Gaussian blur in pixels; default: those the model was trained for."""
    task: TaskName | None = None
    """For baselines where no strength tells it: paired, with clean and degraded pictures. A model has its own."""
    channels: Literal[1, 3] | None = None
    """1 or 3, for baselines; a model has its own. Default: 1 with --sigma and --quality, else 3."""
    seed: int = 0
    """Seed of the noise."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse(Evaluate, words, "evaluate")
    if options.images is not None and options.data is not None:
        raise UsageError("--images and --data both name pictures; give one of them")
    evaluation.check_writable(options.json)
    report = evaluation.evaluate(
        options.model,
        images=options.images,
        data=options.data,
        protocol=options.protocol,
        sigma=options.sigma,
        scale=options.scale,
        quality=options.quality,
        blur=options.blur,
        task=options.task,
        channels=options.channels,
        seed=options.seed,
        say=say,
    )
    evaluation.write_report(report, options.json)
    for row in report.results:
        what = ", ".join([row.task, *(f"{name} {value:g}" for name, value in row.strength.items()), report.protocol])
        tell(f"{row.set} ({row.images} pictures), {what}: {row.psnr:.2f} dB, SSIM {row.ssim:.4f}")
