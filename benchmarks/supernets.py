"""Both steps of the supernet: by variant, its memory, how it grows, and the paper's whole search."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
from measuring import TORCH, Row, Step, in_turn, row_of

from hinas_jax.compiling import compiler_options
from hinas_jax.config import LossConfig, SearchConfig
from hinas_jax.mesh import make_mesh
from hinas_jax.optimisers import arch_optimiser, weight_optimiser
from hinas_jax.searcher import Searcher
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.space.supernet import SuperNet
from hinas_jax.tasks import Denoise, SuperResolve, Task

PAPER: Final = SearchSpace()
SMALL: Final = SearchSpace(layers=2, nodes=2, base_width=4, width_factors=(1, 2), start_width=8, end_width=8)


def searcher_of(space: SearchSpace, task: Task, **how: Any) -> Searcher:
    """A searcher with the paper's optimisers; ``how`` are fields of SuperNet."""
    config = SearchConfig()
    net = SuperNet(space, task.channels, task.scale, **how)
    return Searcher(net, task, LossConfig(), weight_optimiser(config, 1000), arch_optimiser(config), make_mesh(1))


def compiled_step(
    variant: str,
    phase: str,
    space: SearchSpace,
    batch: int,
    patch: int,
    task: Task | None = None,
    **how: Any,
) -> tuple[Row, Any, Searcher]:
    """A row with the figures of the compiled program, and the program."""
    task = task or Denoise()
    searcher = searcher_of(space, task, **how)
    state = jax.eval_shape(searcher.init, jax.random.key(0))
    degraded = jax.ShapeDtypeStruct((batch, patch, patch, task.channels), jnp.float32)
    clean = jax.ShapeDtypeStruct((batch, patch * task.scale, patch * task.scale, task.channels), jnp.float32)
    step = searcher.weight_step if phase == "weight" else searcher.arch_step
    start = time.perf_counter()
    lowered = jax.jit(step, donate_argnums=0).lower(state, degraded, clean)
    traced = time.perf_counter()
    compiled = lowered.compile(compiler_options())
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    row = row_of(variant, phase, batch, patch, parameters, lowered, compiled)
    row.trace_s, row.compile_s = traced - start, time.perf_counter() - traced
    row.space = dataclasses.asdict(space)
    print(
        f"{variant:>24} {phase:>9}: {row.convolutions} convolutions, trace {row.trace_s:.1f} s,"
        f" compile {row.compile_s:.1f} s, {row.temp_bytes / 2**20:.0f} MiB",
        flush=True,
    )
    return row, compiled, searcher


def running(compiled: Any, searcher: Searcher, batch: int, patch: int) -> Step:
    """A step that goes on from its own last state."""
    clean = jax.random.uniform(jax.random.key(1), (batch, patch, patch, 1))
    degraded = clean + 0.2 * jax.random.normal(jax.random.key(2), clean.shape)
    state = [searcher.init(jax.random.key(0))]

    def step() -> None:
        state[0], loss = compiled(state[0], degraded, clean)
        jax.block_until_ready(loss)

    return step


def supernet(*, quick: bool, rounds: int, variants: list[str] | None) -> Iterator[Row]:
    """Both steps of the full denoising supernet, by variant."""
    space, batch, patch = (SMALL, 4, 32) if quick else (PAPER, 8, 64)
    known: dict[str, dict[str, Any]] = {
        "plain": {"plain": True},
        "stacked": {},
        "stacked+remat-cell": {"remat": "cell"},
        "stacked+remat-operation": {"remat": "operation"},
        "stacked+bfloat16": {"precision": "bfloat16"},
    }
    for phase in ("weight", "arch"):
        rows = []
        for variant, how in known.items():
            if variants and variant not in variants:
                continue
            row, compiled, searcher = compiled_step(variant, phase, space, batch, patch, **how)
            rows.append((row, running(compiled, searcher, batch, patch)))
        if TORCH:
            rows += torch_steps(phase, space, batch, patch, variants)
        yield from in_turn(rows, rounds)


def torch_steps(
    phase: str, space: SearchSpace, batch: int, patch: int, variants: list[str] | None
) -> list[tuple[Row, Step]]:
    """The PyTorch peer: eager in both memory formats, and, where it is asked for, compiled in the better one.

    On two CPU cores it had not been compiled after six minutes.
    """
    import peer  # noqa: PLC0415  only where PyTorch is
    import torch  # noqa: PLC0415

    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    rows = []
    for name, layout in (
        ("torch-eager", torch.contiguous_format),
        ("torch-eager-channels-last", torch.channels_last),
        ("torch-compile", torch.channels_last),
    ):
        if name not in (variants or ("torch-eager", "torch-eager-channels-last")):
            continue
        net = peer.SuperNet(space).to(device).to(memory_format=layout)
        if name == "torch-compile":
            net.compile()
        config = SearchConfig()
        if phase == "weight":
            optimiser = torch.optim.SGD(net.weights(), config.learning_rate, config.momentum, weight_decay=3e-4)
            step = peer.weight_step(net, optimiser, config.gradient_clip)
        else:
            adam = torch.optim.Adam([net.alpha, net.beta], config.arch_learning_rate, weight_decay=1e-3)
            step = peer.arch_step(net, adam)
        clean = torch.rand(batch, 1, patch, patch, device=device)
        degraded = (clean + 0.2 * torch.randn_like(clean)).contiguous(memory_format=layout)
        row = Row(name, phase, device, torch.__version__, batch, patch, sum(p.numel() for p in net.weights()))
        rows.append((row, lambda step=step, x=degraded, y=clean: float(step(x, y))))
    return rows


def memory(*, quick: bool, rounds: int) -> Iterator[Row]:
    """Temporaries of compiled programs, which are not run: sharing, recomputing, and the paper's largest search."""
    del rounds
    space, batch, patch = (SMALL, 4, 32) if quick else (PAPER, 8, 64)
    unshared = dataclasses.replace(space, cell_sharing=False)
    for variant, where, how in (
        ("shared", space, {}),
        ("unshared", unshared, {}),
        ("shared+remat-cell", space, {"remat": "cell"}),
        ("shared+remat-operation", space, {"remat": "operation"}),
        ("unshared+remat-cell", unshared, {"remat": "cell"}),
    ):
        yield compiled_step(variant, "weight", where, batch, patch, **how)[0]
    small = SearchSpace(layers=1, nodes=1, base_width=4, width_factors=(1, 2))
    space = small if quick else SearchSpace(layers=2, nodes=3, base_width=8)
    for remat in ("none", "cell"):
        for phase in ("weight", "arch"):
            row, *_ = compiled_step(
                f"super-resolution x4, remat {remat}", phase, space, 24, 64, SuperResolve(4, 3), remat=remat
            )
            yield row


def growth(*, quick: bool, rounds: int) -> Iterator[Row]:
    """How the weight step grows with each size, the others held."""
    base = {"layers": 2, "nodes": 2, "base_width": 8, "batch": 4, "patch": 32}
    ranges = {
        "layers": (1, 2, 3),
        "nodes": (1, 2, 4),
        "base_width": (4, 8, 16),
        "batch": (2, 4, 8),
        "patch": (16, 32, 64),
    }
    sizes = [(name, base | {name: value}) for name, values in ranges.items() for value in values]
    seen: dict[tuple[int, ...], Row] = {}
    for name, size in sizes[:1] if quick else sizes:
        key = tuple(size.values())
        if key not in seen:
            space = SearchSpace(layers=size["layers"], nodes=size["nodes"], base_width=size["base_width"])
            row, compiled, searcher = compiled_step("stacked", "weight", space, size["batch"], size["patch"])
            (seen[key],) = in_turn([(row, running(compiled, searcher, size["batch"], size["patch"]))], rounds)
        yield dataclasses.replace(seen[key], variant=f"growth with {name}")


def search(*, quick: bool, rounds: int, data: str) -> Iterator[Row]:
    """The paper's denoising search at its full schedule, from process start to architecture.json."""
    del rounds
    name, space, batch, patch = ("debug", SMALL, 2, 16) if quick else ("denoise_bsd500", PAPER, 8, 64)
    workdir = Path(tempfile.mkdtemp(prefix="search-"))
    words = ["search", name, "--workdir", str(workdir), "--data.root", data]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "hinas_jax", *words], check=True)
    seconds = time.perf_counter() - start
    device = jax.devices()[0].device_kind
    yield Row("whole search", "search", jax.default_backend(), device, batch, patch, 0, step_s=seconds,
              space=dataclasses.asdict(space))  # fmt: skip
