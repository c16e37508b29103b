"""The supernet: what exists once and what three times, Eqs. 5 and 6 by hand, what alpha and beta reach."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import picture, quick_jit, random_variables

from hinas_jax.compiling import compiler_options
from hinas_jax.space.cell import SuperCell
from hinas_jax.space.inherit import edge_by_edge
from hinas_jax.space.initialise import variable_shapes
from hinas_jax.space.parts import End, Router, Start
from hinas_jax.space.relaxation import operation_weights, possible_moves
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.space.supernet import SuperNet

PAPER = SearchSpace(layers=3, nodes=2, base_width=2, width_factors=(1, 2, 4), start_width=3, end_width=5)
#: Two layers of two levels, one node: small enough to write out.
SMALL = SearchSpace(layers=2, nodes=1, base_width=2, width_factors=(1, 1.5), start_width=3, end_width=3)
X = picture(2, 8, 9, 1)


@functools.cache
def shapes(space):
    return variable_shapes(SuperNet(space), 1)


@functools.cache
def residual_of(net):
    """A compiled function of the variables."""
    return quick_jit(lambda variables: net.apply(variables, X, train=False))


def widths_into(name, space=PAPER):
    """Input and output channels of a router."""
    return shapes(space)["params"][name]["conv"]["kernel"].shape[-2:]


@pytest.mark.parametrize("sharing", [True, False])
def test_with_cell_sharing_a_cell_exists_once_and_without_it_once_for_each_incoming_level(sharing):
    space = dataclasses.replace(PAPER, cell_sharing=sharing)
    incoming = {(0, 0): 1, (0, 1): 1, (1, 0): 2, (1, 1): 2, (1, 2): 1, (2, 0): 2, (2, 1): 3, (2, 2): 2}
    cells = {name: tree for name, tree in shapes(space)["params"].items() if name.startswith("cell_")}
    for (layer, level), sources in incoming.items():
        width = (2, 4, 8)[level]
        h = picture(1, 8, 8, width)
        one = random_variables(SuperCell(2), h, h, jnp.zeros((5, 7)), train=False)["params"]
        found = [tree for name, tree in cells.items() if name.startswith(f"cell_{layer}_{level}")]
        assert len(found) == (1 if sharing else sources)
        for tree in found:
            assert jax.tree.map(jnp.shape, one) == jax.tree.map(lambda leaf: leaf.shape, tree)
    assert len(cells) == (8 if sharing else 14)


@pytest.mark.parametrize(("layerwise", "sets"), [(True, 3), (False, 1)])
def test_alpha_has_one_set_a_layer_with_lwas_and_one_in_all_without(layerwise, sets):
    variables = shapes(dataclasses.replace(PAPER, layerwise=layerwise))
    assert {name: leaf.shape for name, leaf in variables["arch"].items()} == {
        "alpha": (sets, 5, 7),
        "beta": (3, 3, 3),
    }


def test_only_the_collection_arch_holds_alpha_and_beta():
    variables = shapes(PAPER)
    assert variables.keys() == {"params", "arch", "batch_stats"}
    for collection in ("params", "batch_stats"):
        leaves = jax.tree.leaves_with_path(variables[collection])
        assert not {"alpha", "beta"} & {part.key for path, _ in leaves for part in path}


def test_routers_take_each_level_of_the_layer_before_and_the_own_level_of_two_layers_before():
    nodes, widths = 2, (2, 4, 8)
    routers = [name for name in shapes(PAPER)["params"] if name.startswith("router_")]
    assert len(routers) == 1 + 1 + 2 + 2 + 1 + 2 + 3 + 2
    assert widths_into("router_0_1_from_0") == (3, 4)  # from the start
    assert widths_into("router_2_1_from_0") == (nodes * 2, 4)
    assert widths_into("router_2_1_from_2") == (nodes * 8, 4)
    for level in range(3):
        if level < 2:
            assert widths_into(f"skip_router_0_{level}") == (3, widths[level])
        assert widths_into(f"skip_router_1_{level}") == (3, widths[level])
    assert widths_into("skip_router_2_0") == (nodes * 2, 2)
    assert widths_into("skip_router_2_1") == (nodes * 4, 4)
    assert widths_into("skip_router_2_2") == (nodes * 4, 8)  # layer 0 has no level 2: the nearest


@pytest.mark.parametrize(("channels", "scale"), [(1, 1), (3, 1), (1, 2), (3, 3), (3, 4)])
def test_the_residual_is_scale_times_as_large_as_the_input(channels, scale):
    net = SuperNet(SMALL, channels, scale)
    x = jax.ShapeDtypeStruct((2, 5, 6, channels), jnp.float32)
    y, _ = jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, train=False), x)
    assert (y.shape, y.dtype) == ((2, 5 * scale, 6 * scale, channels), jnp.float32)


@pytest.mark.parametrize("factors", [(1,), (1, 1.5, 2, 2.5)])
def test_the_end_sees_all_levels_of_the_last_layer(factors):
    space = dataclasses.replace(SMALL, layers=3, width_factors=factors)
    kernel = shapes(space)["params"]["end"]["conv_0"]["kernel"]
    assert kernel.shape[2] == {1: 2, 4: 2 + 3 + 4 + 5}[len(factors)]


def softmax(*logits):
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.parametrize("sharing", [True, False])
def test_two_layers_written_out(sharing):
    """Eq. 5 (features are mixed, then go through one cell) and Eq. 6 (own cells, whose outputs are mixed)."""
    net = SuperNet(dataclasses.replace(SMALL, cell_sharing=sharing))
    variables = random_variables(net, X, train=False)
    beta = np.asarray(variables["arch"]["beta"])
    stay_0, wider_0 = softmax(*beta[0, 0, 1:])
    stay_1, wider_1 = softmax(*beta[1, 0, 1:])
    narrower_2, stay_2 = softmax(*beta[1, 1, :2])

    def by_hand(variables):
        alpha = operation_weights(variables["arch"]["alpha"])

        def part(module, name, *arguments, **keywords):
            own = {c: variables[c][name] for c in ("params", "batch_stats") if name in variables[c]}
            return module.apply(own, *arguments, **keywords)

        def level(layer, level, width, weighted, h2):
            at = f"{layer}_{level}"
            route = functools.partial(part, Router(width), train=False)
            cell = functools.partial(part, SuperCell(1), train=False)
            f2 = route(f"skip_router_{at}", h2)
            features = {k: route(f"router_{at}_from_{k}", h) for k, (_, h) in weighted.items()}
            if sharing:
                mixed = sum(weight * features[k] for k, (weight, _) in weighted.items())
                return cell(f"cell_{at}", mixed, f2, alpha[layer])
            return sum(
                weight * cell(f"cell_{at}_from_{k}", features[k], f2, alpha[layer])
                for k, (weight, _) in weighted.items()
            )

        start = part(Start(3), "start", X)
        h_0_0 = level(0, 0, 2, {0: (stay_0, start)}, start)
        h_0_1 = level(0, 1, 3, {0: (wider_0, start)}, start)
        h_1_0 = level(1, 0, 2, {0: (stay_1, h_0_0), 1: (narrower_2, h_0_1)}, start)
        h_1_1 = level(1, 1, 3, {0: (wider_1, h_0_0), 1: (stay_2, h_0_1)}, start)
        return part(End(3, 1, 1), "end", jnp.concatenate([h_1_0, h_1_1], axis=-1))

    result = residual_of(net)(variables)
    np.testing.assert_allclose(result, quick_jit(by_hand)(variables), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("path", [(0, 0), (1, 1)])
def test_eq_5_equals_eq_6_where_one_incoming_level_has_all_the_weight(path):
    shared, separate = SuperNet(SMALL), SuperNet(dataclasses.replace(SMALL, cell_sharing=False))
    variables = random_variables(shared, X, train=False)
    variables["arch"]["beta"] = jnp.zeros((2, 2, 3)).at[0, 0, path[0] + 1].set(1e3).at[1, :, 1].set(1e3)
    of_own = random_variables(separate, X, train=False)
    for collection in ("params", "batch_stats"):
        for name in of_own[collection]:
            kin = name.split("_from_")[0] if name.startswith("cell_") else name
            of_own[collection][name] = variables[collection][kin]
    # the level that no weight reaches: Eq. 5 gives its cell a zero, Eq. 6 gives a zero
    unreached = slice(2, 5) if path[-1] == 0 else slice(0, 2)
    end = variables["params"]["end"]["conv_0"]
    end["kernel"] = end["kernel"].at[:, :, unreached].set(0)
    of_own["arch"] = variables["arch"]

    eq_5, eq_6 = residual_of(shared)(variables), residual_of(separate)(of_own)
    np.testing.assert_allclose(eq_5, eq_6, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def energy_and_gradient():
    """A scalar of a supernet of three levels, and its gradient by alpha and beta."""
    space = dataclasses.replace(SMALL, width_factors=(1, 1.5, 2))
    net = SuperNet(space)
    variables = random_variables(net, X, train=False)

    def energy(arch):
        return jnp.mean(net.apply({**variables, "arch": arch}, X, train=False) ** 2)

    return space, variables["arch"], quick_jit(jax.value_and_grad(energy))


def test_every_possible_choice_has_a_gradient_and_an_impossible_move_has_none(energy_and_gradient):
    space, arch, function = energy_and_gradient
    _, gradient = function(arch)
    possible = possible_moves(space)
    assert np.asarray(gradient["alpha"]).all()
    assert np.asarray(gradient["beta"])[possible].all()
    assert not np.asarray(gradient["beta"])[~possible].any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_beta_of_an_impossible_move_changes_nothing(energy_and_gradient):
    space, arch, function = energy_and_gradient
    noise = np.random.default_rng(0).normal(0, 100, arch["beta"].shape).astype(np.float32)
    other = {**arch, "beta": jnp.where(possible_moves(space), arch["beta"], noise)}
    jax.tree.map(np.testing.assert_array_equal, function(arch), function(other))


def test_without_lwas_all_layers_use_one_alpha_and_their_gradients_add_up():
    layerwise, common = SuperNet(SMALL), SuperNet(dataclasses.replace(SMALL, layerwise=False))
    variables = random_variables(common, X, train=False)
    beta, alpha = variables["arch"]["beta"], variables["arch"]["alpha"]

    def energy(net, alpha):
        return jnp.mean(net.apply({**variables, "arch": {"alpha": alpha, "beta": beta}}, X, train=False) ** 2)

    value, gradient = quick_jit(jax.value_and_grad(lambda a: energy(common, a)))(alpha)
    twice = jnp.repeat(alpha, 2, axis=0)
    same, gradients = quick_jit(jax.value_and_grad(lambda a: energy(layerwise, a)))(twice)
    np.testing.assert_allclose(value, same, rtol=1e-4)
    total, least = gradients.sum(0, keepdims=True), 1e-5 * abs(gradient).max()
    np.testing.assert_allclose(gradient, total, rtol=1e-3, atol=least)


# --- other ways to compute the same


def loss_and_gradients(net, variables, clean):
    """Of a loss by the batch's statistics: its value, its gradient in all leaves, and the moved statistics."""

    def loss(params, arch):
        given = {**variables, "params": params, "arch": arch}
        residual, moved = net.apply(given, X, train=True, mutable=["batch_stats"])
        return ((X + residual - clean) ** 2).mean(), moved["batch_stats"]

    (value, statistics), gradients = quick_jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(
        variables["params"], variables["arch"]
    )
    return value, statistics, gradients


@pytest.fixture(scope="module")
def reference():
    """A supernet of one layer of two nodes, random variables, and what the stacked form makes of them."""
    net = SuperNet(dataclasses.replace(SMALL, layers=1, nodes=2))
    variables = random_variables(net, X, train=False)
    clean = picture(*X.shape, seed=1)
    return net, variables, clean, loss_and_gradients(net, variables, clean)


def assert_close(one, other, tolerance):
    """Every number to ``tolerance`` of the largest in the tree: some gradients are zero but for rounding."""
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(other))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * largest), one, other)


def test_the_plain_form_computes_the_same_value_and_gradients(reference):
    """One convolution an edge and operation, depthwise and pointwise apart, against the stacked and composed form."""
    net, variables, clean, (value, statistics, (params, arch)) = reference
    plain = net.clone(plain=True)
    given = {"params": edge_by_edge(variables["params"], 2), "batch_stats": edge_by_edge(variables["batch_stats"], 2)}
    assert jax.tree.structure(variable_shapes(plain, 1)["params"]) == jax.tree.structure(given["params"])
    result = loss_and_gradients(plain, {**given, "arch": variables["arch"]}, clean)
    np.testing.assert_allclose(result[0], value, rtol=1e-5)
    assert_close(result[1], edge_by_edge(statistics, 2), 1e-5)
    assert_close(result[2][0], edge_by_edge(params, 2), 1e-5)
    assert_close(result[2][1], arch, 1e-5)


@pytest.mark.parametrize("remat", ["cell", "operation"])
def test_recomputing_changes_no_value_and_no_gradient(reference, remat):
    net, variables, clean, expected = reference
    result = loss_and_gradients(net.clone(remat=remat), variables, clean)
    np.testing.assert_allclose(result[0], expected[0], rtol=1e-6)
    assert_close(result[1:], expected[1:], 1e-5)


@pytest.mark.parametrize("collection", ["params", "arch"])
@pytest.mark.parametrize("remat", ["cell", "operation"])
def test_recomputing_keeps_less_for_the_gradient(reference, remat, collection):
    net, variables, *_ = reference

    def kept(net):
        def residual(given):
            return net.apply({**variables, collection: given}, X, train=True, mutable=["batch_stats"])[0]

        pullback = jax.eval_shape(lambda given: jax.vjp(residual, given)[1], variables[collection])
        return sum(leaf.size for leaf in jax.tree.leaves(pullback))

    assert kept(net.clone(remat=remat)) < 0.6 * kept(net)


def test_a_compiled_gradient_takes_less_memory_when_cells_are_recomputed():
    """That less is kept is not enough: XLA must not compute it early, either."""
    net, x = SuperNet(SMALL), picture(2, 32, 32, 1)
    variables = random_variables(net, X, train=False)

    def temporaries(net):
        def loss(params):
            return net.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])[0].sum()

        compiled = jax.jit(jax.grad(loss)).lower(variables["params"]).compile(compiler_options())
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(net.clone(remat="cell")) < 0.7 * temporaries(net)


def test_in_bfloat16_features_are_rounded_and_all_else_is_float32(reference):
    net, variables, clean, (value, statistics, _) = reference
    half = net.clone(precision="bfloat16")
    shapes = jax.eval_shape(lambda: half.init(jax.random.key(0), X, train=False))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(shapes)} == {"float32"}
    result = loss_and_gradients(half, variables, clean)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(result)} == {"float32"}
    np.testing.assert_allclose(result[0], value, rtol=2e-2)
    assert_close(result[1], statistics, 5e-2)
    assert abs(float(result[0] - value)) > 1e-6  # it did round
    lowered = jax.jit(lambda v: half.apply(v, X, train=False)).lower(variables).as_text()
    convolutions = [line for line in lowered.splitlines() if "stablehlo.convolution" in line]
    assert len(convolutions) > 20
    assert all("xbf16>, tensor" in line for line in convolutions)
