"""The steps of a search, and a network, lower for GPU and TPU on a machine that has neither."""

import jax
import jax.export
import jax.numpy as jnp
import pytest
from tiny import picture

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.config import Config, SearchConfig, TaskConfig
from hinas_jax.searching import make_searcher
from hinas_jax.space.initialise import variable_shapes
from hinas_jax.space.network import Network
from hinas_jax.space.search_space import SearchSpace

PLATFORMS = ("cuda", "tpu")
SPACE = SearchSpace(layers=2, nodes=1, base_width=2, width_factors=(1, 2), start_width=2, end_width=2)


def lower(function, *arguments):
    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS
    return exported


@pytest.mark.parametrize(
    ("step", "task"),
    [("weight_step", TaskConfig()), ("arch_step", TaskConfig("super_resolve", scale=2, channels=3))],
)
def test_the_steps_of_a_search_lower(step, task):
    searcher = make_searcher(Config(task=task, space=SPACE, search=SearchConfig(patch=12)), 5)
    state = jax.eval_shape(searcher.init, jax.random.key(0))
    degraded = picture(2, 12, 12, task.channels)
    clean = picture(2, 12 * task.scale, 12 * task.scale, task.channels)
    exported = lower(getattr(searcher, step), state, degraded, clean)
    state_avals = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)]
    assert [(aval.shape, aval.dtype) for aval in exported.out_avals] == [*state_avals, ((), jnp.float32)]


def test_a_network_lowers():
    cells = tuple(
        CellArchitecture(((Edge(0, name), Edge(1, other)),))
        for name, other in zip(("conv3", "sep3", "skip"), ("dil3", "sep5", "dil5"), strict=True)
    )
    network = Network(Architecture(cells, (0, 1, 1), 2, (1, 2), "super_resolve", 3, 3, start_width=2, end_width=2))
    x = picture(1, 8, 9, 3)
    exported = lower(lambda v, x: network.apply(v, x, train=False), variable_shapes(network, 3), x)
    assert exported.out_avals[0].shape == (1, 24, 27, 3)
