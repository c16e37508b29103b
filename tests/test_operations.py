"""The candidate operations against flax.linen's layers, and stacked edges against single ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from tiny import KEPT, picture, quick_jit, random_variables

from hinas_jax.architecture import OPERATIONS
from hinas_jax.space import operations
from hinas_jax.space.normalisation import MOMENTUM
from hinas_jax.space.operations import MixedOperations, Operation

WIDTH, EDGES = 4, 3
DENSE = {"conv3": (3, 1), "dil3": (3, 2), "dil5": (5, 2)}  # kernel size, dilation
SEPARABLE = {"sep3": 3, "sep5": 5}  # kernel size


@pytest.fixture(scope="module")
def x():
    return picture(2, 7, 9, WIDTH) - 0.5  # both sides of LeakyReLU


def apply(operation, variables, x, *, train=False):
    def run(variables, x):
        return operation.apply(variables, x, train=train, mutable=["batch_stats"])

    return quick_jit(run)(variables, x)


def leaky_relu(x):
    return np.where(x > 0, x, 0.2 * x)


def normalised(y, stats, edge):
    mean, var = stats["mean"][edge], stats["var"][edge]
    return (y - mean) / np.sqrt(var + 1e-5)


def test_the_operations_are_the_papers_seven_in_its_order():
    assert OPERATIONS == ("conv3", "sep3", "sep5", "dil3", "dil5", "skip", "none")


@pytest.mark.parametrize("kind", DENSE)
def test_dense_operations_are_leaky_relu_convolution_normalisation(kind, x):
    size, dilation = DENSE[kind]
    operation = Operation(kind, WIDTH, EDGES)
    variables = random_variables(operation, x, train=False)
    result, _ = apply(operation, variables, x)

    layer = nn.Conv(WIDTH, (size, size), kernel_dilation=dilation, use_bias=False)
    for e in range(EDGES):
        y = layer.apply({"params": {"kernel": variables["params"]["kernel_0"][e]}}, leaky_relu(x))
        expected = normalised(y, variables["batch_stats"]["norm_0"], e)
        np.testing.assert_allclose(result[..., e, :], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("form", "edges"), [("plain", 1), ("composed", 1), ("composed", EDGES), ("apart", 1)])
@pytest.mark.parametrize("kind", SEPARABLE)
def test_separable_operations_are_depthwise_then_pointwise_then_normalisation_twice(kind, edges, form, x):
    size = SEPARABLE[kind]
    operation = Operation(kind, WIDTH, edges, form=form)
    variables = random_variables(operation, x, train=False)
    result, _ = apply(operation, variables, x)

    depthwise = nn.Conv(WIDTH, (size, size), feature_group_count=WIDTH, use_bias=False)
    pointwise = nn.Conv(WIDTH, (1, 1), use_bias=False)
    for e in range(edges):
        y = x
        for turn in range(2):
            kernels = {name: variables["params"][f"{name}_{turn}"][e] for name in ("depthwise", "pointwise")}
            y = depthwise.apply({"params": {"kernel": kernels["depthwise"]}}, leaky_relu(y))
            y = pointwise.apply({"params": {"kernel": kernels["pointwise"]}}, y)
            y = normalised(y, variables["batch_stats"][f"norm_{turn}"], e)
        np.testing.assert_allclose(result[..., e, :], y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", KEPT)
def test_stacked_edges_equal_one_edge_after_the_other(kind, train, x):
    stacked, single = Operation(kind, WIDTH, EDGES), Operation(kind, WIDTH, 1)
    variables = random_variables(stacked, x, train=False)
    result, moved = apply(stacked, variables, x, train=train)
    assert result.shape == (2, 7, 9, EDGES, WIDTH)
    for e in range(EDGES):
        own = jax.tree.map(lambda leaf, e=e: leaf[e : e + 1], variables)
        expected, own_moved = apply(single, own, x, train=train)
        np.testing.assert_allclose(result[..., e, :], expected[..., 0, :], rtol=1e-4, atol=1e-5)
        for leaf, own_leaf in zip(jax.tree.leaves(moved), jax.tree.leaves(own_moved), strict=True):
            np.testing.assert_allclose(leaf[e], own_leaf[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["skip", "none"])
def test_skip_is_the_identity_and_none_is_zero_and_neither_has_weights(kind, x):
    operation = Operation(kind, WIDTH, EDGES, affine=True)
    assert random_variables(operation, x, train=True) == {}
    result = operation.apply({}, x, train=True)
    expected = x if kind == "skip" else np.zeros_like(x)
    np.testing.assert_array_equal(result, np.stack([expected] * EDGES, axis=-2))


def test_training_normalises_by_the_batch_and_moves_the_running_statistics(x):
    operation = Operation("conv3", WIDTH, EDGES)
    variables = random_variables(operation, x, train=False)
    result, moved = apply(operation, variables, x, train=True)
    np.testing.assert_allclose(result.mean((0, 1, 2)), np.zeros((EDGES, WIDTH)), atol=1e-5)
    np.testing.assert_allclose(result.var((0, 1, 2)), np.ones((EDGES, WIDTH)), rtol=1e-3)

    layer = nn.Conv(WIDTH, (3, 3), use_bias=False)
    old, new = variables["batch_stats"]["norm_0"], moved["batch_stats"]["norm_0"]
    assert MOMENTUM == 0.9
    for e in range(EDGES):
        y = layer.apply({"params": {"kernel": variables["params"]["kernel_0"][e]}}, leaky_relu(x))
        np.testing.assert_allclose(new["mean"][e], 0.9 * old["mean"][e] + 0.1 * y.mean((0, 1, 2)), rtol=1e-4)
        np.testing.assert_allclose(new["var"][e], 0.9 * old["var"][e] + 0.1 * y.var((0, 1, 2)), rtol=1e-4)


def test_evaluation_leaves_the_running_statistics(x):
    operation = Operation("sep3", WIDTH, EDGES)
    variables = random_variables(operation, x, train=False)
    _, moved = apply(operation, variables, x, train=False)
    jax.tree.map(np.testing.assert_array_equal, moved["batch_stats"], variables["batch_stats"])


def test_only_affine_normalisation_has_a_scale_and_a_bias(x):
    plain, affine = Operation("conv3", WIDTH, EDGES), Operation("conv3", WIDTH, EDGES, affine=True)
    variables = random_variables(affine, x, train=False)
    assert variables["params"]["norm_0"].keys() == {"scale", "bias"}
    params, norm = dict(variables["params"]), variables["params"]["norm_0"]
    del params["norm_0"]
    without = {**variables, "params": params}
    assert jax.tree.structure(random_variables(plain, x, train=False)) == jax.tree.structure(without)

    expected = apply(plain, without, x)[0] * norm["scale"] + norm["bias"]
    np.testing.assert_allclose(apply(affine, variables, x)[0], expected, rtol=1e-4, atol=1e-5)


def test_mixed_operations_are_the_weighted_sum_of_all_operations(x):
    """Eqs. 1 and 2; the weight of none takes part in nothing but the softmax before."""
    mixed = MixedOperations(EDGES)
    alpha = jnp.asarray(np.random.default_rng(1).dirichlet(np.ones(7), EDGES), jnp.float32)
    variables = random_variables(mixed, x, alpha, train=False)
    run = quick_jit(lambda variables, x, alpha: mixed.apply(variables, x, alpha, train=False))
    result = run(variables, x, alpha)

    expected = np.zeros(result.shape)
    for k, kind in enumerate(OPERATIONS):
        own = {name: tree[kind] for name, tree in variables.items() if kind in tree}
        expected += alpha[:, k, None] * apply(Operation(kind, WIDTH, EDGES), own, x)[0]
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(run(variables, x, alpha.at[:, 6].set(0.9)), result)


def test_conv3_and_the_first_half_of_sep3_are_one_convolution_for_all_edges(x):
    mixed, alpha = MixedOperations(EDGES), jnp.ones((EDGES, 7)) / 7
    variables = random_variables(mixed, x, alpha, train=False)
    lowered = jax.jit(lambda variables, x: mixed.apply(variables, x, alpha, train=False)).lower(variables, x)
    of_source, of_each_edge = 4, 2  # of 3 and 5 pixels, dense and dilated; the second halves of sep3 and sep5
    assert lowered.as_text().count("stablehlo.convolution") == of_source + of_each_edge * EDGES
    assert lowered.as_text().count("stablehlo.optimization_barrier") == 2  # the source, and the parts of that one


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_leaky_relu_and_its_gradient_are_flaxs(dtype):
    x = jnp.asarray([-3.0, -1e-3, -0.0, 0.0, 1e-3, 2.0], dtype)
    gradient = jnp.asarray([1.0, -2.0, 3.0, 4.0, 5.0, -6.0], dtype)
    found, pullback = jax.vjp(operations.leaky_relu, x)
    expected, plain = jax.vjp(lambda x: nn.leaky_relu(x, 0.2), x)
    for one, other in ((found, expected), (pullback(gradient)[0], plain(gradient)[0])):
        assert one.dtype == x.dtype
        np.testing.assert_array_equal(np.float32(one), np.float32(other))


def test_leaky_relu_keeps_its_result_for_the_gradient_and_nothing_else():
    x = jnp.asarray([-3.0, 2.0])
    found, pullback = jax.vjp(operations.leaky_relu, x)
    (kept,) = jax.tree.leaves(pullback)
    np.testing.assert_array_equal(kept, found)


def test_leaky_relu_has_a_gradient_of_its_gradient():
    """Second-order search differentiates a step of SGD."""

    def squared_slope(x):
        return jax.grad(lambda x: operations.leaky_relu(x) ** 2)(x)

    assert float(jax.grad(squared_slope)(-3.0)) == pytest.approx(2 * 0.2**2)
    assert float(jax.grad(squared_slope)(3.0)) == pytest.approx(2)
