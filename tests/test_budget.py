"""Budgets: never more than there was, always a valid config, and everything that changed is told."""

import numpy as np
import pytest

from hinas_jax.config import differing_fields, load_config
from hinas_jax.config_forms import ConfigError
from hinas_jax.random_search import draw
from hinas_jax.space.perturbation import replace_connections
from hinas_jax.tables.budget import TOY, TOY_TEST_PICTURES, Budget, changes
from hinas_jax.tables.definition import NUMBERS, load_table, with_fields


@pytest.mark.parametrize("fraction", [1e-6, 0.001, 0.002, 0.0199, 0.02, 0.3, 1.0])
def test_every_table_has_a_valid_config_at_every_budget(fraction):
    budget = Budget(fraction)
    for number in NUMBERS:
        for base in load_table(number).bases:
            config = budget.apply(base)
            assert config.search.epochs == max(2, round(base.search.epochs * fraction))
            assert config.train.steps <= max(200, base.train.steps * fraction)
            assert config.train.steps % config.train.validate_every == 0
            assert config.train.steps >= 40
            assert config.task == base.task
            assert (config.space == base.space) == (fraction >= TOY)
            replace_connections(np.random.default_rng(0), draw(config))  # the smallest space still has an R2


def test_the_whole_budget_changes_nothing():
    config = load_config("denoise_bsd500")
    assert Budget(1.0).apply(config) == config
    assert changes(config, config) == []


def test_a_config_smaller_than_a_toy_is_not_enlarged():
    debug = load_config("debug")
    toy = Budget(0.001).apply(debug)
    assert toy.search.epochs == 2
    assert toy.space == debug.space
    assert (toy.train.steps, toy.search.patch) == (debug.train.steps, debug.search.patch)


def test_pictures_that_come_along_give_more_patches_each():
    debug = load_config("debug")
    assert Budget(0.001).apply(debug).search.crops_per_picture == 10
    own = with_fields(debug, {"data.root": "pictures"})
    assert Budget(0.001).apply(own).search.crops_per_picture == 1


def test_what_is_shrunk_is_told_field_by_field():
    full = load_config("denoise_bsd500")
    toy = Budget(0.002).apply(full)
    told = changes(full, toy)
    assert "train.steps: 200 instead of 400000" in told
    assert "space.layers: 2 instead of 3" in told
    assert [line.partition(":")[0] for line in told] == differing_fields(full, toy)


def test_test_pictures_and_draws_shrink_below_toy_only():
    assert (Budget(0.001).test_pictures, Budget(0.5).test_pictures) == (TOY_TEST_PICTURES, None)
    assert (Budget(0.001).draws(3), Budget(0.001).draws(1), Budget(0.5).draws(3)) == (2, 1, 3)


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.01, float("nan")])
def test_a_budget_is_a_part(fraction):
    with pytest.raises(ConfigError, match="--budget must be above 0 and up to 1"):
        Budget(fraction)
