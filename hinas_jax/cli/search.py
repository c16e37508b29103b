"""The command `search`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hinas_jax.batching import Batch
from hinas_jax.cli.configured import parse_configured
from hinas_jax.cli.lines import tell
from hinas_jax.cli.several import Several
from hinas_jax.config import Config
from hinas_jax.searching import search


@dataclasses.dataclass(frozen=True)
class Search(Several):
    """Search an architecture. Every field of the config can be replaced."""

    workdir: Path
    """The run's folder. The same command again goes on with an interrupted run."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    restart: bool = False
    """Begin anew in a folder that holds a run."""
    batch: Batch = "config"
    """auto: as many patches a step as fit into the device's memory. config: as the config says."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse_configured(Search, words, "search")
    say = options.join()
    architecture = search(options.config, options.workdir, restart=options.restart, batch=options.batch, say=say)
    tell(
        f"{options.workdir / 'architecture.json'}:"
        f" levels {list(architecture.levels)}, {architecture.parameters():,} parameters"
    )
