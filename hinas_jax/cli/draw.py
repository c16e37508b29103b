"""The command `draw`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hinas_jax.architecture import Architecture
from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import tell
from hinas_jax.cli.mistakes import UsageError
from hinas_jax.drawing import draw_architecture


@dataclasses.dataclass(frozen=True)
class Draw:
    """Draw an architecture: its path of widths and its cells."""

    architecture: Annotated[Path, tyro.conf.Positional]
    """An architecture.json."""
    output: Path
    """Where to draw: .svg or .png."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse(Draw, words, "draw")
    try:
        architecture = Architecture.load(options.architecture)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        draw_architecture(architecture, options.output)
    except OSError as error:
        raise UsageError(f"{options.output}: cannot be written ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    tell(str(options.output))
