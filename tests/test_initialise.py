"""Fresh variables: the distribution that module.init draws from, in one draw."""

import math

import jax
import numpy as np
import pytest
from tiny import picture, quick_jit

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.space.initialise import initialise
from hinas_jax.space.network import Network
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.space.supernet import SuperNet

NETWORK = Network(
    Architecture(
        cells=(CellArchitecture(((Edge(0, "sep5"), Edge(1, "dil5")), (Edge(0, "conv3"), Edge(2, "sep3")))),),
        levels=(0,),
        base_width=16,
        width_factors=(1,),
        channels=3,
        start_width=16,
        end_width=16,
    )
)


def kernels(variables):
    """All kernels that start random, by path, times the square root of their fan-in, which makes the variance 1."""
    leaves = jax.tree.leaves_with_path(variables["params"])
    scaled = {
        "/".join(part.key for part in path): np.asarray(leaf) * math.sqrt(math.prod(leaf.shape[-4:-1]))
        for path, leaf in leaves
        if leaf.ndim >= 4
    }
    assert not scaled.pop("end/residual/kernel").any()  # f_net starts as f_skip
    return scaled


@pytest.fixture(scope="module")
def ours():
    return initialise(NETWORK, jax.random.key(0), 3)


@pytest.fixture(scope="module")
def theirs():
    x = picture(1, 9, 12, 3)
    return quick_jit(lambda key: NETWORK.init(key, x, train=False))(jax.random.key(1))


def test_tree_shapes_and_types_are_those_of_module_init(ours, theirs):
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), ours) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), theirs
    )


def test_kernels_are_uniform_with_variance_one_over_fan_in_as_those_of_module_init(ours, theirs):
    for name, draw in (kernels(ours) | {f"init/{k}": v for k, v in kernels(theirs).items()}).items():
        error = 5 / math.sqrt(draw.size)  # five standard errors or more, of each statistic
        assert np.abs(draw).max() <= math.sqrt(3) * (1 + 1e-6), name
        assert abs(draw.mean()) < error, name
        assert abs(draw.var() - 1) < error, name
        assert abs((draw**4).mean() - 9 / 5) < 2 * error, name  # a normal draw has 3


def test_all_other_leaves_equal_those_of_module_init(ours, theirs):
    others = [
        (mine, other)
        for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
        if mine.ndim < 4
    ]
    assert len(others) > 20
    for mine, other in others:
        np.testing.assert_array_equal(mine, other)


def test_no_part_of_the_draw_is_used_twice(ours):
    ends = np.concatenate([kernel.ravel()[[0, -1]] for kernel in kernels(ours).values()])
    assert len(np.unique(np.round(ends, 5))) == len(ends)
    for kernel in kernels(ours).values():
        assert len(np.unique(kernel)) > 0.99 * kernel.size


def test_the_key_alone_decides(ours):
    again, other = (initialise(NETWORK, jax.random.key(seed), 3) for seed in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, ours, again)
    mine, changed = kernels(ours), kernels(other)
    assert not any(np.array_equal(mine[name], changed[name]) for name in mine)


def test_a_supernet_starts_with_all_choices_equal():
    space = SearchSpace(layers=1, nodes=1, base_width=2, width_factors=(1,), start_width=2, end_width=2)
    variables = initialise(SuperNet(space), jax.random.key(0), 1)
    assert variables["arch"].keys() == {"alpha", "beta"}
    assert not any(leaf.any() for leaf in variables["arch"].values())
