"""One-hot alpha and beta: weights of exactly 0 and 1 that name the architecture (decoding them: test_decode)."""

import numpy as np
import pytest
from tiny import paths, random_cell

from hinas_jax.architecture import OPERATIONS
from hinas_jax.space.one_hot import one_hot
from hinas_jax.space.relaxation import operation_weights, possible_moves, transitions
from hinas_jax.space.search_space import SearchSpace, edge_index


@pytest.mark.parametrize("factors", [(1, 2, 4), (1, 2), (1,)])
def test_every_row_chooses_one_entry_and_kept_edges_their_operation(factors):
    space = SearchSpace(layers=3, nodes=3, width_factors=factors)
    rng = np.random.default_rng(0)
    for path in paths(space):
        architecture = space.architecture([random_cell(rng, 3) for _ in range(3)], path)
        arch = one_hot(architecture, space)
        alpha, beta = np.asarray(operation_weights(arch["alpha"])), np.asarray(transitions(arch["beta"], space))
        np.testing.assert_array_equal(np.sort(alpha)[..., -1], 1)
        np.testing.assert_array_equal(np.sort(alpha)[..., :-1], 0)
        np.testing.assert_array_equal(beta.sum(-1), possible_moves(space).any(-1))
        assert set(np.unique(beta)) <= {0, 1}
        kept = [
            (layer, edge_index(node, edge.source), edge.operation)
            for layer, cell in enumerate(architecture.cells)
            for node, edges in enumerate(cell.nodes)
            for edge in edges
        ]
        assert all(alpha[layer, row, OPERATIONS.index(operation)] == 1 for layer, row, operation in kept)
        assert alpha[..., OPERATIONS.index("none")].sum() == 3 * space.edges - len(kept)
