"""Export of a trained model as one function from degraded to restored pictures, for programs without this package.

The function is f_net = f_res + f_skip with the folded network. It takes float32 [batch, height, width, channel] with
values in [0, 1], of any batch and of any size from 3 x 3 on, and gives the restored pictures, not clipped. The weights
are inside.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import jax
import jax.numpy as jnp
from jax import export
from jaxtyping import Array, Float

from hinas_jax.modelfile import Model
from hinas_jax.space.folded import apply_folded, fold
from hinas_jax.tasks import restore, task_of
from hinas_jax.writing import write_whole

Format = Literal["stablehlo", "onnx"]
Restore = Callable[[Float[Array, "batch height width channel"]], Float[Array, "batch high wide channel"]]

PLATFORMS: Final = ("cpu", "cuda", "rocm", "tpu")


class ExportError(ValueError):
    """A model cannot be exported. The message is one line for people."""


def export_model(model: Model, kind: Format, path: Path) -> None:
    """Write ``model`` as one file.

    Args:
        model: any trained model.
        kind: "stablehlo", a program for CPU, CUDA, ROCm and TPU that ``jax.export.deserialize`` reads; StableHLO is
            promised to be readable for six months. "onnx", for denoising and other tasks of scale 1, needs the package
            jax2onnx.
        path: the file; replaced as a whole.

    Raises:
        ExportError: jax2onnx or flatbuffers is missing, or ONNX cannot hold the model; or the file cannot be written.
    """
    content = _stablehlo(model) if kind == "stablehlo" else _onnx(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written ({error.strerror}); give another --output") from None


def _stablehlo(model: Model) -> bytes:
    try:
        importlib.import_module("flatbuffers")  # jax.export writes with it, and does not ask for it itself
    except ImportError:
        raise ExportError("export to StableHLO needs the package flatbuffers: pip install flatbuffers") from None
    sizes = f"batch, height, width, {model.architecture.channels}"
    # the bicubic kernel's border, which is mirrored, must fit
    shape = export.symbolic_shape(sizes, constraints=("height >= 3", "width >= 3"))
    picture = jax.ShapeDtypeStruct(shape, jnp.float32)
    exported = export.export(jax.jit(_f_net(model)), platforms=PLATFORMS)(picture)
    return bytes(exported.serialize())


def _onnx(model: Model) -> bytes:
    try:
        jax2onnx = importlib.import_module("jax2onnx")
    except ImportError:
        raise ExportError("export to ONNX needs the package jax2onnx: pip install -e '.[onnx]'") from None
    if model.architecture.scale > 1 and model.architecture.residual:
        raise ExportError("ONNX export cannot hold super-resolution's bicubic f_skip yet; give --format stablehlo")
    symbols = ("batch", "height", "width", model.architecture.channels)
    exported: Any = jax2onnx.to_onnx(_f_net(model), [symbols])
    return bytes(exported.SerializeToString())


def _f_net(model: Model) -> Restore:
    architecture, task = model.architecture, task_of(model.architecture)
    weights = fold(architecture, model.variables)

    def f_net(degraded: Float[Array, "batch height width channel"]) -> Float[Array, "batch high wide channel"]:
        residual = apply_folded(architecture, weights, degraded, apart=False)
        return restore(task, residual, degraded)

    return f_net
