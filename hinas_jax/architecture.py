"""Architecture: what a search found, and the only object that crosses from search to training.

A frozen value. It knows its own arithmetic (channels, parameters), checks itself, and travels as JSON.
Words follow the paper: a network is a chain of cells (one a layer); a cell has N nodes; a node sums two edges;
an edge applies one operation to one source; a layer's width is the number of channels of each of its nodes.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hinas_jax.writing import write_whole

SCHEMA: Final = 1

#: The seven candidate operations of section 3.1, in the paper's order (ties in decoding fall to the first).
OPERATIONS: Final = ("conv3", "sep3", "sep5", "dil3", "dil5", "skip", "none")

LARGEST_WIDTH: Final = 65536  #: channels
LARGEST_FACTOR: Final = 1024  #: on a width
MOST_LAYERS: Final = 64
MOST_NODES: Final = 16  #: of a cell
MOST_EDGES: Final = 2 * MOST_LAYERS * MOST_NODES  #: of a network; the decoded cells of the paper keep two a node
MOST_PARAMETERS: Final = 10**9  #: a thousand times more than networks of this space have; 4 GB
LARGEST_FILE: Final = 2**22  #: bytes of a JSON file; the largest architecture takes a tenth of it

_OPERATION_WEIGHTS: Final[Mapping[str, tuple[int, int, int]]] = {
    # kernel size k, number of (depthwise k x k, pointwise) pairs, number of dense k x k convolutions
    "conv3": (3, 0, 1),
    "sep3": (3, 2, 0),
    "sep5": (5, 2, 0),
    "dil3": (3, 0, 1),
    "dil5": (5, 0, 1),
    "skip": (1, 0, 0),
    "none": (1, 0, 0),
}


class ArchitectureError(ValueError):
    """An architecture, or a file that should hold one, is not valid. The message is one line for people."""


@dataclasses.dataclass(frozen=True)
class Edge:
    """One kept input of a node: ``operation`` applied to ``source``.

    Sources count as in section 3.1: 0 is h_{l-1}, 1 is h_{l-2}, 2 + j is node j of the same cell.
    """

    source: int
    operation: str

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS or self.operation == "none":
            known = ", ".join(name for name in OPERATIONS if name != "none")
            raise ArchitectureError(f"operation {self.operation!r} is not one of {known}")
        if not _is_count(self.source) or self.source < 0:
            raise ArchitectureError(f"an edge's source must be 0 or more, not {self.source!r}")


@dataclasses.dataclass(frozen=True)
class CellArchitecture:
    """The compact cell of one layer: the edges that each node keeps."""

    nodes: tuple[tuple[Edge, ...], ...]

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ArchitectureError("a cell needs at least one node")
        for i, edges in enumerate(self.nodes):
            if not edges:
                raise ArchitectureError(f"node {i} has no input")
            for edge in edges:
                if edge.source >= i + 2:
                    raise ArchitectureError(f"node {i} takes source {edge.source}, which comes after it")
            if len({edge.source for edge in edges}) != len(edges):
                raise ArchitectureError(f"node {i} takes one source twice")

    def uses(self, source: int) -> bool:
        """Whether any node takes this source (an input that none takes needs no 1x1 convolution)."""
        return any(edge.source == source for edges in self.nodes for edge in edges)

    def operations(self) -> tuple[str, ...]:
        """The operations of all edges, node by node."""
        return tuple(edge.operation for edges in self.nodes for edge in edges)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network of the HiNAS space: cells, widths, and the fixed start and end around them.

    Attributes:
        cells: one compact cell a layer, outermost layer last.
        levels: the width level of each layer, the decoded path (section 3.2). Adjacent levels differ by one at most.
        base_width: W, in channels of a node at level 0.
        width_factors: the factor of each level; a node of a layer at level i has ``base_width * width_factors[i]``
            channels, and its cell's output N times as many.
        task: the name of what it restores ("denoise", "super_resolve", ...); ``tasks`` knows them.
        channels: channels of a picture, 1 (grey) or 3 (RGB).
        scale: pixel-shuffle factor, 1 where pictures keep their size.
        residual: whether f_net = f_res + f_skip (section 3.3) or f_res alone.
        start_width: channels of the two 3x3 convolutions of the start.
        end_width: channels between the two 3x3 convolutions of the end.

    Raises:
        ArchitectureError: where a value is out of its range or the parts do not fit one another.
    """

    cells: tuple[CellArchitecture, ...]
    levels: tuple[int, ...]
    base_width: int
    width_factors: tuple[float, ...]
    task: str = "denoise"
    channels: int = 1
    scale: int = 1
    residual: bool = True
    start_width: int = 64
    end_width: int = 64

    def __post_init__(self) -> None:
        self._check_ranges()
        if not self.cells or len(self.cells) != len(self.levels):
            raise ArchitectureError(f"{len(self.cells)} cells but {len(self.levels)} levels: one of each a layer")
        if len({len(cell.nodes) for cell in self.cells}) != 1:
            raise ArchitectureError("all cells must have the same number of nodes")
        if len(self.cells) > MOST_LAYERS or self.node_count > MOST_NODES:
            raise ArchitectureError(
                f"at most {MOST_LAYERS} layers and {MOST_NODES} nodes, not {len(self.cells)} and {self.node_count}"
            )
        if (edges := sum(len(cell.operations()) for cell in self.cells)) > MOST_EDGES:
            raise ArchitectureError(f"at most {MOST_EDGES} edges, not {edges}")
        path = (0, *self.levels)  # layer 0 holds levels 0 and 1 only
        for layer, (before, level) in enumerate(zip(path, self.levels, strict=False)):
            if not _is_count(level) or not 0 <= level < len(self.width_factors):
                raise ArchitectureError(f"layer {layer} has level {level!r}, outside 0..{len(self.width_factors) - 1}")
            if abs(level - before) > 1:
                raise ArchitectureError(f"layer {layer} jumps from level {before} to {level}; one step at most")
        if any(width < 1 for width in self.widths):
            raise ArchitectureError(
                f"width factors {self.width_factors} leave a layer of {self.base_width} no channels"
            )
        if max(self.widths) > LARGEST_WIDTH:
            raise ArchitectureError(f"a layer has {max(self.widths)} channels a node, more than {LARGEST_WIDTH}")
        if (count := self.parameters()) > MOST_PARAMETERS:
            raise ArchitectureError(f"{count:,} parameters are more than {MOST_PARAMETERS:,}, the most that is taken")

    def _check_ranges(self) -> None:
        if not isinstance(self.task, str) or not re.fullmatch("[a-z][a-z0-9_]*", self.task):
            raise ArchitectureError(f"task must be a name in small letters, not {self.task!r}")
        if not _is_count(self.channels) or self.channels not in (1, 3):
            raise ArchitectureError(f"channels must be 1 (grey) or 3 (RGB), not {self.channels!r}")
        for name in ("base_width", "scale", "start_width", "end_width"):
            value = getattr(self, name)
            if not _is_count(value) or not 1 <= value <= LARGEST_WIDTH:
                raise ArchitectureError(f"{name} must be a whole number from 1 to {LARGEST_WIDTH}, not {value!r}")
        if not isinstance(self.residual, bool):
            raise ArchitectureError(f"residual must be true or false, not {self.residual!r}")
        if not self.width_factors or any(
            isinstance(f, bool) or not isinstance(f, int | float) or not 0 < f <= LARGEST_FACTOR
            for f in self.width_factors
        ):
            raise ArchitectureError(
                f"width_factors must be numbers above 0, at most {LARGEST_FACTOR}, not {self.width_factors!r}"
            )

    @property
    def node_count(self) -> int:
        """N, the nodes of each cell."""
        return len(self.cells[0].nodes)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each node, layer by layer."""
        return tuple(round(self.base_width * self.width_factors[level]) for level in self.levels)

    def scaled(self, width_scale: float) -> Architecture:
        """The same architecture with ``width_scale`` times the base width (training may widen what search found).

        Args:
            width_scale: above 0 and at most LARGEST_FACTOR.

        Raises:
            ArchitectureError: the base width would be out of its range.
        """
        return dataclasses.replace(self, base_width=round(self.base_width * width_scale))

    def parameters(self) -> int:
        """Trainable parameters of the network, counted by formula (running statistics are not parameters)."""
        inputs = [self.start_width, *(self.node_count * width for width in self.widths)]
        total: int = convolution_parameters(3, self.channels, self.start_width)
        total += convolution_parameters(3, self.start_width, self.start_width)
        for layer, (cell, width) in enumerate(zip(self.cells, self.widths, strict=True)):
            sources = (inputs[layer], inputs[max(layer - 1, 0)])  # h_{l-1}, h_{l-2}
            total += sum(router_parameters(channels, width) for k, channels in enumerate(sources) if cell.uses(k))
            total += sum(operation_parameters(name, width) for name in cell.operations())
        total += convolution_parameters(3, inputs[-1], self.end_width)
        total += convolution_parameters(3, self.end_width, self.channels * self.scale**2)
        return total

    def to_json(self) -> str:
        """The architecture as indented JSON, the same text for the same value."""
        nodes = [[[_edge_to_json(e) for e in edges] for edges in cell.nodes] for cell in self.cells]
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "cells"}
        document = {"schema": SCHEMA, **fields, "widths": self.widths, "parameters": self.parameters(), "cells": nodes}
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Read what ``to_json`` wrote. The derived fields ``widths`` and ``parameters`` are for people, and ignored.

        Raises:
            ArchitectureError: the text is not JSON, not of this schema, or describes no valid architecture.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
            raise ArchitectureError(f"not JSON ({error}); give an architecture.json of a search") from None
        if not isinstance(document, dict) or not _is_schema(document.get("schema")):
            raise ArchitectureError(f'not an architecture of schema {SCHEMA} (its field "schema" must say {SCHEMA})')
        document = {k: v for k, v in document.items() if k not in ("schema", "widths", "parameters")}
        known = {f.name for f in dataclasses.fields(cls)}
        required = {f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING}
        if unknown := sorted(document.keys() - known):
            raise ArchitectureError(f"unknown field {unknown[0]!r}")
        if missing := sorted(required - document.keys()):
            raise ArchitectureError(f"field {missing[0]!r} is missing")
        try:
            cells = tuple(
                CellArchitecture(tuple(tuple(_edge_from_json(e) for e in edges) for edges in nodes))
                for nodes in document.pop("cells")
            )
            levels, factors = tuple(document.pop("levels")), tuple(document.pop("width_factors"))
            return cls(cells=cells, levels=levels, width_factors=factors, **document)
        except ArchitectureError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise ArchitectureError(f"a field has the wrong form: {error}") from None

    def save(self, path: Path) -> None:
        """Write the JSON; a reader never sees half a file.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Architecture:
        """Read an architecture file.

        Raises:
            ArchitectureError: the file cannot be read or holds no valid architecture; the message names it.
        """
        try:
            if path.exists() and not path.is_file():
                raise ArchitectureError("a folder or a device, not a file; give an architecture.json")
            if path.stat().st_size > LARGEST_FILE:
                raise ArchitectureError(f"larger than {LARGEST_FILE:,} bytes; give an architecture.json")
            return cls.from_json(path.read_text())
        except OSError as error:
            raise ArchitectureError(f"{path}: cannot be read ({error.strerror}); give an architecture.json") from None
        except UnicodeDecodeError:
            raise ArchitectureError(f"{path}: not an architecture (not even text); give an architecture.json") from None
        except ArchitectureError as error:
            raise ArchitectureError(f"{path}: {error}") from None


def source_name(source: int) -> str:
    """The paper's name of an edge's source: h_{l-1}, h_{l-2} or x_i."""
    return ("h_{l-1}", "h_{l-2}")[source] if source < 2 else f"x_{source - 1}"


def convolution_parameters(kernel: int, inputs: Any, outputs: Any) -> Any:
    """Parameters of a convolution with bias; channels may be arrays, and the result then is one."""
    return kernel * kernel * inputs * outputs + outputs


def router_parameters(inputs: Any, width: Any) -> Any:
    """Parameters of the 1x1 convolution that makes a feature, with its normalisation; channels may be arrays."""
    return inputs * width + _batch_norm(width)


def operation_parameters(name: str, width: Any) -> Any:
    """Parameters of an operation on ``width`` channels, which may be an array; skip and none have none."""
    kernel, separable, dense = _OPERATION_WEIGHTS[name]
    weights = separable * (kernel**2 * width + width**2) + dense * kernel**2 * width**2
    return weights + (separable + dense) * _batch_norm(width)


def _batch_norm(width: Any) -> Any:
    return 2 * width


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_schema(value: object) -> bool:
    return _is_count(value) and value == SCHEMA


def _edge_to_json(edge: Edge) -> dict[str, str]:
    return {"from": source_name(edge.source), "operation": edge.operation}


def _edge_from_json(document: Mapping[str, Any]) -> Edge:
    name = document["from"]
    fixed = {"h_{l-1}": 0, "h_{l-2}": 1}
    if name in fixed:
        return Edge(fixed[name], document["operation"])
    if not isinstance(name, str) or not re.fullmatch("x_[1-9][0-9]{0,3}", name):
        raise ArchitectureError(f"an edge comes from {name!r}; known are h_{{l-1}}, h_{{l-2}}, x_1, x_2, ...")
    return Edge(int(name[2:]) + 1, document["operation"])
