"""The paper's figures that go with its tables: Figs. 7 (widths), 10 and 11 (changed cells), 14 (trade-off)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from hinas_jax.drawing import draw_architecture
from hinas_jax.ink import BLUE, FAINT, GREY, INK, LINE, ORANGE, STYLE, save_figure
from hinas_jax.space.perturbation import changed_edges
from hinas_jax.tables.definition import Table
from hinas_jax.tables.networks import Trained
from hinas_jax.tables.rows import Row

_OURS: Final = "released"  #: the protocol to be compared with the paper's rows
_COLUMNS: Final = ("sigma 50", "B100")  #: what Fig. 14 shows, of sigma 50 and x3; Table 12 in its manner


def draw_figures(table: Table, rows: Sequence[Row], nets: Sequence[Trained], folder: Path) -> list[Path]:
    """Draw what goes with a table into ``folder``; returns the files. What diverged is not drawn."""
    there = {net.variant.name for net in nets}
    table = dataclasses.replace(table, variants=tuple(v for v in table.variants if v.name in there))
    if not table.variants:
        return []
    if table.figure == "widths":
        return [_draw_widths(table, rows, nets, folder / f"table_{table.number}_widths.png")]
    if table.figure == "cells":
        return _draw_cells(table, nets, folder)
    if table.figure == "trade-off":
        return [
            _draw_trade_off(
                rows, base.task.scale, folder / f"table_{table.number}{_suffix(table, base.task.scale)}.png"
            )
            for base in table.bases
            if any(row.origin == "ours" and row.scores and row.seconds and row.scale == base.task.scale for row in rows)
        ]
    return []


def plain_axes(axes: Axes) -> None:
    """Left and lower spine only, grey, with a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(color=LINE, labelcolor=GREY, labelsize=8)
    axes.grid(color=FAINT, lw=0.8)
    axes.set_axisbelow(True)


def _suffix(table: Table, scale: int) -> str:
    return "_trade_off" + (f"_x{scale}" if len(table.bases) > 1 else "")


def _draw_widths(table: Table, rows: Sequence[Row], nets: Sequence[Trained], path: Path) -> Path:
    """Channels of each layer's nodes for every variant (its first seed), with parameters and score below the name."""
    firsts = {net.variant.name: net for net in reversed(nets)}
    names = [variant.name for variant in table.variants]
    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
        figure = Figure(figsize=(3.4 * len(names), 3.2), layout=layout)
        grid = figure.subplots(1, len(names), squeeze=False, sharey=True)
        for axes, name in zip(grid.flat, names, strict=True):
            architecture = firsts[name].run.architecture
            plain_axes(axes)
            axes.grid(visible=False, axis="x")
            layers = range(len(architecture.widths))
            axes.bar(layers, architecture.widths, width=0.6, color=BLUE)
            for layer, width in zip(layers, architecture.widths, strict=True):
                axes.text(layer, width, str(width), ha="center", va="bottom", size=9, color=INK)
            axes.set_xticks(list(layers), [f"layer {layer}" for layer in layers])
            axes.margins(y=0.15)
            row = next(row for row in rows if row.method == name and row.protocol == _OURS and row.origin == "ours")
            score = next(iter(row.scores.values()), None)
            about = f"{architecture.parameters():,} parameters"
            if score and score.psnr:
                about += f"; {score.psnr.text(2)} dB ({_OURS})"
            axes.set_title(f"{name}\n", size=10, weight="bold", color=INK, loc="left")
            axes.text(0, 1.03, about, transform=axes.transAxes, size=8.5, color=GREY)
        grid[0, 0].set_ylabel("channels a node, in training", color=GREY, size=9)
        save_figure(figure, path)
    return path


def _draw_cells(table: Table, nets: Sequence[Trained], folder: Path) -> list[Path]:
    """Every variant's first network; what a perturbation changed is red."""
    paths = []
    for number, variant in enumerate(table.variants):
        net = next(net for net in nets if net.variant == variant)
        path = folder / f"table_{table.number}_cells_{number}.png"
        marked = changed_edges(net.found, net.changed)
        draw_architecture(net.run.architecture, path, title=variant.name, marked=marked)
        paths.append(path)
    return paths


def _draw_trade_off(rows: Sequence[Row], scale: int, path: Path) -> Path:
    """SSIM over inference time, marker size and colour by parameters: the paper's rows left, ours right.

    Two panels, since two devices and several protocols share no axis.
    """
    rows = [row for row in rows if row.scale == scale and row.seconds]
    printed = [row for row in rows if row.origin == "paper"]
    ours = [row for row in rows if row.origin == "ours" and row.protocol == _OURS and row.scores]
    most = math.log10(max(row.parameters.mean for row in rows if row.parameters))
    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
        figure = Figure(figsize=(11, 4.4), layout=layout)
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        column = next(name for name in _COLUMNS if any(name in row.scores for row in printed))
        painted = _scatter(left, printed, column, most)
        left.set_title("The paper's rows, by the protocols of their papers", **_TITLE)
        left.set_xlabel(
            f"inference of {printed[0].timed},\none GTX 1080 Ti, as printed (s, log scale)", color=GREY, size=9
        )
        left.set_ylabel(f"SSIM, {_words(column)}", color=GREY, size=9)
        own = column if any(column in row.scores for row in ours) else next(iter(ours[0].scores))
        _scatter(right, ours, own, most)
        right.set_title(f"Ours, protocol {_OURS}, budget {ours[0].budget:g}", **_TITLE)
        right.set_xlabel(f"inference of {ours[0].timed},\n{ours[0].device} (s, log scale)", color=GREY, size=9)
        right.set_ylabel(f"SSIM, {_words(own)}", color=GREY, size=9)
        bar = figure.colorbar(painted, ax=[left, right], ticks=[4, 5, 6, 7, 8], pad=0.02)
        bar.ax.set_yticklabels(["0.01 M", "0.1 M", "1 M", "10 M", "100 M"], color=GREY, size=8)
        bar.set_label("parameters", color=GREY, size=9)
        save_figure(figure, path)
    return path


_TITLE: Final[dict[str, Any]] = {"size": 10, "weight": "bold", "color": INK, "loc": "left"}


def _words(column: str) -> str:
    return column.replace("sigma", "noise of sigma")


def _within_a_decade(points: Sequence[tuple[Row, float, float, float]]) -> bool:
    times = [x for _, x, _, _ in points]
    return not times or max(times) < 8 * min(times)


def _scatter(axes: Axes, rows: Sequence[Row], column: str, most: float) -> Any:
    plain_axes(axes)
    axes.set_xscale("log")
    axes.margins(x=0.18, y=0.14)
    points = [
        (row, row.seconds.mean, score.ssim.mean, math.log10(row.parameters.mean))
        for row in rows
        if row.seconds and row.parameters and (score := row.scores.get(column)) and score.ssim
    ]
    painted = axes.scatter(
        [x for _, x, _, _ in points],
        [y for _, _, y, _ in points],
        s=[30 + 60 * max(p - 4, 0) for *_, p in points],
        c=[p for *_, p in points],
        cmap="viridis_r", vmin=4, vmax=max(8, most), edgecolors=INK, linewidths=0.6, zorder=3,
    )  # fmt: skip
    slowest = max((x for _, x, _, _ in points), default=0)
    for row, x, y, _ in points:
        close = any(1 < other / x < 1.4 for _, other, _, _ in points)  # a point where the words would stand
        left = len(points) > 1 and (x == slowest or close)  # the words stay inside the axes
        axes.annotate(
            row.method, (x, y), xytext=(-8 if left else 7, 5), textcoords="offset points", size=8,
            ha="right" if left else "left", color=ORANGE if row.method.startswith("HiNAS") else INK,
        )  # fmt: skip
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(StrMethodFormatter("{x:g}") if _within_a_decade(points) else NullFormatter())
    axes.tick_params(which="minor", color=LINE, labelcolor=GREY, labelsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    return painted
