"""A table as Markdown to be read and as CSV to be reckoned with."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hinas_jax.tables.budget import Budget
from hinas_jax.tables.definition import Table
from hinas_jax.tables.rows import Row, Score, SearchCost, Value
from hinas_jax.writing import write_whole

_WHOSE: Final = {"paper": "paper", "literature": "literature", "ours": "**ours**"}
_TOY: Final = (
    "**A toy.** Nets, patches and test sets are shrunk as well as the schedule (see below): the rows of ours show"
    " that the command works, and say nothing of the method."
)
_PROTOCOLS: Final = """Compare rows of one protocol only:

- `standard`: whole pictures, one seeded draw of noise; super-resolution on Y of 8-bit output, border cropped.
- `released`: as the authors' test code measures (64-pixel tiles with fresh noise each, overlaps averaged; for
  super-resolution another Y and no border cropped): denoising gains 0.4 to 0.7 dB by that alone. For the paper's own
  rows.
- the paper's rows of other methods: from their own papers, by other protocols again.

PSNR in dB / SSIM. A ± is the standard deviation over seeds and draws; without one there was one run. Of what was
trained, the best on the validation pictures V is kept; test pictures choose nothing."""
_INFERENCE: Final = (
    "Inference is timed on the pictures that the cell names: B100 alone where it is tested on, as in the paper, whose"
    " Table 12 does not say so itself; without it all test pictures. Compare times of the same pictures on one device."
)
_SEARCH: Final = (
    "Search: the wall-clock time of all of it, loading, compiling and evaluating included, on the device that the cell"
    " names; the paper's for E-CAE is of search and training. MiB, which the paper does not give, is what the compiler"
    " says that a search step takes for features and gradients; weights, data and the framework come on top."
)


def columns(table: Table, rows: Sequence[Row]) -> list[str]:
    """The columns of scores: the paper's, then those of other pictures that some row was measured on."""
    known = [f"sigma {sigma:g}" for sigma in table.sigmas] or list(table.sets)
    return known + sorted({name for row in rows for name in {*row.scores, *row.without}} - set(known))


def write_markdown(
    table: Table,
    rows: Sequence[Row],
    path: Path,
    *,
    budget: Budget,
    shrunk: Sequence[str],
    figures: Sequence[Path] = (),
) -> None:
    """Write the table as Markdown.

    Args:
        table: the definition.
        rows: all rows.
        path: the file.
        budget: of our rows.
        shrunk: what the budget changed, field by field.
        figures: pictures to show below.
    """
    names = columns(table, rows)
    heads = ["Method", "Whose", "Protocol"]
    heads += ["Scale"] * (len(table.bases) > 1) + ["Parameters (M)", *names]
    heads += ["Inference (s)"] * table.inference + ["Search", "Search method"] * table.search_cost
    heads += ["Seeds", "Steps", "Budget", "Data", "Note"]
    lines = [f"# Table {table.number}: {table.title}", ""]
    lines += [_TOY, ""] if budget.toy else []
    lines += ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(_cells(table, row, names)) + " |" for row in rows]
    lines += ["", _PROTOCOLS]
    lines += ["", _INFERENCE] if table.inference else []
    lines += ["", _SEARCH] if table.search_cost else []
    if shrunk:
        lines += ["", f"Budget {budget.fraction:g} of the paper's schedule. Changed for it:", ""]
        lines += [f"- {change}" for change in shrunk]
        if budget.test_pictures:
            lines.append(f"- {budget.test_pictures} pictures of each test set at most, the first by name")
    lines += [line for figure in figures for line in ("", f"![{figure.stem}]({figure.name})")]
    write_whole(path, "\n".join(lines) + "\n")


def write_csv(table: Table, rows: Sequence[Row], path: Path) -> None:
    """Write the table as CSV, every number and every spread in a column of its own."""
    names = columns(table, rows)
    heads = ["table", "method", "whose", "protocol", "scale", "parameters", "parameters_spread"]
    heads += [f"{name} {part}" for name in names for part in ("psnr", "psnr_spread", "ssim", "ssim_spread")]
    heads += ["inference_s", "inference_s_spread", "inference_of", "device"]
    heads += ["search_seconds", "search_seconds_spread", "search_temp_bytes", "search_device", "search_method"]
    heads += ["seeds", "steps", "budget", "data", "note"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        for row in rows:
            cells: list[object] = [table.number, row.method, row.origin, row.protocol, row.scale]
            cells += _numbers(row.parameters)
            for name in names:
                score = row.scores.get(name, Score(None, None))
                cells += [*_numbers(score.psnr), *_numbers(score.ssim)]
            cells += [*_numbers(row.seconds), row.timed, row.device]
            cells += _search_numbers(row.search)
            cells += [_blank(x) for x in (row.seeds, row.steps, row.budget, row.data, row.note)]
            writer.writerow(cells)


def _cells(table: Table, row: Row, names: Sequence[str]) -> list[str]:
    cells = [row.method.replace("*", r"\*"), _WHOSE[row.origin], row.protocol]
    cells += [f"x{row.scale}"] * (len(table.bases) > 1)
    cells.append(_millions(row.parameters))
    cells += [row.without.get(name) or _score(row.scores.get(name), row.difference) for name in names]
    if table.inference:
        cells.append(f"{row.seconds.text(2)} of {row.timed} ({row.device})" if row.seconds else "-")
    if table.search_cost:
        cells += [_search(row.search), row.search.method] if row.search else ["-", "-"]
    steps = "-" if row.steps is None else f"{row.steps:,}"
    budget = "-" if row.budget is None else f"{row.budget:g}"
    return [*cells, str(row.seeds or "-"), steps, budget, row.data or "-", row.note or "-"]


def _score(score: Score | None, difference: bool) -> str:
    if score is None or score.psnr is None:
        return "-"
    psnr = score.psnr.text(3 if difference else 2, difference)  # the paper prints one difference of 0.009
    return psnr + (f" / {score.ssim.text(4, difference)}" if score.ssim else "")


def _search(cost: SearchCost) -> str:
    """In hours, two significant digits of them at least."""
    hours, spread = cost.seconds.mean / 3600, cost.seconds.spread
    digits = max(1, 1 - math.floor(math.log10(hours))) if hours > 0 else 1
    words = f"{Value(hours, None if spread is None else spread / 3600).text(digits)} h on {cost.device}"
    if cost.temp_bytes is None:
        return words
    mebibytes = cost.temp_bytes / 2**20
    return f"{words}, {mebibytes:.{0 if mebibytes >= 10 else 2}f} MiB"


def _millions(parameters: Value | None) -> str:
    if parameters is None:
        return "-"
    mean, spread = parameters.mean / 1e6, parameters.spread
    digits = 3 if mean < 0.1 else 2
    return Value(mean, spread / 1e6 if spread else None).text(digits)


def _numbers(value: Value | None) -> list[object]:
    return ["", ""] if value is None else [value.mean, _blank(value.spread)]


def _search_numbers(cost: SearchCost | None) -> list[object]:
    return [""] * 5 if cost is None else [*_numbers(cost.seconds), _blank(cost.temp_bytes), cost.device, cost.method]


def _blank(value: object) -> object:
    return "" if value is None else value
