"""Decoding: alpha to compact cells, beta to a path of widths (sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Array, Float

from hinas_jax.architecture import OPERATIONS, Architecture, CellArchitecture, Edge
from hinas_jax.space.relaxation import operation_weights, transitions
from hinas_jax.space.search_space import MOVES, SearchSpace, edge_index

INPUTS_PER_NODE = 2
_SKIP = OPERATIONS.index("skip")
_CHOICES = [k for k, name in enumerate(OPERATIONS) if name != "none"]


def decode(
    arch: Mapping[str, Float[Array, "..."]],
    space: SearchSpace,
    *,
    task: str,
    channels: int,
    scale: int,
    residual: bool = True,
    max_skips: int | None = None,
) -> Architecture:
    """Read the architecture off the collection ``arch`` of a supernet.

    Args:
        arch: {"alpha": [layers or 1, edges, operations], "beta": [layers, levels, 3]}, before any softmax.
        space: the supernet's space.
        task: its name, as in ``tasks``.
        channels: channels of a picture.
        scale: factor of the super-resolution, 1 for denoising.
        residual: whether the network learns the residual.
        max_skips: how many skip connections a cell keeps at most; None: any, as in the paper.
    """
    weights = np.asarray(operation_weights(arch["alpha"]))
    rows = [weights[layer if space.layerwise else 0] for layer in range(space.layers)]
    cells = [decode_cell(weights_of, space.nodes, max_skips) for weights_of in rows]
    levels = viterbi(np.asarray(transitions(arch["beta"], space)))
    return space.architecture(cells, levels, task=task, channels=channels, scale=scale, residual=residual)


def decode_cell(
    weights: Float[np.ndarray, "edge operation"], nodes: int, max_skips: int | None = None
) -> CellArchitecture:
    """Keep the two strongest inputs of each node, each with its strongest operation other than none.

    An input is as strong as its strongest operation. Ties fall to the first input and the first operation.

    If more than ``max_skips`` skip connections are kept, the strongest of them stay (ties: the first); on all other
    edges of the cell skip counts as impossible, and the nodes are decoded again by the same rule.
    """
    cell = _strongest(weights, nodes)
    kept = [edge_index(node, e.source) for node, edges in enumerate(cell.nodes) for e in edges if e.operation == "skip"]
    if max_skips is None or len(kept) <= max_skips:
        return cell
    staying = sorted(kept, key=lambda edge: -weights[edge, _SKIP])[:max_skips]
    allowed = np.isin(np.arange(len(weights)), staying)
    return _strongest(np.where(allowed[:, None] | (np.arange(len(OPERATIONS)) != _SKIP), weights, -np.inf), nodes)


def _strongest(weights: Float[np.ndarray, "edge operation"], nodes: int) -> CellArchitecture:
    cell = []
    for node in range(nodes):
        rows = weights[edge_index(node, 0) : edge_index(node, 0) + node + 2][:, _CHOICES]
        strongest = np.argsort(-rows.max(axis=1), kind="stable")[:INPUTS_PER_NODE]
        cell.append(tuple(Edge(int(s), OPERATIONS[_CHOICES[int(rows[s].argmax())]]) for s in sorted(strongest)))
    return CellArchitecture(tuple(cell))


def viterbi(probabilities: Float[np.ndarray, "layer level 3"]) -> tuple[int, ...]:
    """The path of levels with the largest product of transition probabilities, from the start (level 0) on.

    Works in the log domain; ties fall to the narrower level.
    """
    with np.errstate(divide="ignore"):
        costs = np.log(probabilities.astype(np.float64))
    levels = probabilities.shape[1]
    score = np.full(levels, -np.inf)
    score[0] = 0.0
    origins = []
    for layer in costs:
        arriving = np.full((levels, levels), -np.inf)  # [target, source]
        for source in range(levels):
            for move, step in enumerate(MOVES):
                if 0 <= source + step < levels:
                    arriving[source + step, source] = score[source] + layer[source, move]
        origins.append(arriving.argmax(axis=1))
        score = arriving.max(axis=1)
    path = [int(score.argmax())]
    for origin in reversed(origins[1:]):
        path.append(int(origin[path[-1]]))
    return tuple(reversed(path))
