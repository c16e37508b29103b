"""Compiling a step ahead of its first use, with a line for people that says what is going on and for how long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import jax

State = TypeVar("State")

Say = Callable[[str], None]

#: Seconds that one convolution of a step costs XLA, measured on 2 CPU cores (JAX 0.10, search epochs of 500 to 2,700).
SECONDS_PER_CONVOLUTION: Final = 0.03

MEMORY_FIRST: Final = "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"


def compile_step(what: str, function: Any, arguments: tuple[Any, ...], say: Say) -> Any:
    """Compile a jitted ``function`` for ``arguments`` and return the compiled program."""
    say(f"tracing {what} ...")
    lowered = function.lower(*arguments)
    convolutions = lowered.as_text().count("stablehlo.convolution")
    seconds = max(1, round(convolutions * SECONDS_PER_CONVOLUTION))
    say(
        f"compiling {what}: {convolutions} convolutions, about {seconds} s on two CPU cores;"
        " a second start reads it from the compilation cache"
    )
    return lowered.compile(compiler_options())


def compiler_options() -> dict[str, str]:
    """What XLA is told for this backend.

    On CPU it orders operations for parallelism by default, which takes twice the memory and is no faster
    (docs/performance.md).
    """
    return {"xla_cpu_scheduler_type": MEMORY_FIRST} if jax.default_backend() == "cpu" else {}


def steps_per_call(steps: int) -> int:
    """How many steps one compiled call scans over: all, but one on CPU.

    XLA brings convolutions into the form that its fast CPU kernels take only outside of loops and calls: a step of
    the config ``demo`` takes 0.79 s in a scan and 0.10 s outside (JAX 0.10, 2 cores).
    """
    return 1 if jax.default_backend() == "cpu" else steps


def scan_steps(step: Callable[[State, Any], tuple[State, Any]], state: State, inputs: Any) -> tuple[State, Any]:
    """``jax.lax.scan``, but the bare step where there is one only (see ``steps_per_call``)."""
    if len(jax.tree.leaves(inputs)[0]) > 1:
        return jax.lax.scan(step, state, inputs)
    state, output = step(state, jax.tree.map(lambda leaf: leaf[0], inputs))
    return state, jax.tree.map(lambda leaf: leaf[None], output)


def enable_compilation_cache(folder: Path) -> None:
    """Keep compiled programs in ``folder`` between processes."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
