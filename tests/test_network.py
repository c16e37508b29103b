"""The network that an architecture describes: its sizes, what feeds what, and how far it sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import picture, quick_jit, random_variables

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.space.network import Network, receptive_radius
from hinas_jax.space.parts import pixel_shuffle


def cell(*nodes):
    return CellArchitecture(tuple(tuple(Edge(*edge) for edge in edges) for edges in nodes))


def architecture(*cells, **keywords):
    levels = (0, 1, 1)[: len(cells)]
    narrow = {"base_width": 2, "width_factors": (1, 1.5), "start_width": 2, "end_width": 2}
    return Architecture(cells, levels, **(narrow | keywords))


#: Layer 0 adds sep3 (2) to the start's 2; layer 1 adds sep5 (4), or dil5 and dil3 to the start's; the end adds 2.
WIDE = architecture(
    cell([(0, "sep3"), (1, "skip")], [(1, "conv3"), (2, "skip")]),
    cell([(0, "conv3"), (1, "dil5")], [(0, "sep5"), (2, "dil3")]),
)
#: The last cell takes h_{l-2} only, which is the start: what layer 0 sees (dil5, 4) does not matter.
PAST = architecture(cell([(0, "dil5")]), cell([(1, "dil3")]), task="super_resolve", scale=2, channels=3, residual=False)


@pytest.mark.parametrize(("found", "radius"), [(WIDE, 2 + 2 + 4 + 2), (PAST, 2 + 2 + 2)])
def test_an_output_pixel_sees_as_far_as_the_receptive_radius_and_no_farther(found, radius):
    assert receptive_radius(found) == radius
    side, centre = 2 * radius + 3, radius + 1
    x = picture(1, side, side, found.channels)
    net = Network(found)
    variables = random_variables(net, x, train=False)

    def pixel(x):
        at = centre * found.scale + found.scale // 2
        return net.apply(variables, x, train=False)[0, at, at, 0]

    seen = np.abs(quick_jit(jax.grad(pixel))(x)).sum((0, 3)) > 0
    rows, columns = np.nonzero(seen)
    assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == (centre - radius, centre + radius)


@pytest.mark.parametrize("form", ["plain", "apart"])
def test_every_form_computes_the_same_value_and_gradients(form):
    x = picture(2, 11, 9, 1)
    variables = random_variables(Network(WIDE), x, train=False)

    def run(form):
        def loss(params):
            given = {**variables, "params": params}
            residual, _ = Network(WIDE, form=form).apply(given, x, train=True, mutable=["batch_stats"])
            return (residual**2).mean()

        return quick_jit(jax.value_and_grad(loss))(variables["params"])

    (value, gradients), (expected, expected_gradients) = run(form), run("composed")
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected_gradients))
    for one, other in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected_gradients), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize(("task", "scale"), [("denoise", 1), *(("super_resolve", s) for s in (2, 3, 4))])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_residual_is_scale_times_as_large_as_the_input(task, scale, channels):
    net = Network(architecture(cell([(0, "conv3")]), task=task, scale=scale, channels=channels))
    x = jax.ShapeDtypeStruct((2, 5, 6, channels), jnp.float32)
    y, _ = jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, train=False), x)
    assert (y.shape, y.dtype) == ((2, 5 * scale, 6 * scale, channels), jnp.float32)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixel_shuffle_moves_channels_to_their_places(scale, channels):
    x = picture(2, 3, 4, channels * scale**2)
    expected = np.empty((2, 3 * scale, 4 * scale, channels), np.float32)
    for row, column, i, j, c in np.ndindex(3, 4, scale, scale, channels):
        expected[:, row * scale + i, column * scale + j, c] = x[:, row, column, (i * scale + j) * channels + c]
    np.testing.assert_array_equal(pixel_shuffle(x, scale), expected)


def test_an_input_that_no_node_takes_has_no_router():
    found = architecture(cell([(0, "skip")]), cell([(1, "skip")]), cell([(0, "skip"), (1, "skip")]))
    names = random_variables(Network(found), picture(1, 8, 8, 1), train=False)["params"].keys()
    assert names == {"start", "router_0", "skip_router_1", "router_2", "skip_router_2", "end"}


@pytest.mark.parametrize(("source", "blind"), [(0, {"cell_0", "router_0"}), (1, {"cell_1", "skip_router_1"})])
def test_a_layer_takes_the_outputs_of_the_two_layers_before_it(source, blind):
    """By gradient. Layer 1 takes h_{l-2}, the start; layer 2 takes one of layers 1 and 0, and not the other."""
    net = Network(architecture(cell([(0, "conv3")]), cell([(1, "conv3")]), cell([(source, "conv3")])))
    x = picture(2, 8, 8, 1)
    variables = random_variables(net, x, train=False)

    def energy(params):
        return jnp.sum(net.apply({**variables, "params": params}, x, train=False) ** 2)

    gradient = quick_jit(jax.grad(energy))(variables["params"])
    assert {name for name, tree in gradient.items() if not any(map(np.any, jax.tree.leaves(tree)))} == blind
