"""The command `export`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import tell
from hinas_jax.exporting import Format, export_model
from hinas_jax.modelfile import Model
from hinas_jax.released import model_path


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a model as one function that runs without this package, for pictures of any size."""

    model: Annotated[str, tyro.conf.Positional]
    """A model file, or the name of a released model."""
    format: Format
    """stablehlo: for jax.export.deserialize, on CPU, CUDA, ROCm and TPU. onnx: needs jax2onnx."""
    output: Path
    """The file to write."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse(Export, words, "export")
    export_model(Model.load(model_path(options.model)), options.format, options.output)
    tell(f"{options.output}: {options.output.stat().st_size:,} bytes")
