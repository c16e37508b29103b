"""R1 changes operations only, R2 sources only, and nothing they give is invalid."""

import collections

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hinas_jax.architecture import Architecture, ArchitectureError, CellArchitecture, Edge
from hinas_jax.space.decode import decode
from hinas_jax.space.one_hot import one_hot
from hinas_jax.space.perturbation import (
    CONVOLUTIONS,
    changed_edges,
    replace_connections,
    replace_operations,
    widths_of_one_level,
    widths_rising,
)
from hinas_jax.space.sampling import random_architecture
from hinas_jax.space.search_space import SearchSpace

DENOISE = {"task": "denoise", "channels": 1, "scale": 1}
SEEDS = st.integers(0, 2**32 - 1)


def sources(architecture):
    return [[[edge.source for edge in edges] for edges in cell.nodes] for cell in architecture.cells]


def operations(architecture):
    """The operations of each node, whatever their order."""
    return [[collections.Counter(e.operation for e in edges) for edges in cell.nodes] for cell in architecture.cells]


def drawn(seed, space):
    rng = np.random.default_rng(seed)
    return rng, random_architecture(rng, space, **DENOISE)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 9))
def test_r1_changes_convolutions_into_other_convolutions_and_nothing_else(seed, layers, nodes, changes):
    space = SearchSpace(layers=layers, nodes=nodes)
    rng, architecture = drawn(seed, space)
    convolutions = [sum(name in CONVOLUTIONS for name in cell.operations()) for cell in architecture.cells]
    assume(any(convolutions))
    after = replace_operations(rng, architecture, changes)
    assert sources(after) == sources(architecture)
    assert after.levels == architecture.levels
    pairs = [
        list(zip(cell.operations(), other.operations(), strict=True))
        for cell, other in zip(architecture.cells, after.cells, strict=True)
    ]
    different = [[pair for pair in cell if pair[0] != pair[1]] for cell in pairs]
    assert [len(cell) for cell in different] == [min(changes, count) for count in convolutions]
    assert all({old, new} <= set(CONVOLUTIONS) for cell in different for old, new in cell)
    assert len(changed_edges(architecture, after)) == sum(map(len, different))
    assert decode(one_hot(after, space), space, **DENOISE) == after


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 3), st.integers(2, 4), st.integers(1, 9))
def test_r2_changes_sources_and_nothing_else(seed, layers, nodes, changes):
    space = SearchSpace(layers=layers, nodes=nodes)
    rng, architecture = drawn(seed, space)
    after = replace_connections(rng, architecture, changes)
    assert operations(after) == operations(architecture)
    assert after.levels == architecture.levels
    for before_cell, after_cell in zip(sources(architecture), sources(after), strict=True):
        moved = [len(set(new) - set(old)) for old, new in zip(before_cell, after_cell, strict=True)]
        assert moved[0] == 0
        assert max(moved) == 1
        assert sum(moved) == min(changes, nodes - 1)
    assert decode(one_hot(after, space), space, **DENOISE) == after


def test_draws_differ_and_repeat():
    _, architecture = drawn(0, SearchSpace())
    for change in (replace_operations, replace_connections):
        several = [change(np.random.default_rng(seed), architecture) for seed in range(20)]
        assert len(set(several)) > 15
        assert change(np.random.default_rng(3), architecture) == several[3]


def one_node(operation):
    cell = CellArchitecture(((Edge(0, operation), Edge(1, "skip")),))
    return Architecture(cells=(cell,), levels=(0,), base_width=4, width_factors=(1,))


def test_where_nothing_can_change_it_says_so():
    rng = np.random.default_rng(0)
    with pytest.raises(ArchitectureError, match="no convolution to replace"):
        replace_operations(rng, one_node("skip"))
    with pytest.raises(ArchitectureError, match="no node that could take another source"):
        replace_connections(rng, one_node("conv3"))
    for widths in (widths_of_one_level, widths_rising):
        with pytest.raises(ArchitectureError, match="one width only"):
            widths(one_node("conv3"))


def test_the_widths_of_table_3_are_the_papers():
    _, architecture = drawn(0, SearchSpace(layers=3, base_width=10, width_factors=(1, 2, 4)))
    trained = architecture.scaled(2)
    assert widths_of_one_level(trained).widths == (40, 40, 40)
    assert widths_rising(trained).widths == (20, 40, 80)
    assert widths_rising(trained).cells == architecture.cells


def test_changed_edges_names_layer_node_and_source():
    before = one_node("conv3")
    assert changed_edges(before, before) == frozenset()
    after = one_node("sep5")
    assert changed_edges(before, after) == {(0, 0, 0)}
