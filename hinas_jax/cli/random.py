"""The command `random`."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path
from typing import Annotated

import tyro

from hinas_jax.cli.configured import parse_configured
from hinas_jax.cli.lines import say, tell
from hinas_jax.config import Config
from hinas_jax.random_search import random_search
from hinas_jax.run_files import V_PROTOCOL


@dataclasses.dataclass(frozen=True)
class Random:
    """Draw architectures at random from a config's space and train them by its recipe: the baseline of its search."""

    workdir: Path
    """A folder for the trainings, one folder each. The same command again goes on with an interrupted one."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    count: int = 5
    """How many architectures."""
    restart: bool = False
    """Begin anew in folders that hold runs."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse_configured(Random, words, "random")
    models = random_search(options.config, options.workdir, options.count, restart=options.restart, say=say)
    for number, model in enumerate(models):
        score, count = model.card["validation"], model.architecture.parameters()
        where = options.workdir / f"{number:03d}"
        tell(f"{where}: {score['psnr']:.2f} dB, SSIM {score['ssim']:.4f} on V; {count:,} parameters")
    psnrs = [model.card["validation"]["psnr"] for model in models]
    spread = f" ± {statistics.stdev(psnrs):.2f}" if len(psnrs) > 1 else ""
    tell(
        f"{options.workdir / 'random.json'}: {statistics.fmean(psnrs):.2f}{spread} dB on V over {len(psnrs)} drawn;"
        f" protocol {V_PROTOCOL}"
    )
