"""Own rows: networks, and what needs none, measured by both protocols."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import jax

from hinas_jax.config import Config
from hinas_jax.protocols import Protocol
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.definition import Table, Variant, with_fields
from hinas_jax.tables.networks import Lost, Trained
from hinas_jax.tables.pictures import TestSet
from hinas_jax.tables.rows import Row, Score, SearchCost, Value
from hinas_jax.tables.store import Run, Store

PROTOCOLS: Final[tuple[Protocol, ...]] = ("standard", "released")
TIMED_SET: Final = "B100"  #: what the paper times super-resolution on (its caption of Table 11)


@dataclasses.dataclass(frozen=True)
class Measuring:
    """Networks of one task at one budget, measured on its sets.

    Attributes:
        table: the definition.
        base: the experiment of these networks at this budget, before what a variant changes.
        sets: what is measured on.
        store: measures, or remembers.
        seeds: how often all was repeated.
        budget: the part of the paper's schedule.
        data: what was trained and tested on, in words.
    """

    table: Table
    base: Config
    sets: tuple[TestSet, ...]
    store: Store
    seeds: int
    budget: Budget
    data: str

    def own_rows(self, nets: Sequence[Trained | Lost]) -> list[Row]:
        """A variant's rows, one by each protocol: means over seeds and draws of ``nets``, with their spread.

        A column in which one of them is lost has no score: the mean of the others would flatter.
        """
        variant = nets[0].variant
        trained = [net for net in nets if isinstance(net, Trained)]
        lost = [net for net in nets if isinstance(net, Lost)]
        searches = {net.search.folder: net.search for net in trained if net.search}
        draws = max(collections.Counter((net.config.seed, net.config.task.sigmas) for net in nets).values())
        timed = timed_sets(self.sets)
        seconds = _inference(trained, timed, self.store) if self.table.inference and trained else None
        return self._rows(
            [(net,) for net in nets],
            lambda protocol, net, test: self.store.score(net.run, test, protocol),
            method=variant.name if draws == 1 else f"{variant.name} ({draws} draws a seed)",
            parameters=Value.of([float(net.run.architecture.parameters()) for net in trained]) if trained else None,
            seconds=seconds,
            timed=_pictures_of(timed) if seconds else "",
            device=_words(jax.devices()[0].device_kind) if seconds else "",
            search=_search_cost(list(searches.values())) if self.table.search_cost and searches else None,
            steps=nets[0].config.train.steps,
            note=_note(variant, lost, len(nets)),
        )

    def difference_rows(self, nets: Sequence[Trained | Lost]) -> list[Row]:
        """The second of the two variants that the table compares over the first, a row by each protocol.

        Networks, of all variants, are paired seed by seed, and the spread is that of the pairs' differences. A column
        in which one of them is lost has none. Without ``table.compared`` there are no rows.
        """
        if self.table.compared is None:
            return []
        first, second = ([net for net in nets if net.variant.name == name] for name in self.table.compared)

        def difference(protocol: Protocol, one: Trained, other: Trained, test: TestSet) -> tuple[float, float]:
            before, after = (self.store.score(net.run, test, protocol) for net in (one, other))
            return after[0] - before[0], after[1] - before[1]

        return self._rows(
            list(zip(first, second, strict=True)),  # both in the order of seeds, then of noise levels
            difference,
            method=f"Comparison, {_short(self.table.compared[1])} over {_short(self.table.compared[0])}",
            difference=True,
            steps=self.base.train.steps,
            note="differences of the rows above, seed by seed",
        )

    def _rows(
        self, groups: Sequence[tuple[Trained | Lost, ...]], score: Callable[..., tuple[float, float]], **fields: Any
    ) -> list[Row]:
        """A row by each protocol, with a score of each group, where no group has lost a network.

        Args:
            groups: of networks at one noise level.
            score: PSNR and SSIM of a protocol, the networks of a group, and a set.
            fields: of the rows.
        """
        lost = [net for group in groups for net in group if isinstance(net, Lost)]
        without = {_column(net.config, test): net.what for net in lost for test in self.sets}
        rows = []
        for protocol in PROTOCOLS:
            samples: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
            for group in groups:
                for test in self.sets:
                    if (column := _column(group[0].config, test)) not in without:
                        samples[column].append(score(protocol, *group, test))
            scores = {name: _score(values) for name, values in samples.items()}
            rows.append(
                Row(
                    origin="ours",
                    protocol=protocol,
                    scores=scores,
                    without=without,
                    scale=self.base.task.scale,
                    seeds=self.seeds,
                    budget=self.budget.fraction,
                    data=self.data,
                    **fields,
                )
            )
        return rows

    def rows_without_network(self) -> list[Row]:
        """f_skip alone: the noisy picture, or the bicubically enlarged one."""
        base, sigmas = self.base, self.table.sigmas
        name = "identity" if base.task.scale == 1 else "bicubic"
        configs = [with_fields(base, {"task.sigmas": (sigma,)}) for sigma in sigmas] or [base]
        return [
            Row(
                method="noisy picture" if base.task.scale == 1 else "bicubic",
                origin="ours",
                protocol=protocol,
                scores={
                    _column(config, test): _score([self.store.baseline_score(name, config, test, protocol)])
                    for config in configs
                    for test in self.sets
                },
                scale=base.task.scale,
                data="tested on " + ", ".join(test.about for test in self.sets),
                note="no network",
            )
            for protocol in PROTOCOLS
        ]


def _note(variant: Variant, lost: Sequence[Lost], count: int) -> str:
    notes = ["no search: the baseline"] if variant.architecture == "random" else []
    notes += [f"{why} for {n} of {count} networks" for why, n in collections.Counter(net.why for net in lost).items()]
    return "; ".join(notes)


def _short(name: str) -> str:
    return name.partition(",")[0]


def _column(config: Config, test: TestSet) -> str:
    return f"sigma {config.task.sigmas[0]:g}" if config.task.scale == 1 else test.name


def _score(samples: Sequence[tuple[float, float]]) -> Score:
    return Score(Value.of([psnr for psnr, _ in samples]), Value.of([ssim for _, ssim in samples]))


def timed_sets(sets: Sequence[TestSet]) -> tuple[TestSet, ...]:
    """The sets whose pictures the inference is timed on: B100 alone, as in the paper, and all where it is not given."""
    return tuple(test for test in sets if test.name == TIMED_SET) or tuple(sets)


def _pictures_of(sets: Sequence[TestSet]) -> str:
    return "the " + " and the ".join(f"{test.pictures} pictures of {test.name}" for test in sets)


def _inference(nets: Sequence[Trained], sets: Sequence[TestSet], store: Store) -> Value:
    """Seconds for the pictures of these sets, of each network; a noise level makes no difference, so of one each."""
    one = {net.run.architecture: net for net in nets}.values()
    return Value.of([sum(store.inference_seconds(net.run, test) for test in sets) for net in one])


def _search_cost(searches: Sequence[Run]) -> SearchCost:
    devices = dict.fromkeys(_words(run.manifest["device"]) for run in searches)  # of the run, which may be an old one
    return SearchCost(
        seconds=Value.of([run.seconds for run in searches]),
        device=" and ".join(devices),
        method="gradient",
        temp_bytes=max(run.manifest.get("temp_bytes", 0) for run in searches) or None,
    )


def _words(device: str) -> str:
    return "CPU" if device == "cpu" else device
