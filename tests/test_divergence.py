"""Losses and gradients that are no numbers: found at the first step, told by parameter group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hinas_jax.divergence import DivergenceError, Outcome, group_names, mend, outcome, require_finite

PARAMS = {"start": {"kernel": jnp.ones(3)}, "cell_0": {"node": {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(1)}}}
NAMES = ("cell_0", "start")


def test_peaks_are_the_largest_absolute_gradients_by_group():
    gradient = jax.tree.map(lambda leaf: -2 * leaf, PARAMS) | {"start": {"kernel": jnp.array([0.5, -3.0, 1.0])}}
    told = jax.jit(outcome)(jnp.float32(0.25), gradient)
    assert group_names(PARAMS) == NAMES
    assert float(told.loss) == 0.25
    np.testing.assert_array_equal(told.peaks, [2.0, 3.0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_shows_in_the_peak_of_its_group_alone(value):
    gradient = PARAMS | {"start": {"kernel": jnp.array([0.5, value, 1.0])}}
    assert np.isfinite(jax.jit(outcome)(jnp.float32(0), gradient).peaks).tolist() == [True, False]


def told_of(losses, peaks):
    with pytest.raises(DivergenceError) as caught:
        require_finite("loss", NAMES, Outcome(np.array(losses), np.array(peaks)), first=7)
    return str(caught.value)


def test_finite_steps_pass():
    require_finite("loss", NAMES, Outcome(np.zeros(2), np.full((2, 2), 3e38)), first=1)


def test_the_first_step_is_told_with_the_groups():
    fine, bad = [1.0, 1.0], [1.0, np.nan]
    assert told_of([0.5, 0.25, np.nan], [fine, bad, bad]) == (
        "step 8: loss is 0.25, and the gradient is not finite in start"
    )
    assert told_of([np.inf], [[np.nan, np.nan]]) == (
        f"step 7: loss is inf, and the gradient is not finite in {', '.join(NAMES)}"
    )
    with pytest.raises(DivergenceError, match=r"not finite in all parameter groups$") as caught:
        require_finite("loss", (*NAMES, "z"), Outcome(np.zeros(2), np.array([[0.0] * 3, [np.nan] * 3])), first=7)
    assert caught.value.step == 8
    assert told_of([np.nan], [fine]) == "step 7: loss is nan"


def test_the_mend_names_the_fields_with_their_values():
    rates = {"learning_rate": 0.025, "arch_learning_rate": 0.001}
    fields = "lower search.learning_rate (0.025), search.arch_learning_rate (0.001) or search.gradient_clip (0.5)"
    assert mend("search", rates, 0.5) == fields
    assert mend("train", {"learning_rate": 0.05}, 0.0) == "lower train.learning_rate (0.05), or set train.gradient_clip"
