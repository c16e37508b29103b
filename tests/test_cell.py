"""Cells: the node equation by hand, and who depends on whom by gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import picture, quick_jit, random_variables

from hinas_jax.architecture import OPERATIONS, CellArchitecture, Edge
from hinas_jax.space.cell import Cell, SuperCell
from hinas_jax.space.operations import Operation
from hinas_jax.space.relaxation import operation_weights
from hinas_jax.space.search_space import SearchSpace, edge_index

NODES, WIDTH = 3, 2
H1, H2 = picture(2, 5, 6, WIDTH, seed=1) - 0.5, picture(2, 5, 6, WIDTH, seed=2) - 0.5
#: (node, source) of every row of alpha for three nodes, in order.
ROWS = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)]


@pytest.fixture(scope="module")
def logits():
    return jnp.asarray(np.random.default_rng(0).normal(size=(len(ROWS), len(OPERATIONS))), jnp.float32)


@pytest.fixture(scope="module")
def variables(logits):
    return random_variables(SuperCell(NODES), H1, H2, logits, train=False)


def test_alpha_has_one_row_for_each_edge_node_by_node():
    assert [edge_index(node, source) for node, source in ROWS] == list(range(len(ROWS)))
    for nodes in range(1, 17):
        rows = [edge_index(node, source) for node in range(nodes) for source in range(node + 2)]
        assert rows == list(range(SearchSpace(nodes=nodes).edges))


def test_a_supercell_sums_all_sources_of_each_node(variables, logits):
    """x_i = the sum over sources j and operations k of alpha_k^{j->i} o_k(x_j), all concatenated (Eq. 3)."""

    def by_hand(variables, alpha):
        x = [jnp.asarray(H1), jnp.asarray(H2), 0, 0, 0]
        for row, (node, source) in enumerate(ROWS):
            place = node - (0, 0, 1, 2)[source]  # of this edge among those that leave its source
            for k, kind in enumerate(OPERATIONS):
                trees = {name: tree[f"source_{source}"].get(kind, {}) for name, tree in variables.items()}
                own = jax.tree.map(lambda leaf, place=place: leaf[place : place + 1], trees)
                y = Operation(kind, WIDTH).apply(own, x[source], train=False)[..., 0, :]
                x[2 + node] = x[2 + node] + alpha[row, k] * y
        return jnp.concatenate(x[2:], axis=-1)

    alpha = operation_weights(logits)
    result = quick_jit(lambda v, a: SuperCell(NODES).apply(v, H1, H2, a, train=False))(variables, alpha)
    assert result.shape == (2, 5, 6, NODES * WIDTH)
    np.testing.assert_allclose(result, quick_jit(by_hand)(variables, alpha), rtol=1e-4, atol=1e-4)


def test_a_node_depends_on_its_own_and_earlier_rows_of_alpha_only(variables, logits):
    def energy_of_nodes(weights):
        y = SuperCell(NODES).apply(variables, H1, H2, weights, train=False)
        return jnp.sum(y.reshape(*y.shape[:-1], NODES, WIDTH) ** 2, axis=(0, 1, 2, 4))

    both = quick_jit(
        lambda z: (
            jax.jacrev(energy_of_nodes)(operation_weights(z)),
            jax.jacrev(lambda z: energy_of_nodes(operation_weights(z)))(z),
        )
    )
    by_weights, by_logits = jax.tree.map(np.asarray, both(logits))
    assert np.isfinite(by_weights).all()
    for node in range(NODES):
        for row, (target, _) in enumerate(ROWS):
            if target > node:
                assert not by_weights[node, row].any()
            else:
                assert by_weights[node, row, :6].all()
    none = OPERATIONS.index("none")
    assert not by_weights[..., none].any()  # returns zero ...
    assert by_logits[2, :, none].all()  # ... but takes its share of the softmax


def test_a_cell_sums_the_kept_edges_of_each_node():
    cell = Cell(
        CellArchitecture(
            (
                (Edge(0, "conv3"), Edge(1, "skip")),
                (Edge(0, "skip"), Edge(2, "sep3")),
                (Edge(1, "dil3"), Edge(3, "conv3")),
            )
        )
    )
    variables = random_variables(cell, H1, H2, train=False)
    assert variables["params"]["node_0_source_0"]["norm_0"].keys() == {"scale", "bias"}

    def operation(kind, name, x):
        own = {collection: tree[name] for collection, tree in variables.items()}
        return Operation(kind, WIDTH, affine=True).apply(own, x, train=False)[..., 0, :]

    x1 = operation("conv3", "node_0_source_0", H1) + H2
    x2 = H1 + operation("sep3", "node_1_source_2", x1)
    x3 = operation("dil3", "node_2_source_1", H2) + operation("conv3", "node_2_source_3", x2)
    result = quick_jit(lambda v: cell.apply(v, H1, H2, train=False))(variables)
    np.testing.assert_allclose(result, jnp.concatenate([x1, x2, x3], axis=-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("source", [0, 1])
def test_an_input_that_no_node_takes_may_be_missing(source):
    cell = Cell(CellArchitecture(((Edge(source, "skip"),), (Edge(source, "skip"), Edge(2, "skip")))))
    inputs = [None, None]
    inputs[source] = H1
    result = cell.apply({}, *inputs, train=False)
    np.testing.assert_array_equal(result, np.concatenate([H1, H1 + H1], axis=-1))
