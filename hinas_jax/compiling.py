"""Compiling a step ahead of its first use, with a line for people that says what is going on and for how long."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import jax

from hinas_jax.program_cache import drop_broken
from hinas_jax.saying import Say

State = TypeVar("State")

#: Seconds that one operation of a step costs XLA, measured on 2 CPU cores (JAX 0.10, steps of 70,000 to 181,000).
SECONDS_PER_OPERATION: Final = 0.00064

#: The most steps of a call. Between two calls a run can save and stop: a call must end within seconds. So many steps
#: keep a GPU or TPU busy while the host starts the next call.
STEPS_PER_CALL: Final = 50

#: What XLA:CPU is told, where it knows the option (docs/performance.md has the numbers). To give sums alone to YNNPACK:
#: it would give it convolutions too, which YNNPACK runs on one core each, and Eigen on all of them. And to keep
#: ``jax.lax.optimization_barrier``, which it drops otherwise before it fuses operations.
CPU_OPTIONS: Final = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
    "xla_disable_hlo_passes": "cse_barrier_expander",
}


class MemoryNeedError(ValueError):
    """A program needs more memory than its device has. The message is one line for people."""


def compile_step(what: str, function: Any, arguments: tuple[Any, ...], say: Say, *, deterministic: bool = False) -> Any:
    """Compile a jitted ``function`` for ``arguments`` and return the compiled program.

    Args:
        what: for people.
        function: to compile.
        arguments: whose shapes it is compiled for.
        say: where lines for people go.
        deterministic: the program gives the same bits every time, on a GPU too.

    Raises:
        MemoryNeedError: the program cannot fit into the device's memory.
    """
    say(f"tracing {what} ...")
    lowered = function.lower(*arguments)
    operations = lowered.as_text().count(" = ")
    seconds = max(1, round(operations * SECONDS_PER_OPERATION))
    say(
        f"compiling {what}: {operations} operations, about {seconds} s on two CPU cores;"
        " a second start reads it from the compilation cache"
    )
    compiled = lowered.compile(compiler_options(deterministic=deterministic))
    _check_memory(what, compiled, say)
    return compiled


def device_bytes() -> int:
    """Memory of one of this process's devices in bytes; 0 where it does not say. CPU devices share what there is."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        return there // jax.local_device_count()
    return int((device.memory_stats() or {}).get("bytes_limit", 0))


def check_fits(what: str, compiled: Any, mend: str) -> tuple[int, int]:
    """Bytes of memory that a compiled program takes, arguments included, and that the device has (0: it does not say).

    Raises:
        MemoryNeedError: the program cannot fit; ``mend`` says what lowers the need.
    """
    need, there = needed_bytes(compiled), device_bytes()
    if there and need > there:
        raise MemoryNeedError(f"{what} need {gib(need)} of memory, and the device has {gib(there)}; {mend}")
    return need, there


def _check_memory(what: str, compiled: Any, say: Say) -> None:
    """Say what the program takes, data set and state included, and refuse what cannot fit."""
    knobs = "a smaller batch or patch (or --batch auto), --compute.remat cell and --compute.precision bfloat16 lower it"
    need, there = check_fits(what, compiled, knobs)
    features = gib(compiled.memory_analysis().temp_size_in_bytes)
    told = f"{what}: {gib(need)} of memory, {features} of it features and gradients"
    say(f"{told}; {knobs}" if there and need > there / 2 else told)


def needed_bytes(compiled: Any) -> int:
    """Memory that a compiled program takes: arguments, results that do not lie on them, and what is between."""
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return int(held + memory.temp_size_in_bytes)


def gib(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.2f} GiB"


def compiler_options(*, deterministic: bool = False) -> dict[str, str | bool]:
    """What XLA is told for this backend.

    On GPU it chooses convolutions by trying them out, and some of those add in any order.
    """
    if jax.default_backend() == "cpu":
        return {name: value for name, value in CPU_OPTIONS.items() if _knows(name, value)}
    return {"xla_gpu_deterministic_ops": True} if deterministic and jax.default_backend() == "gpu" else {}


@functools.cache
def _knows(name: str, value: str) -> bool:
    """Whether this version of XLA knows an option: those of backends come and go."""
    try:
        jax.jit(lambda x: x).lower(0.0).compile({name: value})
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" in str(error):
            return False
        raise
    return True


def steps_per_call(steps: int, most: int) -> int:
    """How many steps one compiled call scans over: one on CPU, else a divisor of ``steps``.

    It is at most ``most`` and ``STEPS_PER_CALL``.

    XLA brings convolutions into the form that its fast CPU kernels take only outside of loops and calls: a step of
    the config ``demo`` takes 2.0 s in a scan and 0.24 s outside (JAX 0.10, 2 cores).
    """
    if jax.default_backend() == "cpu":
        return 1
    largest = max(1, min(steps, most, STEPS_PER_CALL))
    return max(count for count in range(1, largest + 1) if steps % count == 0)


def scan_steps(step: Callable[[State, Any], tuple[State, Any]], state: State, inputs: Any) -> tuple[State, Any]:
    """``jax.lax.scan``, but the bare step where there is one only (see ``steps_per_call``)."""
    if len(jax.tree.leaves(inputs)[0]) > 1:
        return jax.lax.scan(step, state, inputs)
    state, output = step(state, jax.tree.map(lambda leaf: leaf[0], inputs))
    return state, jax.tree.map(lambda leaf: leaf[None], output)


def enable_compilation_cache(folder: Path) -> None:
    """Keep compiled programs in ``folder`` between processes; those that a kill or a full disk cut short go."""
    drop_broken(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
