"""Plots of the performance document from the rows that bench.py wrote.

Command:  python benchmarks/plots.py runs/bench/bench.json ... [--folder docs]

growth.png: step, memory, compile time and operations of the weight step against each size. supernet.png: examples a
second of both steps by variant.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib.pyplot as plt

Row = dict[str, Any]

INK: Final = "#1f4e79"
PALE: Final = "#9ab7d3"
MEASURES: Final = {
    "step (s)": lambda row: row["step_s"],
    "temporaries (MiB)": lambda row: row["temp_bytes"] / 2**20,
    "trace + compile (s)": lambda row: row["trace_s"] + row["compile_s"],
    "GFLOP a step": lambda row: row["flops"] / 1e9,
}


def main() -> None:
    """Draw what there are rows of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    options = parser.parse_args()
    rows: list[Row] = [row for path in options.results for row in json.loads(path.read_text())]
    for name, draw in (("growth", growth), ("supernet", supernet)):
        if own := [row for row in rows if row["table"] == name]:
            figure = draw(own)
            figure.savefig(options.folder / f"{name}.png", dpi=110)
            print(options.folder / f"{name}.png")


def growth(rows: Sequence[Row]) -> plt.Figure:
    """A row of panels for each measure, a column for each size."""
    names = list(dict.fromkeys(row["variant"].removeprefix("growth with ") for row in rows))
    figure, axes = plt.subplots(len(MEASURES), len(names), figsize=(11, 7.5), sharex="col", sharey="row", squeeze=False)
    for column, name in enumerate(names):
        own = [row for row in rows if row["variant"] == f"growth with {name}"]
        sizes = [row[name] if name in ("batch", "patch") else row["space"][name] for row in own]
        for line, (label, measure) in zip(axes, MEASURES.items(), strict=True):
            panel = line[column]
            panel.plot(sizes, [measure(row) for row in own], "o-", color=INK)
            panel.set_xscale("log", base=2)
            panel.set_yscale("log", base=2)
            panel.set_xticks(sizes, [str(size) for size in sizes])
            panel.yaxis.set_major_formatter("{x:g}")
            panel.minorticks_off()
            panel.grid(alpha=0.3)
            if column == 0:
                panel.set_ylabel(label)
        axes[-1][column].set_xlabel(name.replace("_", " "))
    figure.suptitle("the weight step against each size, the others held (both axes logarithmic)")
    figure.tight_layout()
    return figure


def supernet(rows: Sequence[Row]) -> plt.Figure:
    """Examples a second by variant, weight and architecture step, with the range over the rounds."""
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    figure, panel = plt.subplots(figsize=(8, 0.6 * len(variants) + 1.6))
    for offset, phase, colour in ((-0.19, "weight", INK), (0.19, "arch", PALE)):
        own = {row["variant"]: row for row in rows if row["phase"] == phase}
        places = [i + offset for i, name in enumerate(variants) if name in own]
        speeds = [row["batch"] / row["step_s"] for row in own.values()]
        ranges = [[row["batch"] / row["step_s_spread"][end] for row in own.values()] for end in (1, 0)]
        errors = [
            [speed - low for speed, low in zip(speeds, ranges[0], strict=True)],
            [high - speed for speed, high in zip(speeds, ranges[1], strict=True)],
        ]
        label = {"weight": "weight step", "arch": "architecture step"}[phase]
        panel.barh(places, speeds, 0.36, xerr=errors, color=colour, ecolor="#444444", label=label)
    panel.set_yticks(range(len(variants)), variants)
    panel.invert_yaxis()
    panel.set_xlabel(f"examples a second (patches of {rows[0]['patch']}x{rows[0]['patch']}, {rows[0]['device']})")
    panel.grid(axis="x", alpha=0.3)
    panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    figure.tight_layout()
    return figure


if __name__ == "__main__":
    main()
