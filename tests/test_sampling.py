"""Random architectures: always valid, and every one of a small space as likely as any other."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tiny import paths

from hinas_jax.space.decode import decode
from hinas_jax.space.one_hot import one_hot
from hinas_jax.space.sampling import architecture_count, random_architecture, random_path
from hinas_jax.space.search_space import SearchSpace

DENOISE = {"task": "denoise", "channels": 1, "scale": 1}


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_every_draw_is_what_a_search_could_have_found(seed, layers, nodes, levels, layerwise):
    space = SearchSpace(layers=layers, nodes=nodes, width_factors=(1, 2, 4)[:levels], layerwise=layerwise)
    architecture = random_architecture(np.random.default_rng(seed), space, **DENOISE)
    assert decode(one_hot(architecture, space), space, **DENOISE) == architecture
    assert len(set(architecture.cells)) == 1 or layerwise


def test_a_seed_gives_its_architecture_again():
    space = SearchSpace()
    first, again = (random_architecture(np.random.default_rng(7), space, **DENOISE) for _ in range(2))
    assert first == again != random_architecture(np.random.default_rng(8), space, **DENOISE)


def test_all_architectures_of_a_space_are_equally_likely():
    space = SearchSpace(layers=1, nodes=1, width_factors=(1, 2))
    assert architecture_count(space) == 2 * 6**2
    rng = np.random.default_rng(0)
    drawn = collections.Counter(random_architecture(rng, space, **DENOISE) for _ in range(7200))
    assert len(drawn) == 72
    assert stats.chisquare(list(drawn.values())).pvalue > 0.01


@pytest.mark.parametrize(("layers", "levels"), [(3, 3), (4, 3), (2, 2), (3, 1)])
def test_all_paths_are_equally_likely(layers, levels):
    space = SearchSpace(layers=layers, width_factors=(1, 2, 4)[:levels])
    rng, all_paths = np.random.default_rng(1), paths(space)
    drawn = collections.Counter(random_path(rng, space) for _ in range(100 * len(all_paths)))
    assert sorted(drawn) == sorted(all_paths)
    assert stats.chisquare(list(drawn.values())).pvalue > 0.01 or len(all_paths) == 1


def test_the_size_of_the_papers_space():
    """4 nodes: 1, 3, 6, 10 pairs of inputs and 6 operations for each; 3 layers; 13 paths by brute force."""
    space = SearchSpace(layers=3, nodes=4, width_factors=(1, 2, 4))
    assert architecture_count(space) == (180 * 36**4) ** 3 * len(paths(space))
    shared = SearchSpace(layers=3, nodes=4, width_factors=(1, 2, 4), layerwise=False)
    assert architecture_count(shared) == 180 * 36**4 * len(paths(space))
