"""Carrying a supernet's kernels over to the network that was decoded from it (a warm start)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from hinas_jax.architecture import Architecture
from hinas_jax.space.search_space import SearchSpace

Tree = Any


def inherit(
    network: Mapping[str, Tree], supernet: Mapping[str, Tree], architecture: Architecture, space: SearchSpace
) -> dict[str, Tree]:
    """The network's variables with every kernel and running statistic that the supernet has for it.

    With one-hot alpha and beta the network then computes what the supernet computes, but for two things the paper's
    supernet does and its network cannot: the end also sees the levels off the path, and h_{l-2} enters a cell from
    that cell's own level. Where the path had another level two layers before, that one 1x1 convolution stays fresh.

    Args:
        network: {"params", "batch_stats"} of a fresh network, of the width that was searched with.
        supernet: {"params", "batch_stats"} of the supernet.
        architecture: what was decoded from it.
        space: the supernet's space.
    """
    result: dict[str, Tree] = {}
    for collection in ("params", "batch_stats"):
        old, new = supernet[collection], dict(network[collection])
        path = (0, *architecture.levels)
        for layer, level in enumerate(architecture.levels):
            at = f"{layer}_{level}"
            _update(new, f"router_{layer}", old.get(f"router_{at}_from_{path[layer]}"))
            if _skip_level(space, layer, level) == path[max(layer - 1, 0)]:
                _update(new, f"skip_router_{layer}", old.get(f"skip_router_{at}"))
            name = f"cell_{at}" if space.cell_sharing else f"cell_{at}_from_{path[layer]}"
            if f"cell_{layer}" in new:
                new[f"cell_{layer}"] = _cell(new[f"cell_{layer}"], old[name], architecture, layer)
        if collection == "params":
            new["start"] = old["start"]
            new["end"] = _end(old["end"], architecture, space)
        result[collection] = new
    return result


def edge_by_edge(tree: Mapping[str, Tree], nodes: int) -> dict[str, Tree]:
    """A supernet's "params" or "batch_stats" as its ``plain`` form keeps them: each edge's in a module of its own.

    Args:
        tree: what the stacked form keeps.
        nodes: N, the nodes of its cells.
    """
    return {name: _split(name, part, nodes) for name, part in tree.items()}


def _split(name: str, part: Tree, nodes: int) -> Tree:
    if not name.startswith("cell_"):
        return part
    return {
        f"source_{source}_node_{node}": _of_edge(part[f"source_{source}"], source, node)
        for node in range(nodes)
        for source in range(node + 2)
        if f"source_{source}" in part
    }


def _of_edge(stacked: Tree, source: int, node: int) -> Tree:
    """The leaves of the edge from ``source`` into ``node``, out of those of all edges that leave the source."""
    row = node - max(source - 1, 0)
    return jax.tree.map(lambda leaf: leaf[row : row + 1], stacked)


def _skip_level(space: SearchSpace, layer: int, level: int) -> int:
    """The level whose h_{l-2} enters cell ``level`` of ``layer`` in a supernet."""
    return min(level, max(space.levels(layer - 2)))


def _update(new: dict[str, Tree], name: str, old: Tree | None) -> None:
    """Take over ``old`` where both have it; the network's affine scale and bias stay as they are."""
    if name in new and old is not None:
        new[name] = {key: {**new[name][key], **old.get(key, {})} for key in new[name]}


def _cell(new: Mapping[str, Tree], old: Mapping[str, Tree], architecture: Architecture, layer: int) -> dict[str, Tree]:
    cell = dict(new)
    for node, edges in enumerate(architecture.cells[layer].nodes):
        for edge in edges:
            name = f"node_{node}_source_{edge.source}"
            if name in cell:
                one = _of_edge(old[f"source_{edge.source}"][edge.operation], edge.source, node)
                cell[name] = {
                    key: {**value, **one.get(key, {})} if isinstance(value, Mapping) else one[key]
                    for key, value in cell[name].items()
                }
    return cell


def _end(old: Mapping[str, Tree], architecture: Architecture, space: SearchSpace) -> dict[str, Tree]:
    level = architecture.levels[-1]
    first = sum(space.nodes * width for width in space.widths[:level])
    last = first + space.nodes * space.widths[level]
    kernel = old["conv_0"]["kernel"][:, :, first:last]
    return {**old, "conv_0": {**old["conv_0"], "kernel": kernel}}
