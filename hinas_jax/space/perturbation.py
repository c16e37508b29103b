"""Slightly changed architectures: R1 and R2 of section 4.2.4, and the widths set by hand of section 4.2.2.

The paper shows one R1 and one R2, changed by hand; here they are drawn at random, so that they can be repeated. Its R1
replaces conventional convolutions alone (conv3), by other ones; here any of the five convolutions is replaced by any
other, since a found cell may have no conv3, and since the question, whether what was found can be replaced, is the same
for all of them.
"""

from __future__ import annotations

import dataclasses
from typing import Final, TypeVar

import numpy as np

from hinas_jax.architecture import OPERATIONS, Architecture, ArchitectureError, CellArchitecture, Edge

T = TypeVar("T")

CONVOLUTIONS: Final = tuple(name for name in OPERATIONS if name not in ("skip", "none"))

#: An edge of an architecture: its layer, its node, and the number of its source.
Place = tuple[int, int, int]


def replace_operations(rng: np.random.Generator, architecture: Architecture, changes: int = 1) -> Architecture:
    """R1: in each cell ``changes`` convolutions, drawn at random, become another of the five convolutions.

    A cell with fewer convolutions has all of them changed; skip connections stay. The paper's R1 replaces conv3 alone.

    Raises:
        ArchitectureError: there is no convolution at all.
    """
    cells = []
    for cell in architecture.cells:
        places = [(i, k) for i, edges in enumerate(cell.nodes) for k, e in enumerate(edges) if e.operation != "skip"]
        changed = cell
        for i, k in _some(rng, places, changes):
            edge = cell.nodes[i][k]
            others = [name for name in CONVOLUTIONS if name != edge.operation]
            changed = _with_edge(changed, i, k, Edge(edge.source, others[int(rng.integers(len(others)))]))
        cells.append(changed)
    return _changed(architecture, cells, "no convolution to replace")


def replace_connections(rng: np.random.Generator, architecture: Architecture, changes: int = 1) -> Architecture:
    """R2: in each cell ``changes`` edges, drawn at random, come from a source that their node did not take.

    Operations stay. Nodes that take all there is (the first one of every cell) stay too; of each other node one edge
    changes at most.

    Raises:
        ArchitectureError: every node takes all sources that it can.
    """
    cells = []
    for cell in architecture.cells:
        places = [i for i, edges in enumerate(cell.nodes) if len(edges) < i + 2]
        changed = cell
        for i in _some(rng, places, changes):
            edges = cell.nodes[i]
            k = int(rng.integers(len(edges)))
            others = sorted(set(range(i + 2)) - {edge.source for edge in edges})
            changed = _with_edge(changed, i, k, Edge(others[int(rng.integers(len(others)))], edges[k].operation))
        cells.append(changed)
    return _changed(architecture, cells, "no node that could take another source")


def widths_of_one_level(architecture: Architecture) -> Architecture:
    """HiNAS-w40 of section 4.2.2: every layer as wide as level 1 (40 channels where level 0 has 20)."""
    _require_levels(architecture)
    return dataclasses.replace(architecture, levels=(1,) * len(architecture.levels))


def widths_rising(architecture: Architecture) -> Architecture:
    """HiNAS-wm of section 4.2.2: layer by layer one level wider, from level 0 (20, 40, 80 channels)."""
    _require_levels(architecture)
    widest = len(architecture.width_factors) - 1
    return dataclasses.replace(
        architecture, levels=tuple(min(layer, widest) for layer in range(len(architecture.levels)))
    )


def changed_edges(before: Architecture, after: Architecture) -> frozenset[Place]:
    """The edges of ``after`` that ``before`` does not have: another source or another operation."""
    old = _operations(before)
    return frozenset(place for place, operation in _operations(after).items() if old.get(place) != operation)


def _operations(architecture: Architecture) -> dict[Place, str]:
    return {
        (layer, node, edge.source): edge.operation
        for layer, cell in enumerate(architecture.cells)
        for node, edges in enumerate(cell.nodes)
        for edge in edges
    }


def _some(rng: np.random.Generator, places: list[T], count: int) -> list[T]:
    """``count`` of the places, or all where there are fewer, in their order."""
    chosen = rng.permutation(len(places))[:count]
    return [places[i] for i in sorted(chosen.tolist())]


def _with_edge(cell: CellArchitecture, node: int, place: int, edge: Edge) -> CellArchitecture:
    """The cell with one edge of a node replaced; a node's edges stay in the order of their sources."""
    edges = [edge if k == place else old for k, old in enumerate(cell.nodes[node])]
    nodes = list(cell.nodes)
    nodes[node] = tuple(sorted(edges, key=lambda edge: edge.source))
    return CellArchitecture(tuple(nodes))


def _changed(architecture: Architecture, cells: list[CellArchitecture], otherwise: str) -> Architecture:
    if tuple(cells) == architecture.cells:
        raise ArchitectureError(f"the architecture has {otherwise}")
    return dataclasses.replace(architecture, cells=tuple(cells))


def _require_levels(architecture: Architecture) -> None:
    if len(architecture.width_factors) < 2:
        raise ArchitectureError("the architecture's space has one width only; there is no other to set")
