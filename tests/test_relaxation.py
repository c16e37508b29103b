"""The softmax weights of operations and of moves between width levels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from hinas_jax.space.relaxation import entropy, operation_weights, possible_moves, transitions
from hinas_jax.space.search_space import SearchSpace

#: Moves (narrower, same, wider) from levels 0, 1, 2 into each of three layers; layer 0 holds two levels.
POSSIBLE = [
    [[0, 1, 1], [0, 0, 0], [0, 0, 0]],
    [[0, 1, 1], [1, 1, 1], [0, 0, 0]],
    [[0, 1, 1], [1, 1, 1], [1, 1, 0]],
]
SPACES = [
    SearchSpace(layers=3),
    SearchSpace(layers=2, width_factors=(1,)),
    SearchSpace(layers=4, width_factors=(1, 2)),
    SearchSpace(layers=5, width_factors=(1, 2, 3, 4)),
]


def random_beta(space, spread=1.0):
    shape = (space.layers, len(space.width_factors), 3)
    return np.random.default_rng(0).normal(0, spread, shape).astype(np.float32)


def test_possible_moves_of_the_papers_space():
    np.testing.assert_array_equal(possible_moves(SearchSpace(layers=3)), np.array(POSSIBLE, bool))


@pytest.mark.parametrize("space", SPACES)
def test_transitions_are_a_softmax_over_the_possible_moves_of_each_source(space):
    beta, possible = random_beta(space), possible_moves(space)
    result = np.asarray(transitions(beta, space))
    exponentials = np.where(possible, np.exp(beta), 0)
    sums = exponentials.sum(-1, keepdims=True)
    np.testing.assert_allclose(result, exponentials / np.where(sums, sums, 1), rtol=1e-5)
    assert not result[~possible].any()
    for layer in range(space.layers):
        present = [level in space.levels(layer - 1) for level in range(len(space.width_factors))]
        np.testing.assert_allclose(result[layer].sum(-1), present, rtol=1e-6)


def test_an_impossible_move_has_no_weight_however_small_the_others_are():
    beta = np.full((3, 3, 3), -1e6, np.float32)
    moves = np.sum(POSSIBLE, axis=-1, keepdims=True)
    np.testing.assert_allclose(transitions(beta, SPACES[0]), POSSIBLE / np.maximum(moves, 1), rtol=1e-6)


@pytest.mark.parametrize("spread", [1, 1e3, 1e6])
def test_transitions_have_a_finite_gradient_that_is_zero_for_impossible_moves(spread):
    space = SPACES[0]
    target = random_beta(space)[::-1]
    gradient = jax.grad(lambda beta: jnp.sum(transitions(beta, space) * target))(random_beta(space, spread))
    assert np.isfinite(gradient).all()
    assert not gradient[~possible_moves(space)].any()
    if spread == 1:
        assert gradient[possible_moves(space)].all()


def test_operation_weights_are_a_softmax_over_all_seven_operations():
    alpha = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    expected = np.exp(alpha) / np.exp(alpha).sum(-1, keepdims=True)
    np.testing.assert_allclose(operation_weights(alpha), expected, rtol=1e-5)


def test_entropy_of_rows_with_and_without_impossible_choices():
    thirds = [1 / 3, 1 / 3, 1 / 3]
    rows = np.array([[0.2, 0.3, 0.5], [0, 0.25, 0.75], [0, 1, 0], thirds, [0, 0, 0]], np.float32)
    expected = [*scipy.stats.entropy(rows[:4], axis=-1), 0]
    np.testing.assert_allclose(entropy(rows), expected, rtol=1e-6)
    assert np.isfinite(jax.grad(lambda p: entropy(p).sum())(rows)).all()


def test_the_papers_supernet_gains_one_level_a_layer_until_all_are_there():
    space = SearchSpace(layers=4, width_factors=(1, 2, 4))
    assert [len(space.levels(layer)) for layer in range(-2, 4)] == [1, 1, 2, 3, 3, 3]
    assert space.incoming(0, 0) == space.incoming(0, 1) == [0]
    assert [space.incoming(1, level) for level in range(3)] == [[0, 1], [0, 1], [1]]
    assert [space.incoming(2, level) for level in range(3)] == [[0, 1], [0, 1, 2], [1, 2]]
    assert [space.outgoing(1, source) for source in range(2)] == [[0, 1], [0, 1, 2]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layers", 0),
        ("layers", 65),
        ("nodes", 0),
        ("nodes", 17),
        ("base_width", 0),
        ("start_width", 0),
        ("end_width", -1),
        ("width_factors", ()),
        ("width_factors", (1, 0)),
        ("width_factors", (0.01,)),
    ],
)
def test_a_space_out_of_range_names_the_field(field, value):
    with pytest.raises(ValueError, match=field.rstrip("s")):
        SearchSpace(**{field: value})
