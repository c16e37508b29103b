"""A trained model ready to run: folded, and compiled once for each shape of picture."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import jax
from jaxtyping import Array, Float

from hinas_jax.compiling import check_fits, compiler_options
from hinas_jax.modelfile import Model
from hinas_jax.space.folded import apply_folded, fold
from hinas_jax.space.operations import fastest_form
from hinas_jax.tasks import restore, task_of

PROGRAMS: Final = 32  #: kept at a time, one for each shape: a folder may hold pictures of thousands of sizes

Run = Callable[
    [Float[Array, "batch height width channel"]], Float[Array, "batch clean_height clean_width channel"]
]  #: degraded pictures in [0, 1] to restored ones, not clipped


def ready(model: Model) -> Run:
    """f_net of a trained model; equal to ``objective.f_net`` to rounding.

    The function raises a MemoryNeedError for pictures whose features the device cannot hold, before it runs.
    """
    architecture, task = model.architecture, task_of(model.architecture)
    weights = jax.device_put(fold(architecture, model.variables))
    apart = fastest_form() == "apart"

    @jax.jit
    def run(
        weights: dict[str, object], degraded: Float[Array, "batch height width channel"]
    ) -> Float[Array, "batch clean_height clean_width channel"]:
        residual = apply_folded(architecture, weights, degraded, apart=apart)
        return restore(task, residual, degraded)

    @functools.lru_cache(maxsize=PROGRAMS)
    def program(shape: tuple[int, ...], dtype: Any) -> Any:
        compiled = run.lower(weights, jax.ShapeDtypeStruct(shape, dtype)).compile(compiler_options())
        check_fits(f"the features of {shape[2]}x{shape[1]} pixels", compiled, "take smaller tiles or pictures")
        return compiled

    def run_if_it_fits(
        degraded: Float[Array, "batch height width channel"],
    ) -> Float[Array, "batch clean_height clean_width channel"]:
        restored: Float[Array, "batch clean_height clean_width channel"]
        restored = program(degraded.shape, degraded.dtype)(weights, degraded)
        return restored

    return run_if_it_fits
