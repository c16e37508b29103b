"""What an epoch leaves to be read, when skips are said to take over, and when a search stops early."""

import dataclasses
import itertools

import numpy as np
import pytest
from tiny import random_cell

from hinas_jax.architecture import OPERATIONS, CellArchitecture, Edge
from hinas_jax.config import Config, DecodeConfig, SearchConfig
from hinas_jax.space.decode import decode
from hinas_jax.space.one_hot import one_hot
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.watching import compact, decode_for, describe, early_stop, skips_taking_over

SPACE = SearchSpace(layers=2, nodes=2, base_width=4, width_factors=(1, 2), start_width=3, end_width=3)
CONFIG = Config(space=SPACE)
SKIP, NONE = OPERATIONS.index("skip"), OPERATIONS.index("none")


def cell_of(*edges):
    """A cell of two nodes from four "source operation"."""
    parts = [Edge(int(source), operation) for source, operation in (edge.split() for edge in edges)]
    return CellArchitecture((tuple(parts[:2]), tuple(parts[2:])))


def row(skips=(0, 0), *, epoch=1, phase="alternate", alpha=None):
    return {"epoch": epoch, "phase": phase, "alpha_skips": list(skips), "alpha": alpha}


# --- rows


def test_a_cell_in_one_line():
    assert compact(cell_of("0 conv3", "1 skip", "0 sep3", "2 dil5")) == "0 conv3 + 1 skip | 0 sep3 + 2 dil5"


def test_cells_that_differ_have_lines_that_differ():
    rng = np.random.default_rng(0)
    cells = {random_cell(rng, 2) for _ in range(300)}
    assert len({compact(cell) for cell in cells}) == len(cells) > 100


def test_a_row_describes_what_is_decoded():
    cells = (cell_of("0 skip", "1 skip", "0 sep3", "2 skip"), cell_of("0 conv3", "1 dil3", "1 skip", "2 sep5"))
    architecture = SPACE.architecture(cells, (1, 0))
    arch = one_hot(architecture, SPACE, logit=20.0)
    found = describe(arch, decode_for(arch, CONFIG), CONFIG)
    assert found["architecture"] == [compact(cell) for cell in cells]
    assert found["levels"] == [1, 0]
    assert (found["skip_count"], found["alpha_skips"]) == (4, [3, 1])
    assert found["parameters"] == architecture.parameters()
    assert 0 <= found["alpha_entropy"] < 1e-5
    alpha, beta = np.array(found["alpha"]), np.array(found["beta"])
    assert alpha.shape == (2, SPACE.edges, 7)
    np.testing.assert_allclose(alpha.sum(-1), 1, atol=1e-5)
    assert alpha[0, 0, SKIP] == alpha[1, 0, 0] == alpha[0, 2 + 1, NONE] == 1
    assert beta.tolist()[0] == [[0, 0, 1], [0, 0, 0]]


def test_entropies_are_means_over_edges_and_over_sources_that_have_a_choice():
    arch = {"alpha": np.zeros((2, 5, 7), np.float32), "beta": np.zeros((2, 2, 3), np.float32)}
    arch["alpha"][0] = np.log([1, 1, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9])
    arch["beta"][1, 1, 0] = np.log(3)
    found = describe(arch, decode_for(arch, CONFIG), CONFIG)
    assert found["alpha_entropy"] == pytest.approx((np.log(2) + np.log(7)) / 2, abs=1e-5)
    quarter = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert found["beta_entropy"] == pytest.approx((2 * np.log(2) + quarter) / 3, abs=1e-6)


def test_the_skips_of_alpha_are_told_whatever_is_kept_of_them():
    cells = (cell_of("0 skip", "1 skip", "0 sep3", "2 skip"),) * 2
    arch = one_hot(SPACE.architecture(cells, (0, 0)), SPACE, logit=3.0)
    config = dataclasses.replace(CONFIG, decode=DecodeConfig(max_skips=1))
    architecture = decode_for(arch, config)
    assert architecture == decode(arch, SPACE, task="denoise", channels=1, scale=1, max_skips=1)
    found = describe(arch, architecture, config)
    assert (found["skip_count"], found["alpha_skips"]) == (2, [3, 3])


# --- skips that take over


@pytest.mark.parametrize(("skips", "warned"), [((0, 0), False), ((1, 1), False), ((0, 2), True), ((4, 1), True)])
def test_half_of_a_cells_edges_are_a_take_over(skips, warned):
    assert (skips_taking_over([], row(skips), CONFIG) is not None) == warned


def test_the_warning_names_the_worst_cell_and_what_to_do():
    warning = skips_taking_over([], row((2, 3), epoch=7), CONFIG)
    assert warning.startswith("warning: skip connections take over: 3 of the 4 edges of cell 1 after epoch 7")
    assert "decode.max_skips" in warning
    assert "\n" not in warning


def test_the_warning_comes_once():
    rows = [row(skips, epoch=e) for e, skips in enumerate([(0, 1), (2, 1), (0, 0), (3, 4)])]
    warned = [skips_taking_over(rows[:e], rows[e], CONFIG) is not None for e in range(len(rows))]
    assert warned == [False, True, False, False]


# --- stopping early


@pytest.mark.parametrize(("skips", "limit", "stops"), [((1, 1), 2, False), ((0, 2), 2, True), ((2, 3), 4, False)])
def test_skip_count_looks_at_the_cell_with_most_skips(skips, limit, stops):
    config = SearchConfig(early_stop="skip-count", skip_limit=limit)
    assert (early_stop([row(skips)], config) is not None) == stops
    assert early_stop([row(skips, phase="warmup")], config) is None
    assert early_stop([row(skips)], SearchConfig()) is None


def rows_of(*leaders, phases=None):
    """Rows in which, on the one edge, these operations lead the others, first to last."""
    for epoch, leading in enumerate(leaders):
        alpha = np.full(7, 0.01)
        alpha[[OPERATIONS.index(name) for name in leading]] = np.linspace(0.4, 0.2, len(leading))
        yield row(epoch=epoch, alpha=[[alpha.tolist()]], phase=phases[epoch] if phases else "alternate")


def stops_after(rows, epochs):
    """Number of rows after which rank-stable stops, None if it goes on."""
    config, rows = SearchConfig(early_stop="rank-stable", stable_epochs=epochs), list(rows)
    return next((n for n in range(1, len(rows) + 1) if early_stop(rows[:n], config)), None)


def test_rank_stable_stops_once_the_ranking_has_stood_for_so_many_epochs():
    ab, ba = ("sep3", "dil3"), ("dil3", "sep3")
    assert stops_after(rows_of(ab, ab, ba, ba, ba, ba), 3) == 6
    assert stops_after(rows_of(ab, ab, ba, ba, ba, ba), 1) == 2
    assert stops_after(rows_of(ab, ab, ba, ba, ab, ab), 3) is None


def test_a_ranking_that_came_back_has_not_stood():
    ab, ba = ("sep3", "dil3"), ("dil3", "sep3")
    assert stops_after(rows_of(ab, ba, ab, ba, ab), 2) is None


def test_rank_stable_ranks_the_convolutions_and_not_skip_or_none():
    assert stops_after(rows_of(("sep3", "skip", "none"), ("skip", "sep3", "none"), ("none", "skip", "sep3")), 2) == 3


def test_rank_stable_does_not_count_the_warm_up():
    same = [("conv3",)] * 6
    phases = ["warmup"] * 3 + ["alternate"] * 3
    assert stops_after(rows_of(*same, phases=phases), 2) == 6


def test_every_edge_counts():
    one, other = np.full((2, 3, 7), 0.1), np.full((2, 3, 7), 0.1)
    other[1, 2, 4] = 0.2
    config = SearchConfig(early_stop="rank-stable", stable_epochs=1)
    for before, after in itertools.product((one, other), repeat=2):
        rows = [row(alpha=before.tolist()), row(alpha=after.tolist())]
        assert (early_stop(rows, config) is not None) == (before is after)
