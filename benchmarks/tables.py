"""The tables of docs/performance.md from the rows that bench.py wrote.

Command:  python benchmarks/tables.py runs/bench/bench.json ... [--document docs/performance.md]

Replaces what stands between ``<!-- NAME -->`` and ``<!-- end -->`` for each table of which there are rows.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--document", type=Path, default=Path("docs/performance.md"))
    options = parser.parse_args()
    rows: list[Row] = [row for path in options.results for row in json.loads(path.read_text())]
    text = options.document.read_text()
    for name, make in TABLES.items():
        if own := [row for row in rows if row["table"] == name]:
            pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
            table = make(own)
            text = pattern.sub(lambda found, table=table: f"{found[1]}{table}{found[2]}", text)
    options.document.write_text(text)


def supernet(rows: Sequence[Row]) -> str:
    """Both steps by variant, each with its ratio to the stacked form."""
    return _phases(rows, "stacked")


def memory(rows: Sequence[Row]) -> str:
    """Temporaries of compiled programs."""
    lines = [
        [
            row["variant"],
            row["phase"],
            f"{row['batch']} x {row['patch']}²",
            _mib(row["temp_bytes"]),
            _giga(row["flops"]),
        ]
        for row in rows
    ]
    return _table(["program", "step", "batch x patch", "temporaries (MiB)", "GFLOP"], lines)


def inference(rows: Sequence[Row]) -> str:
    """Seconds a megapixel."""
    lines = []
    for row in rows:
        pixels = row["patch"] ** 2 / 1e6
        low, high = row["step_s_spread"]
        spread = f"{low / pixels:.2f} to {high / pixels:.2f}"
        speed = _giga(row["flops"] / row["step_s"]) if row["flops"] else ""
        lines.append([row["variant"], f"{row['parameters']:,}", f"{row['step_s'] / pixels:.2f}", spread, speed])
    return _table(["network", "parameters", "s a megapixel", "range", "GFLOP/s"], lines)


def feeding(rows: Sequence[Row]) -> str:
    """A training step by where its pictures lie."""
    lines = [
        [row["variant"], f"{row['step_s']:.3f}", f"{row['step_s_spread'][0]:.3f} to {row['step_s_spread'][1]:.3f}",
         f"{row['step_s'] / rows[0]['step_s']:.2f}"]
        for row in rows
    ]  # fmt: skip
    return _table(["pictures", "step (s)", "range", f"of {rows[0]['variant']}"], lines)


def convolutions(rows: Sequence[Row]) -> str:
    """Milliseconds, and in brackets those of CPU, of each convolution as it is compiled in two ways."""
    lines = []
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        times = [f"{row['step_s'] * 1e3:.1f} ({row['cpu_s'] * 1e3:.1f})" for row in (one, other)]
        name = one["variant"].rpartition(", ")[0]
        lines.append([name, one["phase"], *times, f"{other['step_s'] / one['step_s']:.2f}"])
    head = [row["variant"].rpartition(", ")[2] + ", ms (of CPU)" for row in rows[:2]]
    return _table(["channels, kernel", "what", *head, "ours / XLA's"], lines)


def search(rows: Sequence[Row]) -> str:
    """The whole search."""
    return _table(["search", "device", "seconds"], [[r["variant"], r["device"], f"{r['step_s']:.0f}"] for r in rows])


def growth(rows: Sequence[Row]) -> str:
    """How the weight step grows with one size."""
    lines = []
    for row in rows:
        space, name = row["space"], row["variant"].removeprefix("growth with ")
        value = row[name] if name in ("batch", "patch") else space[name]
        lines.append(
            [name, str(value), str(row["convolutions"]), f"{row['trace_s']:.1f}", f"{row['compile_s']:.1f}",
             f"{row['step_s']:.3f}", _mib(row["temp_bytes"]), _giga(row["flops"])]
        )  # fmt: skip
    head = ["size", "value", "convolutions", "trace (s)", "compile (s)", "step (s)", "temporaries (MiB)", "GFLOP"]
    return _table(head, lines)


def _phases(rows: Sequence[Row], reference: str) -> str:
    """By variant: what the compiler says, how fast, and how near to the machine's ceiling of arithmetic."""
    lines = []
    for row in rows:
        base = next(r for r in rows if r["variant"] == reference and r["phase"] == row["phase"])
        low, high = row["step_s_spread"]
        compiled = ["", "", "", ""]
        if row["compile_s"] is not None:
            compiled = [str(row["convolutions"]), f"{row['trace_s'] + row['compile_s']:.0f}", _mib(row["temp_bytes"]),
                        f"{_giga(row['flops'] / row['step_s'])} ({row['of_ceiling']:.0%})"]  # fmt: skip
        times = [
            f"{row['step_s']:.2f}",
            f"{row['batch'] / row['step_s']:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{row['step_s'] / base['step_s']:.2f}",
            f"{row['cpu_s']:.2f}",
        ]
        lines.append([row["variant"], row["phase"], *compiled, *times])
    head = [
        "variant",
        "step",
        "convolutions",
        "trace + compile (s)",
        "temporaries (MiB)",
        "GFLOP/s (of ceiling)",
        "step (s)",
        "examples/s",
        "range",
        f"of {reference}",
        "CPU (s)",
    ]
    return _table(head, lines)


def _mib(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.0f}"


def _giga(count: float | None) -> str:
    return "" if count is None else f"{count / 1e9:,.0f}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ["---"] * len(head), *lines))


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "supernet": supernet, "memory": memory, "inference": inference, "growth": growth, "feeding": feeding,
    "convolutions": convolutions, "search": search,
}  # fmt: skip

if __name__ == "__main__":
    main()
