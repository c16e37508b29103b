"""Drawings of an architecture, in the manner of Figs. 10 and 11 of the paper.

One axes spans the page. Its unit is the inch, x grows to the right and y **downwards**, as on a page of text.
A cell is laid out as a layered graph: columns of sources (the two inputs, the nodes) alternate with columns
of operations, and a source that is needed further right keeps a place of its own in every column it passes.
So nothing covers anything else, whatever the cell.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Patch, PathPatch
from matplotlib.path import Path as Curve

from hinas_jax.architecture import Architecture, CellArchitecture, source_name
from hinas_jax.writing import write_whole

#: Matplotlib settings for every figure: fonts it brings along, SVG that keeps text and repeats its bytes.
STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "none",
    "svg.hashsalt": "hinas",
}

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
#: Near Okabe and Ito's palette, which colour-blind readers can tell apart: a line and a pale fill of each.
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "conv": ("#0072B2", "#e3f0f8"),
    "sep": ("#D55E00", "#fcebdf"),
    "dil": ("#009E73", "#e0f4ee"),
    "skip": ("#B0528E", "#f8eaf3"),
}
_INK, _GREY, _LINE, _FAINT = "#1f2933", "#5f6b77", "#8d98a4", "#d5dbe1"
_MARK, _MARK_WEIGHT = "#d0021b", 2.6
_DEEP, _PALE, _UNUSED = "#26425f", "#eef1f4", "#a9b2bc"

_BORDER: Final = 1.1
_MARGIN: Final = 0.35
_LEAST_PAGE: Final = 9.0  # inches between the margins
_GAP: Final = 0.2  # between two panels
_ROUND: Final = "round,pad=0,rounding_size=0.07"

_Point = tuple[float, float]
_Stop = tuple[float, float, float]  # x, y and half the width of what the chain runs through
_Kind = Literal["input", "node", "line", "operation", "output"]
#: Width and height of what stands in a column.
_SIZES: Final[Mapping[_Kind, _Point]] = {
    "input": (0.64, 0.46),
    "node": (0.42, 0.42),
    "line": (0.0, 0.06),
    "operation": (0.76, 0.26),
    "output": (0.26, 0.12),
}
_CLEARANCE: Final = 0.12  # between two of a column


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
    graphs = [
        _Graph.of(cell, frozenset((source, node + 2) for where, node, source in marked if where == layer))
        for layer, cell in enumerate(architecture.cells)
    ]
    heading = f"{title or _title(architecture)}: {architecture.parameters():,} parameters"
    width = max(_LEAST_PAGE, network.least_width, 0.135 * len(heading), *(g.least_width for g in graphs))
    rows = list(_rows(graphs, width))
    top = _MARGIN + 0.65 + network.height + 0.4
    height = top + sum(_row_height(row) + _GAP for row in rows) + 0.25 + _MARGIN
    with mpl.rc_context(STYLE):
        pen = _Pen(width + 2 * _MARGIN, height)
        pen.text(_MARGIN, _MARGIN + 0.1, heading, size=14, weight="bold", align="left")
        pen.text(_MARGIN, _MARGIN + 0.4, _summary(architecture), size=9.5, colour=_GREY, align="left")
        network.draw(pen, _MARGIN, _MARGIN + 0.65, width)
        for row in rows:
            _draw_row(pen, architecture, row, top, width)
            top += _row_height(row) + _GAP
        _draw_legend(pen, top + 0.12, changed=bool(marked))
        save_figure(pen.figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure on white as ``.svg`` or ``.png``, by the path's suffix: the same figure, the same bytes.

    Raises:
        ValueError: the path ends in neither ``.svg`` nor ``.png``.
        OSError: the file cannot be written.
    """
    kind = path.suffix.lower()[1:]
    if kind not in ("svg", "png"):
        raise ValueError(f"{path}: a drawing ends in .svg or .png")
    with mpl.rc_context(STYLE):
        metadata = {"Date": None} if kind == "svg" else None
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, dpi=160, facecolor="white", metadata=metadata)
    write_whole(path, drawn.getvalue())


def _summary(architecture: Architecture) -> str:
    layers, nodes = len(architecture.cells), architecture.node_count
    pictures = {1: "grey", 3: "RGB"}[architecture.channels]
    return f"{_counted(layers, 'layer')}, {_counted(nodes, 'node')} a cell, {pictures} pictures"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _draw_legend(pen: _Pen, y: float, *, changed: bool) -> None:
    x = _MARGIN
    gap = 0.1 if changed else 0.4  # so that five fit the narrowest page
    entries = [(_COLOURS[kind][0], 1.6, words) for kind, words in _KINDS.items()]
    for colour, weight, words in [*entries, (_MARK, _MARK_WEIGHT, "changed")] if changed else entries:
        pen.line((x, y), (x + 0.36, y), colour=colour, weight=weight, arrow=True)
        pen.text(x + 0.46, y, words, size=9, colour=_GREY, align="left")
        x += 0.46 + 0.068 * len(words) + gap


# ---- The network -------------------------------------------------------------------------------------------


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

    def draw(self, pen: _Pen, left: float, top: float, width: float) -> None:
        pitch = min(width / self._pitches, 1.35)
        xs = [left + pitch * (i + 0.5) for i in range(self._pitches)]
        ys = [top + self._sky + self._ROW * level for level in range(len(self._architecture.width_factors))]
        self._draw_levels(pen, left, ys)
        self._draw_candidates(pen, xs[2:], ys)
        self._draw_chain(pen, xs, ys)
        if self._architecture.residual:
            self._draw_skip(pen, xs[1], xs[-2], ys[0])

    def _draw_levels(self, pen: _Pen, left: float, ys: Sequence[float]) -> None:
        for level, (y, factor) in enumerate(zip(ys, self._architecture.width_factors, strict=True)):
            width = round(self._architecture.base_width * factor)
            pen.text(left, y - 0.09, f"width {width}", size=10, align="left")
            pen.text(left, y + 0.12, f"level {level}", size=8.5, colour=_GREY, align="left")

    def _draw_candidates(self, pen: _Pen, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Draw every cell and every step of the search space faintly."""
        half = self._BOX[0] / 2
        for i, (before, after) in enumerate(itertools.pairwise(self._stages)):
            free = i == 0 or i == len(self._stages) - 2  # from the start, to the end
            for a, b in itertools.product(before, after):
                if free or abs(a - b) <= 1:
                    pen.line((xs[i] + half, ys[a]), (xs[i + 1] - half, ys[b]), colour=_FAINT, weight=0.8)
        for x, levels in zip(xs[1:], self._stages[1:-1], strict=False):
            for level in levels:
                pen.box(x, ys[level], *self._BOX, edge=_FAINT)

    def _draw_chain(self, pen: _Pen, xs: Sequence[float], ys: Sequence[float]) -> None:
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
            pen.line((x + half, y), (next_x - next_half, next_y), colour=_DEEP, weight=2, arrow=True)

    def _draw_word(self, pen: _Pen, x: float, y: float, word: str) -> _Stop:
        pen.text(x, y, word, size=10)
        return x, y, 0.29

    def _draw_station(self, pen: _Pen, x: float, y: float, name: str, about: str, *, width: float = _BOX[0]) -> _Stop:
        pen.box(x, y, width, self._BOX[1], fill=_PALE, edge=_DEEP)
        pen.text(x, y - 0.09, name, size=9.5, weight="bold")
        pen.text(x, y + 0.1, about, size=8.5, colour=_GREY)
        return x, y, width / 2

    def _draw_layer(self, pen: _Pen, x: float, y: float, layer: int) -> _Stop:
        pen.box(x, y, *self._BOX, fill=_DEEP, edge=_DEEP)
        pen.text(x, y - 0.09, f"layer {layer}", size=9.5, colour="white", weight="bold")
        channels = f"{self._architecture.node_count} x {self._architecture.widths[layer]}"
        pen.text(x, y + 0.1, channels, size=8.5, colour="#d7e2ee")
        return x, y, self._BOX[0] / 2

    def _draw_skip(self, pen: _Pen, start: float, end: float, y: float) -> None:
        over, bend = y - 0.52, 0.12
        rise = [(start, y - 0.14), (start, over + bend), (start, over), (start + bend, over)]
        fall = [(end - bend, over), (end, over), (end, over + bend), (end, y - 0.15)]
        curved = Curve.CURVE3
        codes = [Curve.MOVETO, Curve.LINETO, curved, curved, Curve.LINETO, curved, curved, Curve.LINETO]
        curve = Curve([*rise, *fall], codes)
        pen.stroke(curve, colour=_GREY, weight=1.3, arrow=True)
        scale = self._architecture.scale
        words = "copy" if scale == 1 else f"bicubic x{scale}"
        pen.box((start + end) / 2, over, 0.09 * len(words) + 0.16, 0.24, edge="white")
        pen.text((start + end) / 2, over, words, size=9.5)


def _title(architecture: Architecture) -> str:
    return f"{architecture.task.replace('_', ' ').capitalize()} network"


# ---- The cells ---------------------------------------------------------------------------------------------


class _Panel(NamedTuple):
    left: float
    top: float
    width: float
    height: float


@dataclasses.dataclass(frozen=True)
class _Item:
    """What holds a place in one column of a cell's graph.

    ``source`` counts as in ``Edge`` and says whose tensor this is, carries or takes. Only an operation has a
    name and a ``target``, the source number of the node that it feeds.
    """

    kind: _Kind
    column: int
    source: int
    target: int | None = None
    operation: str = ""

    @property
    def half(self) -> float:
        return _SIZES[self.kind][1] / 2


_Link = tuple[_Item, _Item]
_Columns = list[list[_Item]]


@dataclasses.dataclass(frozen=True)
class _Graph:
    """A cell laid out: where each item stands below the first, and what is linked to what."""

    cell: CellArchitecture
    heights: Mapping[_Item, float]
    links: Sequence[_Link]
    marked: frozenset[tuple[int, int]]  # sources and targets of the edges to show in red

    _HEAD, _FOOT = 0.5, 0.2  # the heading above, the edge below
    _SIDE, _TAIL = 0.18, 0.62  # the edges left and right, h_l after the output
    _LEAST_SPACE, _MOST_SPACE = 0.3, 0.6  # between two columns, where the lines bend

    @classmethod
    def of(cls, cell: CellArchitecture, marked: frozenset[tuple[int, int]] = frozenset()) -> _Graph:
        columns, links = _columns(cell)
        return cls(cell, _stand(_untangle(columns, links), links), links, marked)

    def _is_marked(self, item: _Item) -> bool:
        return item.target is not None and (item.source, item.target) in self.marked

    @property
    def height(self) -> float:
        return self._HEAD + max(self._extent, 0.8) + self._FOOT

    @property
    def least_width(self) -> float:
        spaces = self._LEAST_SPACE * (len(self._column_widths) - 1)
        return max(sum(self._column_widths) + spaces + 2 * self._SIDE + self._TAIL, 4.1)

    @property
    def _extent(self) -> float:
        return max(y + item.half for item, y in self.heights.items())

    @property
    def _column_widths(self) -> list[float]:
        items = sorted(self.heights, key=lambda item: item.column)
        columns = itertools.groupby(items, key=lambda item: item.column)
        return [max(_SIZES[item.kind][0] for item in column) for _, column in columns]

    def draw(self, pen: _Pen, panel: _Panel, layer: int) -> None:
        """Draw into the middle of what the heading leaves of a panel."""
        sides = self._sides(panel)
        spare = panel.height - self._HEAD - self._FOOT - self._extent
        places = {item: panel.top + self._HEAD + spare / 2 + y for item, y in self.heights.items()}
        for a, b in self.links:
            start, end = (_right(a, sides), places[a]), (_left(b, sides), places[b])
            self._draw_link(pen, a, b, start, self._landing(a, b, end))
        for item, y in places.items():
            self._draw_item(pen, item, sides[item.column], y, layer)
        self._draw_output(pen, sides[-1], [y for item, y in places.items() if item.kind == "output"])

    def _sides(self, panel: _Panel) -> list[_Point]:
        """The left and the right side of each column."""
        widths = self._column_widths
        room = panel.width - sum(widths) - 2 * self._SIDE - self._TAIL
        space = min(room / (len(widths) - 1), self._MOST_SPACE)
        left = panel.left + self._SIDE + (room - space * (len(widths) - 1)) / 2
        lefts = itertools.accumulate((width + space for width in widths), initial=left)
        return [(left, left + width) for left, width in zip(lefts, widths, strict=False)]

    def _landing(self, a: _Item, b: _Item, end: _Point) -> _Point:
        """Where a link ends: the operations of a node land on it side by side, not on one spot."""
        if b.kind != "node" or a.kind != "operation":
            return end
        feeding = sorted(self.heights[item] for item in self.heights if item.target == b.source)
        middle, reach = (len(feeding) - 1) / 2, _SIZES["node"][1] / 2
        rise = 0.38 * reach * (feeding.index(self.heights[a]) - middle) / max(middle, 0.5)
        return end[0] + reach - math.sqrt(reach**2 - rise**2), end[1] + rise

    def _draw_link(self, pen: _Pen, a: _Item, b: _Item, start: _Point, end: _Point) -> None:
        operation = a.operation or b.operation or self._only_operation(b)
        if self._is_marked(a) or self._is_marked(b):
            pen.line(start, end, colour=_MARK, weight=_MARK_WEIGHT, arrow=b.kind == "node")
        elif operation:
            pen.line(start, end, colour=_colours(operation)[0], weight=1.5, arrow=b.kind == "node")
        else:
            pen.line(start, end, colour=_LINE, arrow=b.kind == "output", above=False)

    def _only_operation(self, line: _Item) -> str:
        """The operation that alone takes what a line carries on; nothing where more does."""
        takers = [item for item in self.heights if item.source == line.source and item.column > line.column]
        operations = [item.operation for item in takers if item.kind != "line"]
        return operations[0] if len(operations) == 1 else ""

    def _draw_item(self, pen: _Pen, item: _Item, side: _Point, y: float, layer: int) -> None:
        middle = sum(side) / 2
        if item.kind == "input":
            self._draw_input(pen, item, middle, y, layer)
        elif item.kind == "node":
            pen.disc(middle, y, _SIZES["node"][0])
            pen.text(middle, y, source_name(item.source), size=10.5, formula=True)
        elif item.kind == "operation":
            line, fill = _colours(item.operation)
            line, weight = (_MARK, _MARK_WEIGHT) if self._is_marked(item) else (line, _BORDER)
            pen.box(middle, y, *_SIZES["operation"], fill=fill, edge=line, weight=weight)
            pen.text(middle, y, _LABELS[item.operation], size=9)
        elif item.kind == "line":
            self._draw_link(pen, item, item, (side[0], y), (side[1], y))

    def _draw_input(self, pen: _Pen, item: _Item, x: float, y: float, layer: int) -> None:
        used = self.cell.uses(item.source)
        before = layer - 1 - item.source
        pen.box(x, y, *_SIZES["input"], edge=_INK if used else _FAINT, fill=_PALE if used else "white")
        name, words = source_name(item.source), f"layer {before}" if before >= 0 else "start"
        pen.text(x, y - 0.08, name, size=10.5, colour=_INK if used else _UNUSED, formula=True)
        pen.text(x, y + 0.12, words, size=7.5, colour=_GREY if used else _UNUSED)

    def _draw_output(self, pen: _Pen, side: _Point, ys: Sequence[float]) -> None:
        x, y = sum(side) / 2, (min(ys) + max(ys)) / 2
        pen.box(x, y, side[1] - side[0], max(max(ys) - min(ys) + 0.3, 0.72), fill=_PALE, edge=_DEEP)
        pen.text(x, y, "concat", size=8.5, turned=True)
        pen.line((side[1], y), (side[1] + 0.3, y), colour=_DEEP, weight=1.5, arrow=True)
        pen.text(side[1] + 0.36, y, "h_{l}", size=11, align="left", formula=True)


def _rows(graphs: Sequence[_Graph], width: float) -> Iterator[list[tuple[int, _Graph]]]:
    """Break the cells, each with its layer, into rows no wider than the page, as words into lines."""
    row: list[tuple[int, _Graph]] = []
    used = 0.0
    for layer, graph in enumerate(graphs):
        if row and used + graph.least_width > width:
            yield row
            row, used = [], 0.0
        row.append((layer, graph))
        used += graph.least_width + _GAP
    yield row


def _row_height(row: Sequence[tuple[int, _Graph]]) -> float:
    return max(graph.height for _, graph in row)


def _draw_row(
    pen: _Pen, architecture: Architecture, row: Sequence[tuple[int, _Graph]], top: float, width: float
) -> None:
    spare = width - sum(graph.least_width for _, graph in row) - _GAP * (len(row) - 1)
    left = _MARGIN
    for layer, graph in row:
        panel = _Panel(left, top, graph.least_width + spare / len(row), _row_height(row))
        pen.frame(panel)
        pen.text(left + 0.16, top + 0.22, f"Cell of layer {layer}", size=10.5, weight="bold", align="left")
        channels = architecture.widths[layer]
        about = f"width {channels}, {architecture.node_count * channels} channels out"
        pen.text(left + panel.width - 0.16, top + 0.22, about, size=9, colour=_GREY, align="right")
        graph.draw(pen, panel, layer)
        left += panel.width + _GAP


def _columns(cell: CellArchitecture) -> tuple[_Columns, list[_Link]]:
    """Give every source, operation and passing line its column; a node stands behind all that it takes."""
    births = [0, 0]
    for edges in cell.nodes:
        births.append(2 + max(births[edge.source] for edge in edges))
    last = max(births) + 1
    operations = [
        _Item("operation", births[target] - 1, edge.source, target, edge.operation)
        for target, edges in enumerate(cell.nodes, start=2)
        for edge in edges
    ]
    carriers: dict[tuple[int, int], _Item] = {}  # by source and column: the source itself, then its line
    links: list[_Link] = []
    for source, birth in enumerate(births):
        ends = [item.column - 1 for item in operations if item.source == source] if source < 2 else [last]
        carriers[source, birth] = _Item("input" if source < 2 else "node", birth, source)
        for column in range(birth + 1, max(ends, default=birth) + 1):
            carriers[source, column] = _Item("output" if column == last else "line", column, source)
            links.append((carriers[source, column - 1], carriers[source, column]))
    for item in operations:
        links.append((carriers[item.source, item.column - 1], item))
        links.append((item, carriers[item.target or 0, item.column + 1]))
    items = [*carriers.values(), *operations]
    return [[item for item in items if item.column == column] for column in range(last + 1)], links


def _untangle(columns: _Columns, links: Sequence[_Link]) -> _Columns:
    """Order each column from top to bottom so that few lines cross.

    Barycentres first: each item moves to the mean place of what it is linked to, forwards and backwards in
    turn. Then neighbours trade places for as long as that undoes a crossing.
    """
    neighbours = _neighbours(links)
    best = order = [list(column) for column in columns]
    for sweep in range(8):
        step = 1 if sweep % 2 == 0 else -1
        order = [list(column) for column in order]
        ranks = {item: _place(column, i) for column in order for i, item in enumerate(column)}
        for column in order[::step]:
            keys = {}
            for item in column:
                before = [ranks[other] for other in neighbours[item] if (item.column - other.column) == step]
                keys[item] = sum(before) / len(before) if before else ranks[item]
            column.sort(key=keys.__getitem__)
            ranks |= {item: _place(column, i) for i, item in enumerate(column)}
        best = min(best, order, key=lambda columns: _crossings(columns, links))
    while _swap(best, links):
        pass
    return best


def _place(column: Sequence[_Item], i: int) -> float:
    """The place of the i-th of a column, 0 for its top and 1 for its bottom."""
    return (i + 0.5) / len(column)


def _swap(columns: _Columns, links: Sequence[_Link]) -> bool:
    """Trade the places of two neighbours where this undoes a crossing, and say whether it did."""
    crossings = _crossings(columns, links)
    for column in columns:
        for i in range(len(column) - 1):
            column[i], column[i + 1] = column[i + 1], column[i]
            if _crossings(columns, links) < crossings:
                return True
            column[i], column[i + 1] = column[i + 1], column[i]
    return False


def _neighbours(links: Iterable[_Link]) -> Mapping[_Item, Sequence[_Item]]:
    neighbours: dict[_Item, list[_Item]] = collections.defaultdict(list)
    for a, b in links:
        neighbours[a].append(b)
        neighbours[b].append(a)
    return neighbours


def _crossings(columns: _Columns, links: Sequence[_Link]) -> int:
    rank = {item: i for column in columns for i, item in enumerate(column)}
    return sum(
        a.column == c.column and (rank[a] - rank[c]) * (rank[b] - rank[d]) < 0
        for (a, b), (c, d) in itertools.combinations(links, 2)
    )


def _stand(columns: _Columns, links: Sequence[_Link]) -> dict[_Item, float]:
    """Give each item its height, measured down from the top: near what it is linked to, apart from others."""
    neighbours = _neighbours(links)
    heights = {item: 0.0 for column in columns for item in column}
    for _ in range(100):
        for column in columns:
            wanted = [_pull(item, neighbours[item], heights) for item in column]
            heights |= zip(column, _spread(column, wanted), strict=True)
    _straighten(columns, heights)
    top = min(y - item.half for item, y in heights.items())
    return {item: y - top for item, y in heights.items()}


def _pull(item: _Item, neighbours: Sequence[_Item], heights: Mapping[_Item, float]) -> float:
    """The height at which what it is linked to wants an item; the parts of one line hold together."""
    if not neighbours:
        return heights[item]
    weights = [4 if {item.kind, other.kind} <= {"line", "output"} else 1 for other in neighbours]
    return sum(w * heights[other] for w, other in zip(weights, neighbours, strict=True)) / sum(weights)


def _straighten(columns: _Columns, heights: dict[_Item, float]) -> None:
    """Level each line, in as few pieces as its neighbours in the columns leave room for."""
    lines = [item for column in columns for item in column if item.kind in ("line", "output")]
    for source in sorted({item.source for item in lines}):
        piece: list[_Item] = []
        low, high = -math.inf, math.inf
        for item in (item for item in lines if item.source == source):
            above, below = _room(item, columns[item.column], heights)
            if piece and max(low, above) > min(high, below):
                _level(piece, low, high, heights)
                piece, low, high = [], -math.inf, math.inf
            piece.append(item)
            low, high = max(low, above), min(high, below)
        _level(piece, low, high, heights)


def _level(piece: Sequence[_Item], low: float, high: float, heights: dict[_Item, float]) -> None:
    mean = sum(heights[item] for item in piece) / len(piece)
    heights |= dict.fromkeys(piece, min(max(mean, low), high))


def _room(item: _Item, column: Sequence[_Item], heights: Mapping[_Item, float]) -> _Point:
    """The least and the greatest height that an item can take between its neighbours in the column."""
    i = column.index(item)
    low = heights[column[i - 1]] + _distance(column[i - 1], item) if i > 0 else -math.inf
    high = heights[column[i + 1]] - _distance(item, column[i + 1]) if i + 1 < len(column) else math.inf
    return low, high


def _distance(upper: _Item, lower: _Item) -> float:
    return upper.half + lower.half + _CLEARANCE


def _spread(column: Sequence[_Item], wanted: Sequence[float]) -> list[float]:
    """The heights closest to the wanted ones, by least squares, that keep order and distance."""
    steps = [_distance(a, b) for a, b in itertools.pairwise(column)]
    offsets = list(itertools.accumulate(steps, initial=0.0))
    blocks: list[tuple[float, int]] = []  # pooled neighbours: the sum of their wishes, and their number
    for y, offset in zip(wanted, offsets, strict=True):
        total, count = y - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            total, count = total + blocks[-1][0], count + blocks[-1][1]
            blocks.pop()
        blocks.append((total, count))
    means = [total / count for total, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _left(item: _Item, sides: Sequence[_Point]) -> float:
    return _edge(item, sides, -1)


def _right(item: _Item, sides: Sequence[_Point]) -> float:
    return _edge(item, sides, +1)


def _edge(item: _Item, sides: Sequence[_Point], direction: int) -> float:
    """Where an item ends to the left (-1) or right (+1); a passing line spans its column."""
    left, right = sides[item.column]
    width = right - left if item.kind == "line" else _SIZES[item.kind][0]
    return (left + right) / 2 + direction * width / 2


def _colours(operation: str) -> tuple[str, str]:
    return _COLOURS[operation.rstrip("35")]


# ---- The page ----------------------------------------------------------------------------------------------


class _Pen:
    """Draws on a page measured in inches from its top left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height))
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set(xlim=(0, width), ylim=(height, 0))
        self._axes.set_axis_off()

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float,
        colour: str = _INK,
        weight: Literal["normal", "bold"] = "normal",
        align: Literal["left", "center", "right"] = "center",
        turned: bool = False,
        formula: bool = False,
    ) -> None:
        """Write words halfway up at y; a formula is typeset, everything else stands as it is."""
        self._axes.text(
            x,
            y,
            f"${words}$" if formula else words,
            size=size,
            color=colour,
            weight=weight,
            ha=align,
            va="center" if turned or formula else "center_baseline",
            rotation=90 if turned else 0,
            parse_math=formula,
            zorder=5,
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "white",
        edge: str = _INK,
        weight: float = _BORDER,
    ) -> None:
        """Draw a rounded box around a centre, over the lines."""
        corner = (x - width / 2, y - height / 2)
        self._axes.add_patch(FancyBboxPatch(corner, width, height, _ROUND, fc=fill, ec=edge, lw=weight, zorder=3))

    def frame(self, panel: _Panel) -> None:
        """Draw the border of a panel, beneath all else."""
        left, top, width, height = panel
        self._axes.add_patch(FancyBboxPatch((left, top), width, height, _ROUND, fc="none", ec=_FAINT, zorder=0))

    def disc(self, x: float, y: float, diameter: float) -> None:
        """Draw a circle around a centre."""
        self._axes.add_patch(Circle((x, y), diameter / 2, fc="white", ec=_INK, lw=1.1, zorder=3))

    def line(
        self,
        start: _Point,
        end: _Point,
        *,
        colour: str,
        weight: float = 1.1,
        arrow: bool = False,
        above: bool = True,
    ) -> None:
        """Draw a line that leaves and arrives level; ``above`` lets it cross over the lines that are not."""
        level = end[0] - 0.1  # so that the head of an arrow lies on a straight piece
        middle = (start[0] + level) / 2
        points = [start, (middle, start[1]), (middle, end[1]), (level, end[1]), end]
        curve = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4, Curve.LINETO])
        self.stroke(curve, colour=colour, weight=weight, arrow=arrow, above=above)

    def stroke(self, curve: Curve, *, colour: str, weight: float, arrow: bool, above: bool = True) -> None:
        """Draw along a curve."""
        order = 2 if above else 1
        patch: Patch
        if arrow:
            head = "-|>,head_length=0.42,head_width=0.2"
            patch = FancyArrowPatch(path=curve, arrowstyle=head, mutation_scale=12, color=colour)
        else:
            patch = PathPatch(curve, fc="none", ec=colour, capstyle="round")
        patch.set(linewidth=weight, zorder=order)
        self._axes.add_patch(patch)
