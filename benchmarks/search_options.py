"""A short trial of ways to move alpha and beta: the paper's, those that are options, and those that are not.

Command:  python benchmarks/search_options.py --costs          (what a step costs; traces only, a minute)
          python benchmarks/search_options.py --seeds 2 --output runs/search_options.json
Hardware: any

A row tells the floating point operations of one alternating step of the config ``demo``, as traced, and the features
that its kernels' gradient keeps. Without --costs it also tells what a search of one layer (12 epochs, 120 steps, half
of them warm-up) ends with: the skip connections that alpha would keep, its entropy, the parameters of the network, the
supernet's PSNR on V. Differences between seeds tell how little so short a trial can decide.

Gumbel sampling (SNAS, GDAS) and partial channels (PC-DARTS) are no options of the library; they live here alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen as nn

from hinas_jax import searching
from hinas_jax.config import Config, load_config
from hinas_jax.run_files import read_metrics
from hinas_jax.searcher import Searcher, make_searcher
from hinas_jax.searching import search
from hinas_jax.space import cell
from hinas_jax.space.operations import MixedOperations

VARIANTS = ("paper", "second-order", "parameter-penalty", "gumbel", "partial-channels")
PARTS = 4  #: PC-DARTS's K: one channel in so many goes through the operations


class SampledSearcher(Searcher):
    """Gumbel sampling: both steps see a sample of the relaxed alpha and beta, at temperature 1."""

    def loss_of(self, params: Any, arch: Any, batch_stats: Any, degraded: Any, clean: Any) -> Any:
        """Eq. 7 of a sample, drawn anew for every batch."""
        key = jax.random.fold_in(jax.random.key(0), jnp.sum(degraded * 1e4).astype(jnp.int32))
        leaves, tree = jax.tree.flatten(arch)
        keys = jax.random.split(key, len(leaves))
        sampled = [leaf + jax.random.gumbel(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
        return super().loss_of(params, jax.tree.unflatten(tree, sampled), batch_stats, degraded, clean)


class PartialMixedOperations(nn.Module):
    """Partial channels: one channel in PARTS is mixed, the others pass, and channels are shuffled. No edge weights."""

    edges: int
    plain: bool = False
    remat: str = "none"

    @nn.compact
    def __call__(self, x: Any, alpha: Any, *, train: bool) -> Any:
        """Sum the operations of every edge on a part of the channels."""
        part = x.shape[-1] // PARTS
        mixed = MixedOperations(self.edges, self.plain, self.remat, name="mixed")(x[..., :part], alpha, train=train)
        rest = jnp.broadcast_to(x[..., None, part:], (*mixed.shape[:-1], x.shape[-1] - part))
        y = jnp.concatenate([mixed, rest], axis=-1)
        return jnp.moveaxis(y.reshape(*y.shape[:-1], PARTS, part), -1, -2).reshape(y.shape)


@contextmanager
def variant(name: str, config: Config) -> Iterator[Config]:
    """The config of a variant, and the library changed for as long as it needs to be."""
    fields: dict[str, Any] = {
        "second-order": {"arch_gradient": "second-order"},
        "parameter-penalty": {"parameter_weight": 1.0},
    }.get(name, {})
    config = dataclasses.replace(config, search=dataclasses.replace(config.search, **fields))
    patches = []
    if name == "gumbel":

        def sampled(*arguments: Any) -> Searcher:
            made = make_searcher(*arguments)
            return SampledSearcher(**{field.name: getattr(made, field.name) for field in dataclasses.fields(made)})

        patches = [mock.patch.object(searching, "make_searcher", sampled)]
    if name == "partial-channels":
        patches = [mock.patch.object(cell, "MixedOperations", PartialMixedOperations)]
    for patch in patches:
        patch.start()
    try:
        yield config
    finally:
        for patch in patches:
            patch.stop()


def step_cost(config: Config) -> dict[str, float]:
    """GFLOP of one alternating step, and MiB that the kernels' gradient keeps."""
    searcher = searching.make_searcher(config, 10)
    side, batch = config.search.patch, config.search.batch_size
    patches = jax.ShapeDtypeStruct((batch, side, side, 1), jnp.float32)

    def step(state: Any, degraded: Any, clean: Any) -> Any:
        state, _ = searcher.arch_step(state, degraded, clean, (degraded, clean))
        return searcher.weight_step(state, degraded, clean)[0]

    def kept(state: Any, degraded: Any, clean: Any) -> Any:
        loss = lambda params: searcher.loss_of(params, state.arch, state.batch_stats, degraded, clean)[0]  # noqa: E731
        return jax.vjp(loss, state.params)[1]

    state = jax.eval_shape(searcher.init, jax.random.key(0))
    flops = jax.jit(step).lower(state, patches, patches).cost_analysis()["flops"]
    leaves = jax.tree.leaves(jax.eval_shape(kept, state, patches, patches))
    return {"gflop": flops / 1e9, "kept_mib": sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) / 2**20}


def main() -> None:
    """Try all variants in turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--costs", action="store_true", help="tell what a step costs, and search nothing")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--output", type=Path, default=Path("runs/search_options.json"))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        for name in options.variants:
            demo = dataclasses.replace(load_config("demo"), seed=seed)
            row: dict[str, Any] = {"variant": name, "seed": seed}
            if seed == 0:
                with variant(name, demo) as config:
                    row |= step_cost(config)
            if not options.costs:
                row |= search_once(name, dataclasses.replace(demo, space=dataclasses.replace(demo.space, layers=1)))
            rows.append(row)
            print(json.dumps(row), flush=True)
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(rows, indent=2) + "\n")
        if options.costs:
            break


def search_once(name: str, base: Config) -> dict[str, Any]:
    """What a search of a variant ends with."""
    with tempfile.TemporaryDirectory() as folder, variant(name, base) as config:
        search(config, Path(folder), say=lambda _: None)
        last = read_metrics(Path(folder) / "metrics.jsonl")[-1]
    names = ("alpha_entropy", "parameters", "psnr", "seconds")
    return {"alpha_skips": sum(last["alpha_skips"])} | {key: last[key] for key in names}


if __name__ == "__main__":
    main()
