"""Time and memory of the supernet's two steps and of inference, by variant; writes a list of rows as JSON.

Command:  make bench                          (all of it; on 2 CPU cores more than an hour)
          python benchmarks/bench.py --out runs/bench/bench.json --quick   (a small supernet, minutes)
          python benchmarks/bench.py --only supernet|inference|growth|memory|feeding|convolutions
          python benchmarks/bench.py --only search --data BSDS500   (the paper's whole denoising search in a process of
                                                                    its own; for a GPU, since it takes days on CPUs)

On a machine of 24 GB the plain form of the full supernet fits beside the stacked one (--variants plain stacked), and
may not fit beside all others: --variants stacked stacked+remat-cell torch-eager-channels-last leaves it out.

Variants of one table are compiled first and then timed in turn, round after round, in this one process, so that what
else the machine does falls on all of them alike: trust ratios (but of the table growth, whose sizes follow one
another). PyTorch's rows are left out where it is not installed, torch-compile also where it is not asked for.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import jax

sys.path.insert(0, str(Path(__file__).resolve().parent))

from convolutions import convolutions
from measuring import TORCH, Row, measure_ceiling
from networks import feeding, inference
from supernets import growth, memory, search, supernet

TABLES: Final[dict[str, Callable[..., Iterator[Row]]]] = {
    "supernet": supernet, "inference": inference, "memory": memory, "growth": growth, "feeding": feeding,
    "convolutions": convolutions, "search": search,
}  # fmt: skip


def main() -> None:
    """Run the benchmarks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/bench.json"))
    parser.add_argument("--quick", action="store_true", help="a small supernet and small pictures")
    parser.add_argument("--only", nargs="+", choices=list(TABLES), help="default: all but search")
    parser.add_argument("--variants", nargs="+", help="of the table supernet, these only")
    parser.add_argument("--rounds", type=int, default=5, help="how often every variant is timed")
    parser.add_argument("--data", default="bundled", help="of the table search: as data.root of a config")
    options = parser.parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU is shared with PyTorch and with the search
    options.out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "ceiling": measure_ceiling(),
        "rows": [],
    }
    print(f"ceiling: {document['ceiling']}")
    for name in options.only or [name for name in TABLES if name != "search"]:
        asked = {"supernet": {"variants": options.variants}, "search": {"data": options.data}}.get(name, {})
        for row in TABLES[name](quick=options.quick, rounds=options.rounds, **asked):
            if row.flops and row.step_s:
                row.of_ceiling = row.flops / row.step_s / document["ceiling"]["flop_per_s"]
            document["rows"].append({"table": name, **dataclasses.asdict(row)})
            options.out.write_text(json.dumps(document["rows"], indent=1) + "\n")
            options.out.with_name("machine.json").write_text(
                json.dumps({key: value for key, value in document.items() if key != "rows"}, indent=1) + "\n"
            )
    if not TORCH:
        print("PyTorch is not installed: its rows are left out")


if __name__ == "__main__":
    main()
