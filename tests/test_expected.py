"""The expected parameters: the true count of one-hot alpha and beta, and the mean of the counts in between."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import paths, random_cell

from hinas_jax.architecture import OPERATIONS, CellArchitecture, Edge
from hinas_jax.space.expected import expected_parameters
from hinas_jax.space.one_hot import one_hot
from hinas_jax.space.search_space import SearchSpace, edge_index

SPACE = SearchSpace(layers=3, nodes=3, base_width=8, width_factors=(1, 2, 4), start_width=7, end_width=9)


def expected(arch, space=SPACE, channels=1, scale=1):
    return float(expected_parameters(arch, space, channels=channels, scale=scale))


@pytest.mark.parametrize("layerwise", [True, False])
def test_one_hot_alpha_and_beta_count_what_their_architecture_has(layerwise):
    space = dataclasses.replace(SPACE, layerwise=layerwise)
    rng = np.random.default_rng(0)
    for path in paths(space):
        skip_input = bool(rng.integers(2))  # without, no node takes h_{l-2}, whose 1x1 convolution then goes
        cells = [random_cell(rng, 3, skip_input=skip_input) for _ in range(3)]
        architecture = space.architecture(cells if layerwise else cells[:1] * 3, path)
        assert expected(one_hot(architecture, space), space) == pytest.approx(architecture.parameters(), rel=1e-6)


def test_channels_and_scale_count_too():
    cells = [random_cell(np.random.default_rng(0), 3)] * 3
    task = {"task": "super_resolve", "channels": 3, "scale": 3}
    architecture = SPACE.architecture(cells, (1, 1, 0), **task)
    found = expected(one_hot(architecture, SPACE), channels=3, scale=3)
    assert found == pytest.approx(architecture.parameters(), rel=1e-6)


def test_an_undecided_edge_counts_the_mean():
    """Sep3 and dil5 in equal parts on one edge: halfway between the networks that have the one and the other."""
    nodes = [(Edge(0, "conv3"), Edge(1, "skip"))] * 2
    cells = [CellArchitecture((*nodes, (Edge(0, "skip"), Edge(2, name)))) for name in ("sep3", "dil5")]
    counts = [SPACE.architecture([cell] * 3, (0, 0, 0)).parameters() for cell in cells]
    arch = one_hot(SPACE.architecture(cells[:1] * 3, (0, 0, 0)), SPACE)
    both = arch["alpha"].at[:, edge_index(2, 2), OPERATIONS.index("dil5")].set(1000.0)
    assert counts[1] > counts[0]
    assert expected(arch | {"alpha": both}) == pytest.approx(np.mean(counts), rel=1e-6)


def test_an_undecided_width_counts_the_mean_over_paths():
    """All moves out of level 0 equally likely, and no way back: 0 0 0, 0 0 1, 0 1 1, 1 1 1 at 1/8, 1/8, 1/4, 1/2."""
    space = dataclasses.replace(SPACE, width_factors=(1, 2))
    cell = random_cell(np.random.default_rng(1), 3)
    path_odds = {(0, 0, 0): 1 / 8, (0, 0, 1): 1 / 8, (0, 1, 1): 1 / 4, (1, 1, 1): 1 / 2}
    counts = {path: space.architecture([cell] * 3, path).parameters() for path in path_odds}
    arch = one_hot(space.architecture([cell] * 3, (1, 1, 1)), space)
    beta = arch["beta"].at[:, 0].set(0.0)
    mean = sum(odds * counts[path] for path, odds in path_odds.items())
    assert expected(arch | {"beta": beta}, space) == pytest.approx(mean, rel=1e-6)


def test_the_gradient_is_finite_and_prefers_what_is_small():
    arch = {"alpha": jnp.zeros((3, SPACE.edges, 7)), "beta": jnp.zeros((3, 3, 3))}
    grads = jax.grad(lambda arch: expected_parameters(arch, SPACE, channels=1, scale=1))(arch)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    mean = np.asarray(grads["alpha"]).mean((0, 1))
    assert [OPERATIONS[k] for k in np.argsort(mean)][-1] == "dil5"
    assert mean[OPERATIONS.index("skip")] < 0 < mean[OPERATIONS.index("conv3")]
    assert grads["beta"][0, 0, 2] > 0 > grads["beta"][0, 0, 1]  # wider costs more than as wide
