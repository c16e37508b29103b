"""The command `train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hinas_jax.architecture import Architecture
from hinas_jax.batching import Batch
from hinas_jax.cli.configured import parse_configured
from hinas_jax.cli.lines import tell
from hinas_jax.cli.several import Several
from hinas_jax.config import Config
from hinas_jax.training import train


@dataclasses.dataclass(frozen=True)
class Train(Several):
    """Train an architecture. Every field of the config can be replaced."""

    workdir: Path
    """The run's folder. The same command again goes on with an interrupted run."""
    architecture: Path
    """The architecture.json of a search."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    restart: bool = False
    """Begin anew in a folder that holds a run."""
    batch: Batch = "config"
    """auto: as many patches a step as fit into the device's memory. config: as the config says."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse_configured(Train, words, "train")
    say = options.join()
    model = train(
        options.config,
        Architecture.load(options.architecture),
        options.workdir,
        restart=options.restart,
        batch=options.batch,
        say=say,
    )
    score = model.card["validation"]
    tell(f"{options.workdir / 'model.safetensors'}: {score['psnr']:.2f} dB, SSIM {score['ssim']:.4f} on V")
