"""Drawings of an architecture, in the manner of Figs. 10 and 11 of the paper: one page, measured in inches."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import matplotlib as mpl
from matplotlib.path import Path as Curve

from hinas_jax.architecture import Architecture, CellArchitecture, source_name
from hinas_jax.cell_layout import SIZES, CellLayout, Item
from hinas_jax.ink import BEHIND, BLUE, BORDER, DEEP, GREEN, GREY, INK, ORANGE, PURPLE, STYLE, Pen, Point, save_figure

_LABELS: Final[Mapping[str, str]] = {
    "conv3": "conv 3x3",
    "sep3": "sep 3x3",
    "sep5": "sep 5x5",
    "dil3": "dil 3x3",
    "dil5": "dil 5x5",
    "skip": "skip",
}
_KINDS: Final[Mapping[str, str]] = {
    "conv": "convolution",
    "sep": "separable convolution",
    "dil": "dilated convolution (rate 2)",
    "skip": "skip connection",
}
#: A line and a pale fill of each.
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "conv": (BLUE, "#e3f0f8"),
    "sep": (ORANGE, "#fcebdf"),
    "dil": (GREEN, "#e0f4ee"),
    "skip": (PURPLE, "#f8eaf3"),
}
_LINE: Final = "#8d98a4"
_MARK, _MARK_WEIGHT = "#d0021b", 2.6
_PALE, _UNUSED = "#eef1f4", "#a9b2bc"

_MARGIN: Final = 0.35
_LEAST_PAGE: Final = 9.0  # inches between the margins
_GAP: Final = 0.2  # between two panels

_Stop = tuple[float, float, float]  # x, y and half the width of what the chain runs through


def draw_architecture(
    architecture: Architecture,
    path: Path,
    *,
    title: str | None = None,
    marked: Collection[tuple[int, int, int]] = (),
) -> None:
    """Draw the network and each of its cells into one picture.

    On top stands the whole network: the chosen width of each layer among the candidate ones, the start, the
    end and the skip connection. Below stands every cell: its inputs, its nodes, and the operation on each
    edge that it keeps. The same arguments give the same bytes.

    Args:
        architecture: what to draw.
        path: the file to write, ``.svg`` (its text stays text) or ``.png``.
        title: the first words of the title line, before the number of parameters; by default the task.
        marked: edges to show in red, as in Figs. 10 and 11: layer, node, and number of the source.

    Raises:
        ValueError: the path ends in neither ``.svg`` nor ``.png``.
        OSError: the file cannot be written.
    """
    network = _Network(architecture)
    cells = [
        _Cell(cell, CellLayout.of(cell), {(source, node + 2) for where, node, source in marked if where == layer})
        for layer, cell in enumerate(architecture.cells)
    ]
    heading = f"{title or _title(architecture)}: {architecture.parameters():,} parameters"
    width = max(_LEAST_PAGE, network.least_width, 0.135 * len(heading), *(cell.least_width for cell in cells))
    rows = list(_rows(cells, width))
    top = _MARGIN + 0.65 + network.height + 0.4
    height = top + sum(_row_height(row) + _GAP for row in rows) + 0.25 + _MARGIN
    with mpl.rc_context(STYLE):
        pen = Pen(width + 2 * _MARGIN, height)
        pen.text(_MARGIN, _MARGIN + 0.1, heading, size=14, weight="bold", align="left")
        pen.text(_MARGIN, _MARGIN + 0.4, _summary(architecture), size=9.5, colour=GREY, align="left")
        network.draw(pen, _MARGIN, _MARGIN + 0.65, width)
        for row in rows:
            _draw_row(pen, architecture, row, top, width)
            top += _row_height(row) + _GAP
        _draw_legend(pen, top + 0.12, changed=bool(marked))
        save_figure(pen.figure, path)


def _summary(architecture: Architecture) -> str:
    layers, nodes = len(architecture.cells), architecture.node_count
    pictures = {1: "grey", 3: "RGB"}[architecture.channels]
    return f"{_counted(layers, 'layer')}, {_counted(nodes, 'node')} a cell, {pictures} pictures"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _draw_legend(pen: Pen, y: float, *, changed: bool) -> None:
    x = _MARGIN
    gap = 0.1 if changed else 0.4  # so that five fit the narrowest page
    entries = [(_COLOURS[kind][0], 1.6, words) for kind, words in _KINDS.items()]
    for colour, weight, words in [*entries, (_MARK, _MARK_WEIGHT, "changed")] if changed else entries:
        pen.line((x, y), (x + 0.36, y), colour=colour, weight=weight, arrow=True)
        pen.text(x + 0.46, y, words, size=9, colour=GREY, align="left")
        x += 0.46 + 0.068 * len(words) + gap


class _Network:
    """The chain from input to output, each layer's cell in the row of its width level."""

    _ROW = 0.64
    _BOX = (0.76, 0.46)

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        layers, factors = len(architecture.levels), architecture.width_factors
        # widths, input and start stand before the layers; end, pixel shuffle, sum and output after
        self._pitches = 5 + layers + (architecture.scale > 1) + architecture.residual
        self.least_width = 1.1 * self._pitches
        self._sky = 0.72 if architecture.residual else 0.3  # above level 0, for the skip connection
        self.height = self._sky + self._ROW * (len(factors) - 1) + self._BOX[1] / 2
        #: The levels that the search space offers: layer 0 holds two, each further layer one more; start and end stand
        #: beside level 0.
        self._stages = [range(1), *(range(min(len(factors), layer + 2)) for layer in range(layers)), range(1)]

    def draw(self, pen: Pen, left: float, top: float, width: float) -> None:
        pitch = min(width / self._pitches, 1.35)
        xs = [left + pitch * (i + 0.5) for i in range(self._pitches)]
        ys = [top + self._sky + self._ROW * level for level in range(len(self._architecture.width_factors))]
        self._draw_levels(pen, left, ys)
        self._draw_candidates(pen, xs[2:], ys)
        self._draw_chain(pen, xs, ys)
        if self._architecture.residual:
            self._draw_skip(pen, xs[1], xs[-2], ys[0])

    def _draw_levels(self, pen: Pen, left: float, ys: Sequence[float]) -> None:
        for level, (y, factor) in enumerate(zip(ys, self._architecture.width_factors, strict=True)):
            width = round(self._architecture.base_width * factor)
            pen.text(left, y - 0.09, f"width {width}", size=10, align="left")
            pen.text(left, y + 0.12, f"level {level}", size=8.5, colour=GREY, align="left")

    def _draw_candidates(self, pen: Pen, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Draw every cell and every step of the search space faintly."""
        half = self._BOX[0] / 2
        for i, (before, after) in enumerate(itertools.pairwise(self._stages)):
            free = i == 0 or i == len(self._stages) - 2  # from the start, to the end
            for a, b in itertools.product(before, after):
                if free or abs(a - b) <= 1:
                    pen.line((xs[i] + half, ys[a]), (xs[i + 1] - half, ys[b]), colour=BEHIND, weight=0.8)
        for x, levels in zip(xs[1:], self._stages[1:-1], strict=False):
            for level in levels:
                pen.box(x, ys[level], *self._BOX, edge=BEHIND)

    def _draw_chain(self, pen: Pen, xs: Sequence[float], ys: Sequence[float]) -> None:
        architecture = self._architecture
        layers = len(architecture.levels)
        stops = [self._draw_word(pen, xs[1], ys[0], "input")]
        stops.append(self._draw_station(pen, xs[2], ys[0], "start", f"{architecture.start_width} ch."))
        for layer, (x, level) in enumerate(zip(xs[3:], architecture.levels, strict=False)):
            stops.append(self._draw_layer(pen, x, ys[level], layer))
        stops.append(self._draw_station(pen, xs[3 + layers], ys[0], "end", f"{architecture.end_width} ch."))
        if architecture.scale > 1:
            times = f"x{architecture.scale}"
            stops.append(self._draw_station(pen, xs[4 + layers], ys[0], times, "pixel shuffle", width=0.94))
        if architecture.residual:
            pen.disc(xs[-2], ys[0], 0.3)
            pen.text(xs[-2], ys[0], "+", size=13)
            stops.append((xs[-2], ys[0], 0.15))
        stops.append(self._draw_word(pen, xs[-1], ys[0], "output"))
        for (x, y, half), (next_x, next_y, next_half) in itertools.pairwise(stops):
            pen.line((x + half, y), (next_x - next_half, next_y), colour=DEEP, weight=2, arrow=True)

    def _draw_word(self, pen: Pen, x: float, y: float, word: str) -> _Stop:
        pen.text(x, y, word, size=10)
        return x, y, 0.29

    def _draw_station(self, pen: Pen, x: float, y: float, name: str, about: str, *, width: float = _BOX[0]) -> _Stop:
        pen.box(x, y, width, self._BOX[1], fill=_PALE, edge=DEEP)
        pen.text(x, y - 0.09, name, size=9.5, weight="bold")
        pen.text(x, y + 0.1, about, size=8.5, colour=GREY)
        return x, y, width / 2

    def _draw_layer(self, pen: Pen, x: float, y: float, layer: int) -> _Stop:
        pen.box(x, y, *self._BOX, fill=DEEP, edge=DEEP)
        pen.text(x, y - 0.09, f"layer {layer}", size=9.5, colour="white", weight="bold")
        channels = f"{self._architecture.node_count} x {self._architecture.widths[layer]}"
        pen.text(x, y + 0.1, channels, size=8.5, colour="#d7e2ee")
        return x, y, self._BOX[0] / 2

    def _draw_skip(self, pen: Pen, start: float, end: float, y: float) -> None:
        over, bend = y - 0.52, 0.12
        rise = [(start, y - 0.14), (start, over + bend), (start, over), (start + bend, over)]
        fall = [(end - bend, over), (end, over), (end, over + bend), (end, y - 0.15)]
        curved = Curve.CURVE3
        codes = [Curve.MOVETO, Curve.LINETO, curved, curved, Curve.LINETO, curved, curved, Curve.LINETO]
        curve = Curve([*rise, *fall], codes)
        pen.stroke(curve, colour=GREY, weight=1.3, arrow=True)
        scale = self._architecture.scale
        words = "copy" if scale == 1 else f"bicubic x{scale}"
        pen.box((start + end) / 2, over, 0.09 * len(words) + 0.16, 0.24, edge="white")
        pen.text((start + end) / 2, over, words, size=9.5)


def _title(architecture: Architecture) -> str:
    return f"{architecture.task.replace('_', ' ').capitalize()} network"


class _Panel(NamedTuple):
    left: float
    top: float
    width: float
    height: float


@dataclasses.dataclass(frozen=True)
class _Cell:
    """A cell to draw into a panel."""

    cell: CellArchitecture
    layout: CellLayout
    marked: Collection[tuple[int, int]]  # sources and targets of the edges to show in red

    _HEAD, _FOOT = 0.5, 0.2  # the heading above, the edge below
    _SIDE, _TAIL = 0.18, 0.62  # the edges left and right, h_l after the output
    _LEAST_SPACE, _MOST_SPACE = 0.3, 0.6  # between two columns, where the lines bend

    @property
    def height(self) -> float:
        return self._HEAD + max(self.layout.height, 0.8) + self._FOOT

    @property
    def least_width(self) -> float:
        widths = self.layout.column_widths
        return max(sum(widths) + self._LEAST_SPACE * (len(widths) - 1) + 2 * self._SIDE + self._TAIL, 4.1)

    def draw(self, pen: Pen, panel: _Panel, layer: int) -> None:
        """Draw into the middle of what the heading leaves of a panel."""
        sides, heights = self._sides(panel), self.layout.heights
        spare = panel.height - self._HEAD - self._FOOT - self.layout.height
        places = {item: panel.top + self._HEAD + spare / 2 + y for item, y in heights.items()}
        for a, b in self.layout.links:
            start, end = (a.span(sides[a.column])[1], places[a]), (b.span(sides[b.column])[0], places[b])
            self._draw_link(pen, a, b, start, self.layout.landing(a, b, end))
        for item, y in places.items():
            self._draw_item(pen, item, sides[item.column], y, layer)
        self._draw_output(pen, sides[-1], [y for item, y in places.items() if item.kind == "output"])

    def _sides(self, panel: _Panel) -> list[Point]:
        """The left and the right side of each column."""
        widths = self.layout.column_widths
        room = panel.width - sum(widths) - 2 * self._SIDE - self._TAIL
        space = min(room / (len(widths) - 1), self._MOST_SPACE)
        left = panel.left + self._SIDE + (room - space * (len(widths) - 1)) / 2
        lefts = itertools.accumulate((width + space for width in widths), initial=left)
        return [(left, left + width) for left, width in zip(lefts, widths, strict=False)]

    def _is_marked(self, item: Item) -> bool:
        return (item.source, item.target) in self.marked

    def _draw_link(self, pen: Pen, a: Item, b: Item, start: Point, end: Point) -> None:
        operation = a.operation or b.operation or self.layout.only_operation(b)
        if self._is_marked(a) or self._is_marked(b):
            pen.line(start, end, colour=_MARK, weight=_MARK_WEIGHT, arrow=b.kind == "node")
        elif operation:
            pen.line(start, end, colour=_colours(operation)[0], weight=1.5, arrow=b.kind == "node")
        else:
            pen.line(start, end, colour=_LINE, arrow=b.kind == "output", above=False)

    def _draw_item(self, pen: Pen, item: Item, side: Point, y: float, layer: int) -> None:
        middle = sum(side) / 2
        if item.kind == "input":
            self._draw_input(pen, item, middle, y, layer)
        elif item.kind == "node":
            pen.disc(middle, y, SIZES["node"][0])
            pen.text(middle, y, source_name(item.source), size=10.5, formula=True)
        elif item.kind == "operation":
            line, fill = _colours(item.operation)
            line, weight = (_MARK, _MARK_WEIGHT) if self._is_marked(item) else (line, BORDER)
            pen.box(middle, y, *SIZES["operation"], fill=fill, edge=line, weight=weight)
            pen.text(middle, y, _LABELS[item.operation], size=9)
        elif item.kind == "line":
            self._draw_link(pen, item, item, (side[0], y), (side[1], y))

    def _draw_input(self, pen: Pen, item: Item, x: float, y: float, layer: int) -> None:
        used = self.cell.uses(item.source)
        before = layer - 1 - item.source
        pen.box(x, y, *SIZES["input"], edge=INK if used else BEHIND, fill=_PALE if used else "white")
        name, words = source_name(item.source), f"layer {before}" if before >= 0 else "start"
        pen.text(x, y - 0.08, name, size=10.5, colour=INK if used else _UNUSED, formula=True)
        pen.text(x, y + 0.12, words, size=7.5, colour=GREY if used else _UNUSED)

    def _draw_output(self, pen: Pen, side: Point, ys: Sequence[float]) -> None:
        x, y = sum(side) / 2, (min(ys) + max(ys)) / 2
        pen.box(x, y, side[1] - side[0], max(max(ys) - min(ys) + 0.3, 0.72), fill=_PALE, edge=DEEP)
        pen.text(x, y, "concat", size=8.5, turned=True)
        pen.line((side[1], y), (side[1] + 0.3, y), colour=DEEP, weight=1.5, arrow=True)
        pen.text(side[1] + 0.36, y, "h_{l}", size=11, align="left", formula=True)


def _rows(cells: Sequence[_Cell], width: float) -> Iterator[list[tuple[int, _Cell]]]:
    """Break the cells, each with its layer, into rows no wider than the page, as words into lines."""
    row: list[tuple[int, _Cell]] = []
    used = 0.0
    for layer, cell in enumerate(cells):
        if row and used + cell.least_width > width:
            yield row
            row, used = [], 0.0
        row.append((layer, cell))
        used += cell.least_width + _GAP
    yield row


def _row_height(row: Sequence[tuple[int, _Cell]]) -> float:
    return max(cell.height for _, cell in row)


def _draw_row(pen: Pen, architecture: Architecture, row: Sequence[tuple[int, _Cell]], top: float, width: float) -> None:
    spare = width - sum(cell.least_width for _, cell in row) - _GAP * (len(row) - 1)
    left = _MARGIN
    for layer, cell in row:
        panel = _Panel(left, top, cell.least_width + spare / len(row), _row_height(row))
        pen.frame(*panel)
        pen.text(left + 0.16, top + 0.22, f"Cell of layer {layer}", size=10.5, weight="bold", align="left")
        channels = architecture.widths[layer]
        about = f"width {channels}, {architecture.node_count * channels} channels out"
        pen.text(left + panel.width - 0.16, top + 0.22, about, size=9, colour=GREY, align="right")
        cell.draw(pen, panel, layer)
        left += panel.width + _GAP


def _colours(operation: str) -> tuple[str, str]:
    return _COLOURS[operation.rstrip("35")]
