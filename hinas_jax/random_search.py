"""The baseline of every search: architectures drawn at random from its space, trained by its recipe."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hinas_jax.architecture import Architecture
from hinas_jax.config import Config
from hinas_jax.config_forms import ConfigError
from hinas_jax.modelfile import Model
from hinas_jax.run_files import V_PROTOCOL
from hinas_jax.runs import environment
from hinas_jax.saying import Say
from hinas_jax.space.sampling import random_architecture
from hinas_jax.training import train
from hinas_jax.writing import write_whole


def draw(config: Config, number: int = 0) -> Architecture:
    """The ``number``-th architecture that the config's seed draws from its space, all equally likely."""
    task = config.task
    return random_architecture(
        np.random.default_rng([config.seed, number]),
        config.space,
        task=task.name,
        channels=task.channels,
        scale=task.scale,
        residual=task.residual,
    )


def random_search(
    config: Config, workdir: Path, count: int = 5, *, restart: bool = False, say: Say = print
) -> Sequence[Model]:
    """Draw ``count`` architectures and train each in a folder of its own, or go on with that.

    Each folder is a training's; random.json in ``workdir`` has the scores on V and their protocol, mean and
    spread, and the best.

    Args:
        config: the experiment; its ``search`` is not used.
        workdir: the folder.
        count: how many.
        restart: begin anew in folders that hold runs.
        say: where lines for people go.

    Raises:
        ConfigError: there is another run in one of the folders, or a training diverged.
        PictureError: the pictures cannot be used.
    """
    if count < 1:
        raise ConfigError(f"--count must be 1 or more, not {count}")
    models = []
    for number in range(count):
        say(f"architecture {number + 1} of {count}")
        folder = workdir / f"{number:03d}"
        models.append(train(config, draw(config, number), folder, restart=restart, say=say))
    scores = [model.card["validation"] for model in models]
    psnrs = [score["psnr"] for score in scores]
    best = max(range(count), key=lambda i: scores[i]["ssim"] + scores[i]["psnr"] / 100)
    document = {
        **environment(),
        "seed": config.seed,
        "protocol": V_PROTOCOL,
        "architectures": [
            {"folder": f"{i:03d}", "parameters": model.architecture.parameters(), **score}
            for i, (model, score) in enumerate(zip(models, scores, strict=True))
        ],
        "psnr_mean": statistics.fmean(psnrs),
        "psnr_spread": statistics.stdev(psnrs) if count > 1 else None,
        "best_on_v": f"{best:03d}",
    }
    write_whole(workdir / "random.json", json.dumps(document, indent=2) + "\n")
    return models
