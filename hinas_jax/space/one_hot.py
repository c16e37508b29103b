"""One architecture inside a supernet: alpha and beta that choose it and nothing else (decoding, turned round)."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hinas_jax.architecture import OPERATIONS, Architecture
from hinas_jax.space.search_space import MOVES, SearchSpace, edge_index


def one_hot(architecture: Architecture, space: SearchSpace, logit: float = 1000.0) -> dict[str, Float[Array, "..."]]:
    """The collection ``arch`` that chooses exactly this architecture: after the softmax all other weights are 0.

    Edges that the architecture does not keep choose none. Sources off the path move to levels off the path.

    Args:
        architecture: of this space; without layer-wise sharing its cells are all the same.
        space: the supernet's space.
        logit: what the chosen entries get, the others 0.
    """
    layers = space.layers if space.layerwise else 1
    alpha = np.zeros((layers, space.edges, len(OPERATIONS)), np.float32)
    for rows, cell in zip(alpha, architecture.cells, strict=space.layerwise):
        rows[:, OPERATIONS.index("none")] = logit
        for node, edges in enumerate(cell.nodes):
            for edge in edges:
                row = rows[edge_index(node, edge.source)]
                row[OPERATIONS.index("none")], row[OPERATIONS.index(edge.operation)] = 0, logit
    beta = np.zeros((space.layers, len(space.width_factors), len(MOVES)), np.float32)
    for layer, (before, level) in enumerate(itertools.pairwise((0, *architecture.levels))):
        for source in space.levels(layer - 1):
            away = [target for target in space.outgoing(layer, source) if target != level]
            target = level if source == before or not away else away[0]
            beta[layer, source, MOVES.index(target - source)] = logit
    return {"alpha": jnp.asarray(alpha), "beta": jnp.asarray(beta)}
