"""Batch normalisation as coefficients against flax.linen's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from tiny import picture, quick_jit, random_variables

from hinas_jax.space.normalisation import EPSILON, MOMENTUM, BatchNorm


def features(dtype="float32"):
    return jnp.asarray(3 * picture(4, 6, 5, 2, 3) - 1, dtype)


def ours(affine, train):
    norm = BatchNorm(affine)

    def run(variables, y):
        coefficients, moved = norm.apply(variables, y, train=train, mutable=["batch_stats"])
        return coefficients.apply(y), moved

    return norm, run


def flaxs(affine, train):
    norm = nn.BatchNorm(
        use_running_average=not train, momentum=MOMENTUM, epsilon=EPSILON, axis=(-2, -1), use_bias=affine,
        use_scale=affine,
    )  # fmt: skip
    return lambda variables, y: norm.apply(variables, y, mutable=["batch_stats"])


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_result_statistics_and_gradients_are_flaxs(affine, train):
    y, weights = features(), picture(4, 6, 5, 2, 3, seed=1) - 0.5
    norm, run = ours(affine, train)
    variables = random_variables(norm, y, train=train)

    def loss(run):
        def weighted(variables, y):
            result, moved = run(variables, y)
            return (result * weights).sum(), (result, moved)

        return quick_jit(jax.grad(weighted, argnums=(0, 1), has_aux=True))(variables, y)

    # the gradients by the running statistics are compared too
    found, expected = loss(run), loss(flaxs(affine, train))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_weight_goes_into_the_coefficients():
    y, weight = features(), jnp.asarray([[0.25], [-2.0]])
    norm, _ = ours(True, False)
    coefficients = norm.apply(random_variables(norm, y, train=False), y, train=False)
    expected = coefficients.apply(y) * weight
    np.testing.assert_allclose(coefficients.weighted(weight).apply(y), expected, rtol=1e-5, atol=1e-5)


def test_features_of_bfloat16_are_normalised_in_float32_and_keep_their_type():
    y = features("bfloat16")
    norm, run = ours(False, True)
    variables = norm.init(jax.random.key(0), y, train=True)
    result, moved = run(variables, y)
    assert result.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(moved)} == {jnp.dtype("float32")}
    wide = np.float64(y)
    mean, deviation = wide.mean((0, 1, 2)), np.sqrt(wide.var((0, 1, 2)) + EPSILON)
    np.testing.assert_allclose(np.float64(result), (wide - mean) / deviation, rtol=2**-8, atol=1e-6)
    np.testing.assert_allclose(moved["batch_stats"]["mean"], (1 - MOMENTUM) * mean, rtol=1e-5)


def test_making_the_variables_does_not_move_the_statistics():
    variables = BatchNorm(False).init(jax.random.key(0), features(), train=True)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros((2, 3)))
    np.testing.assert_array_equal(variables["batch_stats"]["var"], np.ones((2, 3)))


def test_a_constant_feature_has_no_negative_variance():
    y = jnp.broadcast_to(jnp.linspace(50, 150, 64)[:, None], (4, 6, 5, 64, 1))
    by_rounding = jnp.mean(y * y, (0, 1, 2)) - jnp.mean(y, (0, 1, 2)) ** 2
    assert float(by_rounding.min()) < 0
    norm, run = ours(False, True)
    _, moved = run(norm.init(jax.random.key(0), y, train=True), y)
    assert float(moved["batch_stats"]["var"].min()) >= np.float32(MOMENTUM)
