"""The folded network computes what the network computes, in fewer and smaller operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import picture, quick_jit, random_cell, random_variables

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.space.folded import apply_folded, fold
from hinas_jax.space.network import Network
from hinas_jax.space.search_space import SearchSpace


def space(start_width):
    return SearchSpace(layers=3, nodes=3, base_width=2, width_factors=(1, 2), start_width=start_width, end_width=3)


def example(seed, start_width, **keywords):
    rng = np.random.default_rng(seed)
    cells = [random_cell(rng, 3) for _ in range(3)]
    return space(start_width).architecture(cells, (0, 1, 1), **keywords)


def convolutions(function, *arguments):
    """The kernels' shapes in the traced program."""
    text = jax.jit(function).lower(*arguments).as_text()
    return [line for line in text.splitlines() if "stablehlo.convolution" in line]


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(
    ("seed", "start_width", "keywords"),
    [
        (0, 3, {}),  # three routers are wider than the start part: they stay
        (1, 64, {}),  # they are narrower: they merge
        (2, 64, {"task": "super_resolve", "scale": 2, "channels": 3}),
        (3, 3, {"task": "super_resolve", "scale": 3, "channels": 1}),
    ],
)
def test_a_folded_network_computes_what_the_network_computes(seed, start_width, keywords, apart):
    architecture = example(seed, start_width, **keywords)
    network = Network(architecture)
    x = picture(2, 13, 11, architecture.channels)
    variables = random_variables(network, x, train=False)
    weights = fold(architecture, variables)
    assert ("feature" in weights) == (start_width == 3)
    expected = quick_jit(lambda v, x: network.apply(v, x, train=False))(variables, x)
    result = quick_jit(lambda w, x: apply_folded(architecture, w, x, apart=apart))(weights, x)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * float(jnp.abs(expected).max()))


def test_every_operation_and_unused_inputs():
    """All six operations; the first cell takes no h_{l-2}, the last no h_{l-1}: nothing takes the second's output."""
    cells = (
        CellArchitecture(((Edge(0, "conv3"),), (Edge(0, "sep3"), Edge(2, "skip")))),
        CellArchitecture(((Edge(0, "sep5"), Edge(1, "dil3")), (Edge(1, "dil3"), Edge(2, "dil5")))),
        CellArchitecture(((Edge(1, "sep5"),), (Edge(1, "skip"), Edge(2, "conv3")))),
    )
    architecture = Architecture(cells, (0, 1, 1), 2, (1, 2), start_width=4, end_width=3)
    network = Network(architecture)
    x = picture(1, 9, 12, 1)
    variables = random_variables(network, x, train=False)
    expected = network.apply(variables, x, train=False)
    for apart in (True, False):
        result = apply_folded(architecture, fold(architecture, variables), x, apart=apart)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * float(jnp.abs(expected).max()))


def test_folding_leaves_no_normalisation_and_fewer_convolutions():
    architecture = example(0, 64)
    network = Network(architecture)
    x = picture(1, 16, 16, 1)
    variables = random_variables(network, x, train=False)
    unfolded = convolutions(lambda v, x: network.apply(v, x, train=False), variables, x)
    folded = convolutions(lambda w, x: apply_folded(architecture, w, x, apart=False), fold(architecture, variables), x)
    assert len(folded) < len(unfolded)
    text = (
        jax.jit(lambda w, x: apply_folded(architecture, w, x, apart=False))
        .lower(fold(architecture, variables), x)
        .as_text()
    )
    assert "rsqrt" not in text


def test_apart_takes_fewer_multiplications():
    architecture = example(4, 64)
    assert any("sep5" in cell.operations() for cell in architecture.cells)
    x = picture(1, 16, 16, 1)
    weights = fold(architecture, random_variables(Network(architecture), x, train=False))

    def flops(apart):
        compiled = quick_jit(lambda w, x: apply_folded(architecture, w, x, apart=apart)).lower(weights, x).compile()
        return compiled.cost_analysis()["flops"]

    assert flops(True) < flops(False)
