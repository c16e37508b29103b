"""Rows of a table: the paper's, the literature's and ours, all of one form, each with its protocol."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hinas_jax.named_configs import config_folder
from hinas_jax.tables.definition import Table

Origin = Literal["paper", "literature", "ours"]


@dataclasses.dataclass(frozen=True)
class Value:
    """A number, or the mean of several with their standard deviation (of a sample: divided by n - 1)."""

    mean: float
    spread: float | None = None
    count: int = 1

    @classmethod
    def of(cls, samples: Sequence[float]) -> Value:
        """Mean and spread of some samples; of one there is no spread.

        Raises:
            ValueError: there is none.
        """
        if not samples:
            raise ValueError("no samples")
        spread = statistics.stdev(samples) if len(samples) > 1 and all(map(math.isfinite, samples)) else None
        return cls(statistics.fmean(samples), spread, len(samples))

    def text(self, digits: int, sign: bool = False) -> str:
        """As it stands in a table: 29.25, or 29.25 ± 0.03, or with its sign, as differences have it."""
        mean = f"{self.mean:{'+' if sign else ''}.{digits}f}"
        return mean if self.spread is None else f"{mean} ± {self.spread:.{digits}f}"


@dataclasses.dataclass(frozen=True)
class Score:
    """PSNR in dB and SSIM; None where it is not known."""

    psnr: Value | None
    ssim: Value | None


@dataclasses.dataclass(frozen=True)
class SearchCost:
    """What finding an architecture took."""

    seconds: Value
    device: str
    """What it ran on."""
    method: str
    """In the paper's words: gradient, EA (evolution), RL (reinforcement learning)."""
    temp_bytes: int | None = None
    """What the compiled search step takes for features and gradients, the most of all searches; the paper has none."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One method by one protocol."""

    method: str
    origin: Origin
    protocol: str
    """How it was measured."""
    scores: Mapping[str, Score]
    """By column: a noise level or a set of pictures."""
    difference: bool = False
    """Whether the scores are differences of two methods' ones, which have a sign."""
    without: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Columns without a score, and why in a word: a search or a training diverged, or a change was not possible, if
    only for one of several seeds or draws."""
    parameters: Value | None = None
    scale: int = 1
    seconds: Value | None = None
    """Of inference, for the pictures that ``timed`` names."""
    timed: str = ""
    """Which pictures the inference was timed on, as "the 100 pictures of B100"."""
    device: str = ""
    """What inference ran on."""
    search: SearchCost | None = None
    seeds: int | None = None
    """Whole repetitions, from the search on."""
    steps: int | None = None
    """Of the training."""
    budget: float | None = None
    data: str = ""
    """What it was trained and tested on."""
    note: str = ""


def published_rows(table: Table) -> list[Row]:
    """The paper's rows of this table and the literature's rows for its task, from configs/tables/published.json."""
    document = json.loads((config_folder() / "tables" / "published.json").read_text())
    task = table.bases[0].task
    scales = {base.task.scale for base in table.bases}
    protocols = document["protocols"]
    rows = []
    for entry in document["paper"].get(str(table.number), []):
        own = "HiNAS" in entry["method"]
        timed = document["timed"].get(str(table.number), "")
        rows.append(_row(entry, "paper", protocols["paper" if own else "others"], timed))
    if table.inference:
        rows += [
            _row(entry, "literature", entry["protocol"])
            for entry in document["literature"].get(task.name, [])
            if entry.get("scale", 1) in scales
        ]
    return rows


def _row(entry: Mapping[str, Any], origin: Origin, protocol: str, timed: str = "") -> Row:
    seconds = _value(entry.get("seconds"))
    return Row(
        method=entry["method"],
        origin=origin,
        protocol=protocol,
        scores={name: Score(*map(_value, pair)) for name, pair in entry["scores"].items()},
        difference=entry.get("difference", False),
        parameters=_value(None if entry["parameters"] is None else 1e6 * entry["parameters"]),
        scale=entry.get("scale", 1),
        seconds=seconds,
        timed=timed if seconds else "",
        device="GTX 1080 Ti" if seconds else "",
        search=_search_cost(entry["search"]) if "search" in entry else None,
        note=entry.get("note", entry.get("source", "as printed")),
    )


def _search_cost(entry: Mapping[str, Any]) -> SearchCost:
    return SearchCost(Value(3600.0 * entry["hours"]), entry["device"], entry["method"])


def _value(number: float | None) -> Value | None:
    return None if number is None else Value(float(number))
