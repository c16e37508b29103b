"""What the steps of a search cost on 1, 2, 4 and 8 devices of a CPU: collectives, memory of each device, time.

    python benchmarks/scaling.py                          a supernet that compiles in seconds
    python benchmarks/scaling.py --config denoise_bsd500 --no-run      counts alone, of compiled programs

Virtual devices share the cores there are, so their times tell what sharing costs and not what it gains.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
import statistics
import time
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from hinas_jax.compiling import compiler_options
from hinas_jax.config import Config, SearchConfig, load_config
from hinas_jax.data.patches import to_device
from hinas_jax.data.sources import PictureSet
from hinas_jax.mesh import DATA, replicate, whole
from hinas_jax.searcher import make_searcher, search_steps
from hinas_jax.space.search_space import SearchSpace

SMALL = Config(
    space=SearchSpace(layers=1, nodes=1, base_width=2, width_factors=(1, 2), start_width=3, end_width=3),
    search=SearchConfig(patch=12),
)
BYTES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "pred": 1, "u8": 1}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled pair of steps, and arguments to run it with."""

    compiled: Any
    arguments: tuple[Any, ...]


def compile_steps(config: Any, devices: int) -> Program:
    """One architecture step and one weight step on a mesh of so many devices."""
    mesh = Mesh(np.array(jax.devices()[:devices]), (DATA,))
    settings = config.search
    searcher = make_searcher(config, 10, mesh)
    side = 2 * settings.patch * config.task.scale
    rng = np.random.default_rng(0)
    pixels = tuple(rng.integers(0, 256, (side, side, config.task.channels), np.uint8) for _ in range(8))
    source = to_device(PictureSet(tuple("abcdefgh"), pixels), put=lambda x: replicate(x, mesh))
    state = replicate(searcher.init(jax.random.key(0)), mesh)

    def steps(state: Any, key: Any, first: Any, w: Any, a: Any) -> Any:
        return search_steps(
            searcher, state, key, first, w, a,
            steps=10, count=1, batch=settings.batch_size, patch=settings.patch, alternate=True,
        )  # fmt: skip

    arguments = (state, *replicate((jax.random.key(1), np.int32(0)), mesh), source, source)
    compiled = jax.jit(steps, out_shardings=whole(mesh)).lower(*arguments).compile(compiler_options())
    return Program(compiled, arguments)


def collectives(text: str) -> dict[str, tuple[int, int]]:
    """Number and bytes of the collectives in a compiled program, by kind."""
    found = {}
    for kind in COLLECTIVES:
        shapes = re.findall(rf"= (.+?) {kind}(?:-start)?\(", text)
        if shapes:
            found[kind] = (len(shapes), sum(map(_bytes, shapes)))
    return found


def _bytes(shape: str) -> int:
    return sum(
        BYTES[kind] * math.prod(int(side) for side in sides.split(",") if side)
        for kind, sides in re.findall(r"(\w+)\[([\d,]*)\]", shape)
    )


def time_step(program: Program, rounds: int) -> float:
    """Median seconds of a call."""
    spans = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        jax.block_until_ready(program.compiled(*program.arguments))
        spans.append(time.perf_counter() - start)
    return statistics.median(spans[1:])


def main() -> None:
    """Print a row for each number of devices."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", help="default: one layer, one node, widths 2 and 4, patches 12x12")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-run", action="store_true", help="compile only")
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", max(options.devices))
    config = load_config(options.config) if options.config else SMALL
    config = dataclasses.replace(config, search=dataclasses.replace(config.search, batch_size=options.batch))
    print("| devices | patches each | collectives | bytes | temporaries of a device (MiB) | compile (s) | step (s) |")
    print("|--:|--:|---|--:|--:|--:|--:|")
    for devices in options.devices:
        start = time.perf_counter()
        program = compile_steps(config, devices)
        built = time.perf_counter() - start
        found = collectives(program.compiled.as_text())
        counts = ", ".join(f"{count} {kind}" for kind, (count, _) in found.items()) or "none"
        size = sum(amount for _, amount in found.values())
        temporaries = program.compiled.memory_analysis().temp_size_in_bytes / 2**20
        step = "" if options.no_run else f"{time_step(program, options.rounds):.3f}"
        each = options.batch // devices
        print(f"| {devices} | {each} | {counts} | {size:,} | {temporaries:.2f} | {built:.0f} | {step} |", flush=True)
    arrays = jax.tree.leaves(program.arguments[0].params)
    print(f"parameters of the supernet: {sum(leaf.size for leaf in arrays):,} in {len(arrays)} arrays")


if __name__ == "__main__":
    main()
