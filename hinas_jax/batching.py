"""``--batch auto``: the largest batch whose step fits into the device's memory.

What a step takes grows with the batch in a straight line: parameters and their optimiser's state, then so many features
a patch. Two small programs, compiled and not run, give the line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import jax
import jax.numpy as jnp

from hinas_jax.compiling import MemoryNeedError, compiler_options, device_bytes, gib, needed_bytes
from hinas_jax.config import Config, load_config
from hinas_jax.processes import from_first
from hinas_jax.saying import Say
from hinas_jax.tasks import Task

Batch = Literal["config", "auto"]
Part = Literal["search", "train"]

MULTIPLE: Final = 8  #: batches are multiples of this where so many fit: devices share them, matrix units like them
USED: Final = 0.85  #: part of the memory that a step may take: the evaluation and the allocator need some too


def fit_batch(
    config: Config,
    part: Part,
    workdir: Path,
    restart: bool,
    steps: Sequence[Any],
    state: Any,
    task: Task,
    *,
    most: int,
    held: int,
    say: Say,
) -> Config:
    """The config with the largest ``batch_size`` of its ``part`` that fits, or that of the run in ``workdir`` if any.

    Of several processes the first one decides.

    Args:
        config: the experiment.
        part: whose batch is meant.
        workdir: the run's folder; a run there goes on with the batch it began with.
        restart: it does not go on.
        steps: functions of state, degraded and clean patches: all that a run calls.
        state: their first argument, as shapes.
        task: says the shapes of patches.
        most: the largest batch that makes sense.
        held: bytes that lie on each device all the time: the pictures.
        say: where lines for people go.

    Raises:
        MemoryNeedError: not even a batch of one fits.
        ConfigError: the config of the run in ``workdir`` cannot be read.
    """
    settings = getattr(config, part)

    def need(batch: int) -> int:
        say(f"--batch auto: compiling a step of {batch} to see what it takes ...")
        return max(step_bytes(step, state, task, batch, settings.patch) for step in steps)

    def decide() -> bytes:
        begun, there, devices = workdir / "config.json", device_bytes(), jax.device_count()
        if begun.exists() and not restart:
            batch = getattr(load_config(str(begun)), part).batch_size
            say(f"--batch auto: {batch} patches a step, as this run began")
        elif there:
            each = largest_batch(need, int(USED * there) - held, -(-most // devices))
            batch = each * devices
            told = f"{each} patches a step fit into {USED:.0%} of {gib(there)}"
            say(f"--batch auto: {told}, {batch} on {devices} device(s); learning rates stay as they are")
        else:
            batch = settings.batch_size
            say(f"--batch auto: this device does not tell its memory; the batch stays {batch}")
        return str(batch).encode()

    batch = int(from_first(decide))
    return dataclasses.replace(config, **{part: dataclasses.replace(settings, batch_size=batch)})


def largest_batch(need: Callable[[int], int], there: int, most: int) -> int:
    """The largest batch up to ``most`` that needs at most ``there`` bytes.

    Args:
        need: bytes that a batch takes, linear in it; asked twice.
        there: bytes.
        most: 1 or more.

    Raises:
        MemoryNeedError: a batch of one does not fit.
    """
    few, many = need(MULTIPLE), need(2 * MULTIPLE)
    each = max(-(-(many - few) // MULTIPLE), 1)
    fixed = few - MULTIPLE * each
    fits = min((there - fixed) // each, most)
    if fits < 1:
        raise MemoryNeedError(
            f"a step of one patch takes {gib(fixed + each)} of memory, and {gib(max(there, 0))} are free for it;"
            " a smaller patch, --compute.remat cell and --compute.precision bfloat16 lower it"
        )
    return fits - fits % MULTIPLE if fits > MULTIPLE else fits


def step_bytes(step: Any, state: Any, task: Task, batch: int, patch: int) -> int:
    """Bytes of memory that one step takes, state included, from its compiled program."""
    degraded = jax.ShapeDtypeStruct((batch, patch, patch, task.channels), jnp.float32)
    clean = jax.ShapeDtypeStruct((batch, patch * task.scale, patch * task.scale, task.channels), jnp.float32)
    lowered = jax.jit(step, donate_argnums=0).lower(state, degraded, clean)
    return needed_bytes(lowered.compile(compiler_options()))
