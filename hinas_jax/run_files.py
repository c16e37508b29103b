"""Reading what a run left in its folder: the rows of metrics.jsonl, and manifest.json. Needs no JAX."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

Row = Mapping[str, Any]  #: of metrics.jsonl

#: The protocol of every PSNR and SSIM on V (section 4.1), which is neither `standard` nor `released`.
V_PROTOCOL: Final = "validation (joined patches)"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines, one row a line. A last line torn by a stopped run is left out.

    Raises:
        ValueError: a line before the last is no JSON object; the message names file and line.
        OSError: the file cannot be read.
    """
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:  # no JSON, or no UTF-8
            if number == len(lines):
                break
            raise ValueError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}: a row must be a JSON object")
        rows.append(row)
    return rows


def best_row(metrics: Sequence[Row]) -> Row | None:
    """The row with the largest SSIM + PSNR / 100, the first of equals: what search and training keep."""
    measured = [row for row in metrics if all(isinstance(row.get(name), numbers.Real) for name in ("psnr", "ssim"))]
    return max(measured, key=lambda row: row["ssim"] + row["psnr"] / 100, default=None)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What manifest.json in ``folder`` says; nothing if there is none that can be read."""
    try:
        document = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
