"""The networks of a table: each variant's architecture, searched or drawn, changed or not, and trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from hinas_jax.architecture import Architecture, ArchitectureError
from hinas_jax.config import Config
from hinas_jax.divergence import DivergenceError
from hinas_jax.random_search import draw
from hinas_jax.space.perturbation import replace_connections, replace_operations, widths_of_one_level, widths_rising
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.definition import Table, Variant, with_fields
from hinas_jax.tables.store import Run, Store

_RANDOM_CHANGES: Final = {"R1": replace_operations, "R2": replace_connections}
_TRIES: Final = 50  #: for different draws of one change
_WIDTHS: Final = {"one level": widths_of_one_level, "rising": widths_rising}


@dataclasses.dataclass(frozen=True)
class Trained:
    """One network of a variant, trained for one noise level, or for a scale of super-resolution."""

    variant: Variant
    config: Config
    """Of its training."""
    found: Architecture
    """What was searched or drawn, before any change."""
    changed: Architecture
    """What was trained, before it was widened for that."""
    run: Run
    search: Run | None


@dataclasses.dataclass(frozen=True)
class Lost:
    """No network, where a Trained would stand: a search or a training diverged, or the change is not possible."""

    variant: Variant
    config: Config
    """Of the training, which may not have begun."""
    what: Literal["diverged", "not possible"]
    """In a word or two, for a cell."""
    why: str
    """In half a sentence, for the note."""


def train_variant(
    table: Table, variant: Variant, base: Config, seeds: int, budget: Budget, store: Store
) -> Iterator[Trained | Lost]:
    """Search (or draw) and train what is missing: for every seed, draw of a change, and noise level one network.

    No architecture ends the table, be it one that cannot be changed: R1 needs a convolution, which a search that
    collapsed to skip connections does not find.
    """
    for seed in range(base.seed, base.seed + seeds):
        config = with_fields(base, {"seed": seed, **variant.fields})
        trainings = [
            with_fields(config, {**fields, **variant.training_fields})
            for fields in [{"task.sigmas": (sigma,)} for sigma in table.sigmas] or [{}]
        ]
        try:
            search = store.search(config) if variant.architecture == "searched" else None
        except DivergenceError as error:
            store.say(str(error))
            yield from (Lost(variant, training, "diverged", "the search diverged") for training in trainings)
            continue
        found = search.architecture if search else draw(config)
        try:
            architectures = list(_changed(variant, found, seed, budget))
        except ArchitectureError as error:
            store.say(f"{variant.name}, seed {seed}: not possible: {error}")
            yield from (Lost(variant, training, "not possible", f"not possible: {error},") for training in trainings)
            continue
        for changed in architectures:
            for training in trainings:
                try:
                    run = store.train(training, changed)
                except DivergenceError as error:
                    store.say(str(error))
                    yield Lost(variant, training, "diverged", "the training diverged")
                else:
                    yield Trained(variant, training, found, changed, run, search)


def _changed(variant: Variant, found: Architecture, seed: int, budget: Budget) -> Iterator[Architecture]:
    if variant.change in _RANDOM_CHANGES:
        change, rng = _RANDOM_CHANGES[variant.change], np.random.default_rng(seed)
        drawn = dict.fromkeys(change(rng, found) for _ in range(_TRIES))  # in a small space the same ones come again
        yield from list(drawn)[: budget.draws(variant.draws)]
    elif variant.change in _WIDTHS:
        yield _WIDTHS[variant.change](found)
    else:
        yield found
