"""SearchSpace: the size and shape of a supernet, as plain numbers (sections 3.1, 3.2 and 4.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from hinas_jax.architecture import (
    LARGEST_FACTOR,
    LARGEST_WIDTH,
    MOST_LAYERS,
    MOST_NODES,
    Architecture,
    CellArchitecture,
)

MOVES: Final = (-1, 0, 1)  #: narrower, same, wider: the three decisions of section 3.2, the order of beta's last axis


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The inner and the outer space.

    Raises:
        ValueError: a number is out of range; the message names the field.
    """

    layers: int = 3
    """L, the cells of the network, one a layer."""
    nodes: int = 4
    """N, the nodes of each cell."""
    base_width: int = 10
    """W, channels of a node at width level 0."""
    width_factors: tuple[float, ...] = (1, 2, 4)
    """Factor on W of each width level, narrow to wide: gamma^i in the paper."""
    start_width: int = 64
    """Channels of the two 3x3 convolutions of the start part."""
    end_width: int = 64
    """Channels between the two 3x3 convolutions of the end part."""
    layerwise: bool = True
    """LWAS: one set of alpha for each layer (Eq. 2); False: one set for all layers (Eq. 1)."""
    cell_sharing: bool = True
    """Features of all source levels share one cell (Eq. 5); False: a cell of its own for each (Eq. 6)."""

    def __post_init__(self) -> None:
        for name in ("layers", "nodes", "base_width", "start_width", "end_width"):
            if not 1 <= getattr(self, name) <= LARGEST_WIDTH:
                raise ValueError(f"{name} must be 1 to {LARGEST_WIDTH}, not {getattr(self, name)}")
        if self.nodes > MOST_NODES or self.layers > MOST_LAYERS:
            raise ValueError(f"at most {MOST_NODES} nodes and {MOST_LAYERS} layers, not {self.nodes} and {self.layers}")
        if not self.width_factors or not all(0 < factor <= LARGEST_FACTOR for factor in self.width_factors):
            raise ValueError(
                f"width_factors must be one or more numbers above 0, at most {LARGEST_FACTOR}, not {self.width_factors}"
            )
        if list(self.width_factors) != sorted(set(self.width_factors)):
            raise ValueError(f"width_factors must rise, narrow to wide, but are {self.width_factors}")
        if min(self.widths) < 1:
            raise ValueError(f"width_factors {self.width_factors} leave base_width {self.base_width} no channels")
        if max(self.widths) > LARGEST_WIDTH:
            raise ValueError(f"width_factors {self.width_factors} of base_width {self.base_width} are too wide")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of a node at each width level."""
        return tuple(round(self.base_width * factor) for factor in self.width_factors)

    @property
    def edges(self) -> int:
        """Edges of a supercell: node i takes both cell inputs and the i nodes before it."""
        return self.nodes * (self.nodes + 3) // 2

    def levels(self, layer: int) -> range:
        """Width levels that layer ``layer`` holds: two in layer 0, one more in each layer until all are there.

        Layer -1 and before are the start part, which counts as level 0.
        """
        return range(min(len(self.width_factors), max(layer + 2, 1)))

    def incoming(self, layer: int, level: int) -> list[int]:
        """Levels of the layer before from which one move leads to ``level``: the k of Eq. 5."""
        return [k for k in self.levels(layer - 1) if level - k in MOVES]

    def outgoing(self, layer: int, source: int) -> list[int]:
        """Levels of ``layer`` that one move from level ``source`` of the layer before reaches."""
        return [i for i in self.levels(layer) if i - source in MOVES]

    def architecture(self, cells: Sequence[CellArchitecture], levels: Sequence[int], **task: Any) -> Architecture:
        """The network of these cells and this path, at the widths searched with.

        Args:
            cells: one a layer.
            levels: width level of each layer.
            **task: task, channels, scale and residual, as in Architecture.
        """
        return Architecture(
            cells=tuple(cells),
            levels=tuple(levels),
            base_width=self.base_width,
            width_factors=self.width_factors,
            start_width=self.start_width,
            end_width=self.end_width,
            **task,
        )


def edge_index(node: int, source: int) -> int:
    """Row of alpha for the edge from ``source`` (0, 1: cell inputs; 2 + j: node j) into ``node``."""
    return node * (node + 3) // 2 + source
