"""Time and memory of the supernet's two steps and of inference, by variant; writes a list of rows as JSON.

Command:  make bench                          (all of it; on 2 CPU cores about an hour, nearly all of it the plain form)
          python benchmarks/bench.py --out runs/bench/bench.json --quick   (a small supernet, minutes)
          python benchmarks/bench.py --out runs/bench/bench.json --only supernet|inference|growth|memory

On a machine of 24 GB the plain form of the full supernet does not fit beside the others: leave it out there with
--variants stacked stacked+remat-cell torch-eager torch-eager-channels-last.

Variants of one table are compiled first and then timed in turn, round after round, in this one process, so that what
else the machine does falls on all of them alike: trust ratios. PyTorch's rows are left out where it is not installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

sys.path.insert(0, str(Path(__file__).resolve().parent))

from hinas_jax.architecture import Architecture
from hinas_jax.compiling import compiler_options
from hinas_jax.config import LossConfig, SearchConfig
from hinas_jax.optimisers import arch_optimiser, weight_optimiser
from hinas_jax.searching import Searcher
from hinas_jax.space.folded import apply_folded, fold
from hinas_jax.space.initialise import initialise
from hinas_jax.space.network import Network
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.space.supernet import SuperNet
from hinas_jax.tasks import Denoise, SuperResolve, Task

TORCH = importlib.util.find_spec("torch") is not None
PAPER = SearchSpace()
SMALL = SearchSpace(layers=2, nodes=2, base_width=4, width_factors=(1, 2), start_width=8, end_width=8)
#: A network of the paper's size for denoising, 0.34 M parameters, with all six operations; made up, not searched.
DERIVED = Path(__file__).with_name("derived.json")

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
    convolutions: int | None = None
    temp_bytes: int | None = None
    flops: float | None = None
    space: dict[str, Any] | None = None


def main() -> None:
    """Run the benchmarks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/bench.json"))
    parser.add_argument("--quick", action="store_true", help="a small supernet and small pictures")
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--variants", nargs="+", help="of the table supernet, these only")
    parser.add_argument("--rounds", type=int, default=5, help="how often every variant is timed")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "ceiling": measure_ceiling(),
        "rows": [],
    }
    print(f"ceiling: {document['ceiling']}")
    for name in options.only:
        asked = {"variants": options.variants} if name == "supernet" else {}
        for row in TABLES[name](quick=options.quick, rounds=options.rounds, **asked):
            document["rows"].append({"table": name, **dataclasses.asdict(row)})
            options.out.write_text(json.dumps(document["rows"], indent=1) + "\n")
            options.out.with_name("machine.json").write_text(
                json.dumps({key: value for key, value in document.items() if key != "rows"}, indent=1) + "\n"
            )
    if not TORCH:
        print("PyTorch is not installed: its rows are left out")


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
    """Time all steps in turn, round after round: the median, and the fastest and slowest round."""
    seconds: list[list[float]] = [[] for _ in rows]
    for _, step in rows:
        step()
    for _ in range(rounds):
        for times, (_, step) in zip(seconds, rows, strict=True):
            times.append(timed(step))
    for times, (row, _) in zip(seconds, rows, strict=True):
        row.step_s, row.step_s_spread = statistics.median(times), (min(times), max(times))
        print(
            f"{row.variant:>24} {row.phase:>9}: {row.step_s:.3f} s ({min(times):.3f} to {max(times):.3f})", flush=True
        )
    return [row for row, _ in rows]


# --- the supernet


def searcher_of(space: SearchSpace, task: Task, **how: Any) -> Searcher:
    """A searcher with the paper's optimisers; ``how`` are fields of SuperNet."""
    config = SearchConfig()
    net = SuperNet(space, task.channels, task.scale, **how)
    return Searcher(net, task, LossConfig(), weight_optimiser(config, 1000), arch_optimiser(config))


def compiled_step(
    variant: str,
    phase: str,
    space: SearchSpace,
    batch: int,
    patch: int,
    task: Task | None = None,
    options: dict[str, str] | None = None,
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
    compiled = lowered.compile(compiler_options() if options is None else options)
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
        "plain": {"plain": True, "options": {}},
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
            peers = torch_steps(phase, space, batch, patch)
            rows += [(row, step) for row, step in peers if not variants or row.variant in variants]
        yield from in_turn(rows, rounds)


def torch_steps(phase: str, space: SearchSpace, batch: int, patch: int) -> list[tuple[Row, Step]]:
    """The PyTorch peer, eager, in both memory formats."""
    import peer  # noqa: PLC0415  only where PyTorch is
    import torch  # noqa: PLC0415

    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    rows = []
    for name, layout in (("torch-eager", torch.contiguous_format), ("torch-eager-channels-last", torch.channels_last)):
        net = peer.SuperNet(space).to(device).to(memory_format=layout)
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
        ("shared, XLA's own order", space, {"options": {}}),
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


# --- inference


def inference(*, quick: bool, rounds: int) -> Iterator[Row]:
    """A derived network on one picture, folded and not, and known denoisers in PyTorch."""
    side = 64 if quick else 512
    x = jax.random.uniform(jax.random.key(0), (1, side, side, 1))
    derived = Architecture.load(DERIVED)
    network = Network(derived)
    variables = initialise(network, jax.random.key(1), 1)
    weights = jax.device_put(fold(derived, variables))
    programs: dict[str, tuple[Any, Any]] = {
        "network": (lambda v, x: network.apply(v, x, train=False), variables),
        "folded, composed kernels": (lambda w, x: apply_folded(derived, w, x, apart=False), weights),
        "folded, depthwise apart": (lambda w, x: apply_folded(derived, w, x, apart=True), weights),
    }
    rows: list[tuple[Row, Step]] = []
    for variant, (function, tree) in programs.items():
        start = time.perf_counter()
        lowered = jax.jit(function).lower(tree, x)
        traced = time.perf_counter()
        compiled = lowered.compile()
        row = row_of(variant, "inference", 1, side, derived.parameters(), lowered, compiled)
        row.trace_s, row.compile_s = traced - start, time.perf_counter() - traced
        rows.append((row, lambda c=compiled, t=tree: jax.block_until_ready(c(t, x))))
    if TORCH:
        rows += torch_denoisers(side)
    yield from in_turn(rows, rounds)


def torch_denoisers(side: int) -> list[tuple[Row, Step]]:
    """DnCNN and a network of FFDNet's size, in both memory formats."""
    import peer  # noqa: PLC0415
    import torch  # noqa: PLC0415

    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    rows = []
    for name, make in (("torch DnCNN", peer.dncnn), ("torch FFDNet", peer.FFDNet)):
        for suffix, layout in (("", torch.contiguous_format), (", channels last", torch.channels_last)):
            net = make().to(device).to(memory_format=layout)
            x = torch.rand(1, 1, side, side, device=device).contiguous(memory_format=layout)

            def run(net: Any = net, x: Any = x) -> None:
                with torch.inference_mode():
                    float(net(x)[0, 0, 0, 0])

            parameters = sum(p.numel() for p in net.parameters())
            rows.append((Row(name + suffix, "inference", device, torch.__version__, 1, side, parameters), run))
    return rows


TABLES: dict[str, Callable[..., Iterator[Row]]] = {
    "supernet": supernet, "inference": inference, "memory": memory, "growth": growth,
}  # fmt: skip

if __name__ == "__main__":
    main()
