"""Where everything in the drawing of a cell stands. In inches, x to the right and y downwards, as on a page of text.

A cell is a layered graph: columns of sources (the two inputs, the nodes) alternate with columns of operations, and a
source that is needed further right keeps a place of its own in every column it passes. So nothing covers anything
else, whatever the cell.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from hinas_jax.architecture import CellArchitecture

Kind = Literal["input", "node", "line", "operation", "output"]
#: Width and height of what stands in a column.
SIZES: Final[Mapping[Kind, tuple[float, float]]] = {
    "input": (0.64, 0.46),
    "node": (0.42, 0.42),
    "line": (0.0, 0.06),
    "operation": (0.76, 0.26),
    "output": (0.26, 0.12),
}
_CLEARANCE: Final = 0.12  # between two of a column


@dataclasses.dataclass(frozen=True)
class Item:
    """What holds a place in one column of a cell's graph.

    ``source`` counts as in ``Edge`` and says whose tensor this is, carries or takes. Only an operation has a
    name and a ``target``, the source number of the node that it feeds.
    """

    kind: Kind
    column: int
    source: int
    target: int | None = None
    operation: str = ""

    @property
    def half(self) -> float:
        """Half of its height."""
        return SIZES[self.kind][1] / 2

    def span(self, side: tuple[float, float]) -> tuple[float, float]:
        """Its left and right end in a column with these; a passing line spans its column."""
        left, right = side
        width = right - left if self.kind == "line" else SIZES[self.kind][0]
        return (left + right) / 2 - width / 2, (left + right) / 2 + width / 2


Link = tuple[Item, Item]
_Columns = list[list[Item]]


@dataclasses.dataclass(frozen=True)
class CellLayout:
    """A cell laid out.

    Attributes:
        heights: of the middle of each item, measured down from the top of the topmost one.
        links: what is joined to what, from left to right.
    """

    heights: Mapping[Item, float]
    links: Sequence[Link]

    @classmethod
    def of(cls, cell: CellArchitecture) -> CellLayout:
        """Lay out a cell so that few lines cross, and these run as level as they can."""
        columns, links = _columns(cell)
        return cls(_stand(_untangle(columns, links), links), links)

    @property
    def height(self) -> float:
        """Of all of it."""
        return max(y + item.half for item, y in self.heights.items())

    @property
    def column_widths(self) -> list[float]:
        """That of the widest item in each column, from left to right."""
        items = sorted(self.heights, key=lambda item: item.column)
        columns = itertools.groupby(items, key=lambda item: item.column)
        return [max(SIZES[item.kind][0] for item in column) for _, column in columns]

    def landing(self, a: Item, b: Item, end: tuple[float, float]) -> tuple[float, float]:
        """Where a link that would end at ``end`` does: a node's operations land on it side by side, not on one spot."""
        if b.kind != "node" or a.kind != "operation":
            return end
        feeding = sorted(self.heights[item] for item in self.heights if item.target == b.source)
        middle, reach = (len(feeding) - 1) / 2, SIZES["node"][1] / 2
        rise = 0.38 * reach * (feeding.index(self.heights[a]) - middle) / max(middle, 0.5)
        return end[0] + reach - math.sqrt(reach**2 - rise**2), end[1] + rise

    def only_operation(self, line: Item) -> str:
        """The operation that alone takes what a line carries on; nothing where more does."""
        takers = [item for item in self.heights if item.source == line.source and item.column > line.column]
        operations = [item.operation for item in takers if item.kind != "line"]
        return operations[0] if len(operations) == 1 else ""


def _columns(cell: CellArchitecture) -> tuple[_Columns, list[Link]]:
    """Give every source, operation and passing line its column; a node stands behind all that it takes."""
    births = [0, 0]
    for edges in cell.nodes:
        births.append(2 + max(births[edge.source] for edge in edges))
    last = max(births) + 1
    operations = [
        Item("operation", births[target] - 1, edge.source, target, edge.operation)
        for target, edges in enumerate(cell.nodes, start=2)
        for edge in edges
    ]
    carriers: dict[tuple[int, int], Item] = {}  # by source and column: the source itself, then its line
    links: list[Link] = []
    for source, birth in enumerate(births):
        ends = [item.column - 1 for item in operations if item.source == source] if source < 2 else [last]
        carriers[source, birth] = Item("input" if source < 2 else "node", birth, source)
        for column in range(birth + 1, max(ends, default=birth) + 1):
            carriers[source, column] = Item("output" if column == last else "line", column, source)
            links.append((carriers[source, column - 1], carriers[source, column]))
    for item in operations:
        links.append((carriers[item.source, item.column - 1], item))
        links.append((item, carriers[item.target or 0, item.column + 1]))
    items = [*carriers.values(), *operations]
    return [[item for item in items if item.column == column] for column in range(last + 1)], links


def _untangle(columns: _Columns, links: Sequence[Link]) -> _Columns:
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


def _place(column: Sequence[Item], i: int) -> float:
    """The place of the i-th of a column, 0 for its top and 1 for its bottom."""
    return (i + 0.5) / len(column)


def _swap(columns: _Columns, links: Sequence[Link]) -> bool:
    """Trade the places of two neighbours where this undoes a crossing, and say whether it did."""
    crossings = _crossings(columns, links)
    for column in columns:
        for i in range(len(column) - 1):
            column[i], column[i + 1] = column[i + 1], column[i]
            if _crossings(columns, links) < crossings:
                return True
            column[i], column[i + 1] = column[i + 1], column[i]
    return False


def _neighbours(links: Iterable[Link]) -> Mapping[Item, Sequence[Item]]:
    neighbours: dict[Item, list[Item]] = collections.defaultdict(list)
    for a, b in links:
        neighbours[a].append(b)
        neighbours[b].append(a)
    return neighbours


def _crossings(columns: _Columns, links: Sequence[Link]) -> int:
    rank = {item: i for column in columns for i, item in enumerate(column)}
    return sum(
        a.column == c.column and (rank[a] - rank[c]) * (rank[b] - rank[d]) < 0
        for (a, b), (c, d) in itertools.combinations(links, 2)
    )


def _stand(columns: _Columns, links: Sequence[Link]) -> dict[Item, float]:
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


def _pull(item: Item, neighbours: Sequence[Item], heights: Mapping[Item, float]) -> float:
    """The height at which what it is linked to wants an item; the parts of one line hold together."""
    if not neighbours:
        return heights[item]
    weights = [4 if {item.kind, other.kind} <= {"line", "output"} else 1 for other in neighbours]
    return sum(w * heights[other] for w, other in zip(weights, neighbours, strict=True)) / sum(weights)


def _straighten(columns: _Columns, heights: dict[Item, float]) -> None:
    """Level each line, in as few pieces as its neighbours in the columns leave room for."""
    lines = [item for column in columns for item in column if item.kind in ("line", "output")]
    for source in sorted({item.source for item in lines}):
        piece: list[Item] = []
        low, high = -math.inf, math.inf
        for item in (item for item in lines if item.source == source):
            above, below = _room(item, columns[item.column], heights)
            if piece and max(low, above) > min(high, below):
                _level(piece, low, high, heights)
                piece, low, high = [], -math.inf, math.inf
            piece.append(item)
            low, high = max(low, above), min(high, below)
        _level(piece, low, high, heights)


def _level(piece: Sequence[Item], low: float, high: float, heights: dict[Item, float]) -> None:
    mean = sum(heights[item] for item in piece) / len(piece)
    heights |= dict.fromkeys(piece, min(max(mean, low), high))


def _room(item: Item, column: Sequence[Item], heights: Mapping[Item, float]) -> tuple[float, float]:
    """The least and the greatest height that an item can take between its neighbours in the column."""
    i = column.index(item)
    low = heights[column[i - 1]] + _distance(column[i - 1], item) if i > 0 else -math.inf
    high = heights[column[i + 1]] - _distance(item, column[i + 1]) if i + 1 < len(column) else math.inf
    return low, high


def _distance(upper: Item, lower: Item) -> float:
    return upper.half + lower.half + _CLEARANCE


def _spread(column: Sequence[Item], wanted: Sequence[float]) -> list[float]:
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
