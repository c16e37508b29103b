"""What benchmarks measure of a program: time in turn with others, memory, operations; and the machine's limits."""

from __future__ import annotations

import dataclasses
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import jax
import jax.numpy as jnp

TORCH: Final = importlib.util.find_spec("torch") is not None

Step = Callable[[], None]


@dataclasses.dataclass
class Row:
    """One measured program. Seconds, bytes, and operations of one step, or of one picture for inference."""

    variant: str
    phase: str
    backend: str
    device: str
    batch: int
    patch: int
    parameters: int
    trace_s: float | None = None
    compile_s: float | None = None
    step_s: float | None = None
    step_s_spread: tuple[float, float] | None = None
    cpu_s: float | None = None
    """Seconds of CPU that this process spends in a step, the least of all rounds. On a shared machine they vary less
    than those of a clock; threads that wait by spinning add to them, so pin the process to a core (taskset -c 0)
    to compare programs by them."""
    convolutions: int | None = None
    temp_bytes: int | None = None
    flops: float | None = None
    of_ceiling: float | None = None
    """Achieved part of the FLOP/s of a large matrix product, measured in the same process."""
    space: dict[str, Any] | None = None


def measure_ceiling() -> dict[str, float]:
    """FLOP/s of a large matrix product and bytes/s of a large copy, the best of ten."""
    side = 2048 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((side, side))
    multiply, copy = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)
    big = jnp.ones((64 * 2**20,))
    seconds = []
    for function, arguments in ((multiply, (a, a)), (copy, (big,))):
        jax.block_until_ready(function(*arguments))
        seconds.append(min(timed(lambda f=function, x=arguments: jax.block_until_ready(f(*x))) for _ in range(10)))
    return {"flop_per_s": 2 * side**3 / seconds[0], "bytes_per_s": 2 * big.nbytes / seconds[1]}


def timed(step: Step) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def in_turn(rows: list[tuple[Row, Step]], rounds: int) -> list[Row]:
    """Time all steps in turn, round after round: the median, and the fastest and slowest round.

    Before each timed step the same one runs untimed: the system takes long to hand on gigabytes that another has freed.
    """
    seconds: list[list[float]] = [[] for _ in rows]
    of_cpu: list[list[float]] = [[] for _ in rows]
    for _ in range(rounds):
        for times, cpu, (_, step) in zip(seconds, of_cpu, rows, strict=True):
            step()
            before = time.process_time()
            times.append(timed(step))
            cpu.append(time.process_time() - before)
    for times, cpu, (row, _) in zip(seconds, of_cpu, rows, strict=True):
        row.step_s, row.step_s_spread, row.cpu_s = statistics.median(times), (min(times), max(times)), min(cpu)
        took = f"{row.step_s:.3f} s ({min(times):.3f} to {max(times):.3f}), {row.cpu_s:.3f} s of CPU"
        print(f"{row.variant:>24} {row.phase:>9}: {took}", flush=True)
    return [row for row, _ in rows]


def row_of(variant: str, phase: str, batch: int, patch: int, parameters: int, lowered: Any, compiled: Any) -> Row:
    """What can be read off a program without running it."""
    return Row(
        variant=variant,
        phase=phase,
        backend=jax.default_backend(),
        device=jax.devices()[0].device_kind,
        batch=batch,
        patch=patch,
        parameters=parameters,
        convolutions=lowered.as_text().count("stablehlo.convolution"),
        temp_bytes=compiled.memory_analysis().temp_size_in_bytes,
        flops=compiled.cost_analysis().get("flops"),
    )
