"""Decoding against brute force, and back again from one-hot alpha and beta."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiny import KEPT, paths, random_cell

from hinas_jax.architecture import OPERATIONS, Edge
from hinas_jax.space.decode import decode, decode_cell, viterbi
from hinas_jax.space.one_hot import one_hot
from hinas_jax.space.search_space import SearchSpace, edge_index

quick = settings(deadline=None, max_examples=60)
DENOISE = {"task": "denoise", "channels": 1, "scale": 1}
#: Sums of these are exact, so that ties are ties; and few, so that ties are many.
few_values = st.sampled_from([0.0, 1.0, 2.0, 3.0])
#: Products of these are exact in the log domain too: every path multiplies its halves one by one.
halves = st.sampled_from([0.0, 0.5, 1.0])


def best_inputs(rows):
    """The two edges with the largest sum of weights; the first sources, then operations, win a tie."""
    choices = (
        ((s, k), (t, m))
        for s, t in itertools.combinations(range(len(rows)), 2)
        for k, m in itertools.product(range(len(KEPT)), repeat=2)
    )
    best = max(choices, key=lambda pair: sum(rows[edge] for edge in pair))  # max keeps the first
    return tuple(Edge(source, KEPT[k]) for source, k in best)


def best_path(probabilities):
    """The path with the largest product; of those with the same, the one whose last levels are narrower."""
    layers, levels, _ = probabilities.shape
    steps = itertools.product(range(levels), repeat=layers)
    adjacent = [p for p in steps if all(abs(a - b) <= 1 for a, b in itertools.pairwise((0, *p)))]
    return min(adjacent, key=lambda path: (-product_along(path, probabilities), path[::-1]))


def product_along(path, probabilities):
    moves = enumerate(itertools.pairwise((0, *path)))
    return np.prod([probabilities[layer, a, b - a + 1] for layer, (a, b) in moves])


@quick
@given(st.data(), st.integers(1, 3))
def test_decode_cell_equals_brute_force(data, nodes):
    edges = nodes * (nodes + 3) // 2
    weights = data.draw(arrays(np.float32, (edges, len(OPERATIONS)), elements=few_values))
    cell = decode_cell(weights, nodes)
    starts = [0, 2, 5]
    for node, start in enumerate(starts[:nodes]):
        assert cell.nodes[node] == best_inputs(weights[start : start + node + 2])


@quick
@given(st.data(), st.integers(1, 3), st.integers(0, 6))
def test_with_a_limit_the_strongest_skips_stay_and_the_next_best_take_the_place_of_the_others(data, nodes, limit):
    edges = nodes * (nodes + 3) // 2
    exact = st.integers(0, 64).map(lambda n: n / 64)
    weights = data.draw(arrays(np.float32, (edges, len(OPERATIONS)), elements=exact))
    skip = OPERATIONS.index("skip")
    weights[:, skip] *= data.draw(st.sampled_from([1, 4]))  # often there are many
    kept = [edge_index(node, e.source) for node, e in skips_of(decode_cell(weights, nodes))]
    allowed = sorted(kept, key=lambda edge: (-weights[edge, skip], edge))[:limit]
    cell = decode_cell(weights, nodes, limit)
    assert len(skips_of(cell)) == min(limit, len(kept))
    assert {edge_index(node, e.source) for node, e in skips_of(cell)} == set(allowed)
    if len(kept) > limit:
        weights[[edge for edge in range(edges) if edge not in allowed], skip] = -1
    for node in range(nodes):
        first = edge_index(node, 0)
        assert cell.nodes[node] == best_inputs(weights[first : first + node + 2])


def skips_of(cell):
    return [(node, e) for node, kept in enumerate(cell.nodes) for e in kept if e.operation == "skip"]


def test_no_limit_and_a_limit_that_is_not_reached_are_the_papers_rule():
    weights = np.random.default_rng(0).random((9, 7), np.float32)
    weights[::2, 5] = 2
    count = len(skips_of(decode_cell(weights, 3)))
    assert count == 5
    assert decode_cell(weights, 3, None) == decode_cell(weights, 3, count) == decode_cell(weights, 3)


@pytest.mark.parametrize("limit", [0, 1, None])
def test_the_limit_holds_in_every_cell_of_an_architecture(limit):
    space = SearchSpace(layers=2, nodes=2, width_factors=(1, 2))
    alpha = np.zeros((2, space.edges, len(OPERATIONS)), np.float32)
    alpha[..., 5] = np.arange(1, 6)  # every kept edge is a skip
    arch = {"alpha": alpha, "beta": np.zeros((2, 2, 3), np.float32)}
    cells = decode(arch, space, **DENOISE, max_skips=limit).cells
    assert [len(skips_of(cell)) for cell in cells] == [4 if limit is None else limit] * 2


probabilities_of = st.tuples(st.integers(1, 4), st.integers(1, 4)).map(lambda shape: (*shape, 3))


@quick
@given(st.data())
def test_viterbi_equals_brute_force_with_ties(data):
    probabilities = data.draw(arrays(np.float32, data.draw(probabilities_of), elements=halves))
    best = best_path(probabilities)
    if product_along(best, probabilities) > 0:  # of transition probabilities, that of one path always is
        assert viterbi(probabilities) == best


@quick
@given(st.data())
def test_viterbi_finds_the_largest_product(data):
    positive = st.floats(0.0009765625, 1, width=32)
    probabilities = data.draw(arrays(np.float32, data.draw(probabilities_of), elements=positive))
    found, best = (product_along(search(probabilities), probabilities) for search in (viterbi, best_path))
    np.testing.assert_allclose(found, best, rtol=1e-5)


def test_viterbi_survives_products_that_underflow():
    probabilities = np.full((64, 2, 3), 1e-30, np.float32)
    probabilities[:, 1, 1] = 2e-30  # to stay at level 1 is the likeliest move
    assert viterbi(probabilities) == (1,) * 64


@pytest.mark.parametrize("layerwise", [True, False])
def test_decoding_one_hot_alpha_and_beta_gives_the_architecture_back(layerwise):
    space = SearchSpace(layers=3, nodes=3, base_width=8, width_factors=(1, 2, 4), layerwise=layerwise)
    rng = np.random.default_rng(0)
    for path in paths(space):
        cells = [random_cell(rng, 3) for _ in range(3)] if layerwise else [random_cell(rng, 3)] * 3
        architecture = space.architecture(cells, path)
        assert decode(one_hot(architecture, space, logit=5.0), space, **DENOISE) == architecture


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_whatever_alpha_and_beta_are_the_architecture_is_valid(seed, layerwise):
    space = SearchSpace(layers=4, nodes=2, base_width=4, width_factors=(1, 2, 3), layerwise=layerwise)
    rng = np.random.default_rng(seed)
    alpha = rng.normal(0, 3, (4 if layerwise else 1, space.edges, 7))
    alpha[..., 6] += rng.choice([0, 50])  # none far ahead of all others
    arch = {"alpha": alpha.astype(np.float32), "beta": rng.normal(0, 10, (4, 3, 3)).astype(np.float32)}
    architecture = decode(arch, space, **DENOISE)
    assert architecture.levels in paths(space)
    assert all(len(edges) == 2 for cell in architecture.cells for edges in cell.nodes)
    assert not any("none" in cell.operations() for cell in architecture.cells)
    assert layerwise or len(set(architecture.cells)) == 1


def test_an_input_that_is_mostly_none_is_weak_however_large_its_other_logits():
    space = SearchSpace(layers=1, nodes=2, width_factors=(1,))
    alpha = np.zeros((1, 5, 7), np.float32)
    alpha[0, 2, [0, 6]] = 8, 12  # node 1, h_{l-1}: conv3 ahead of the other inputs, but none takes nearly all
    alpha[0, 3, 5], alpha[0, 4, 1] = 2, 1
    architecture = decode({"alpha": alpha, "beta": np.zeros((1, 1, 3), np.float32)}, space, **DENOISE)
    assert architecture.cells[0].nodes[1] == (Edge(1, "skip"), Edge(2, "sep3"))


def test_what_no_weight_decides_is_taken_over_from_the_space_and_the_task():
    space = SearchSpace(layers=1, nodes=1, base_width=6, width_factors=(1, 1.5), start_width=5, end_width=7)
    arch = {"alpha": np.zeros((1, 2, 7), np.float32), "beta": np.zeros((1, 2, 3), np.float32)}
    a = decode(arch, space, task="super_resolve", channels=3, scale=4, residual=False)
    assert (a.task, a.channels, a.scale, a.residual) == ("super_resolve", 3, 4, False)
    assert (a.base_width, a.width_factors, a.start_width, a.end_width) == (6, (1, 1.5), 5, 7)
    assert a.levels == (0,)  # all equal: the narrower level, the first operation
    assert a.cells[0].operations() == ("conv3", "conv3")
