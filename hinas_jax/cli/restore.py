"""The command `restore`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hinas_jax import restoring
from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import say
from hinas_jax.cli.mistakes import UsageError, mistakes
from hinas_jax.data.pictures import PictureError
from hinas_jax.released import model_path


@dataclasses.dataclass(frozen=True)
class Restore:
    """Restore pictures with a model."""

    model: Annotated[str, tyro.conf.Positional]
    """A model file, or the name of a released model."""
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Pictures, or folders of pictures."""
    output: Path
    """Folder for the restored pictures, under their own names and in their formats (PNG where that cannot be)."""
    tile: int = restoring.TILE
    """Side of the tiles that larger pictures are cut into, in pixels: less takes less memory."""
    keep: bool = False
    """Leave results that are there already as they are, to go on after an interruption."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse(Restore, words, "restore")
    try:
        failures = restoring.restore_files(
            model_path(options.model), options.inputs, options.output, tile=options.tile, keep=options.keep, say=say
        )
    except mistakes():
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    if failures:
        raise PictureError(f"{failures} of the pictures could not be restored (see above)")
