"""Every update recomputed by hand, in NumPy, from the formulas of the paper."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hinas_jax.config import SearchConfig, TrainConfig
from hinas_jax.optimisers import arch_optimiser, training_optimiser, weight_optimiser

RNG = np.random.default_rng(0)
START = {"kernel": RNG.normal(size=(2, 3)), "norm": {"bias": RNG.normal(size=4)}}


def gradients(scales):
    """One gradient a step, of the norm asked for."""
    for scale in scales:
        tree = {"kernel": RNG.normal(size=(2, 3)), "norm": {"bias": RNG.normal(size=4)}}
        factor = scale / norm(tree)
        yield jax.tree.map(lambda leaf, factor=factor: factor * leaf, tree)


def norm(tree):
    return math.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(tree)))


def updated(optimiser, grads):
    """The parameters after each update, by optax."""
    params = jax.tree.map(jnp.asarray, START)
    state, history = optimiser.init(params), []
    for gradient in grads:
        updates, state = jax.jit(optimiser.update)(jax.tree.map(jnp.asarray, gradient), state, params)
        params = optax.apply_updates(params, updates)
        history.append(params)
    return history


def by_hand(step, grads):
    """The parameters after each update, leaf by leaf, by ``step(gradient, parameter, memory, count)``."""
    params, history = START, []
    memory = jax.tree.map(lambda leaf: [np.zeros_like(leaf), np.zeros_like(leaf)], params)
    for count, gradient in enumerate(grads):
        params = jax.tree.map(lambda p, g, m, c=count: step(g, p, m, c), params, gradient, memory)
        history.append(params)
    return history


def assert_same(actual, expected, atol=1e-8):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=atol), one, other)


def adam(gradient, memory, count):
    memory[0] = 0.9 * memory[0] + 0.1 * gradient
    memory[1] = 0.999 * memory[1] + 0.001 * gradient**2
    mean, square = memory[0] / (1 - 0.9 ** (count + 1)), memory[1] / (1 - 0.999 ** (count + 1))
    return mean / (np.sqrt(square) + 1e-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("clip", [2.0, 0.0])
def test_kernels_follow_sgd_with_momentum_weight_decay_clipping_and_a_cosine(clip):
    config, steps = SearchConfig(gradient_clip=clip), 5
    grads = list(gradients([1.0, 20.0, 3.0]))  # the second and third are clipped at 2

    def step(gradient, param, memory, count):
        whole = norm(grads[count])
        rate = 0.001 + (0.025 - 0.001) * (1 + math.cos(math.pi * count / steps)) / 2
        memory[0] = 0.9 * memory[0] + gradient * (min(1, clip / whole) if clip else 1) + 3e-4 * param
        return param - rate * memory[0]

    assert_same(updated(weight_optimiser(config, steps), grads), by_hand(step, grads))


@pytest.mark.usefixtures("x64")
def test_the_cosine_ends_at_the_final_rate_and_stays_there():
    config = SearchConfig(momentum=0.0, weight_decay=0.0, gradient_clip=1e6)
    ones = jax.tree.map(np.ones_like, START)
    history = updated(weight_optimiser(config, 4), [ones] * 7)
    before = [START, *history]
    rates = [float(b["kernel"][0, 0] - a["kernel"][0, 0]) for b, a in zip(before, history, strict=False)]
    assert rates[0] == pytest.approx(0.025)
    assert rates[2] == pytest.approx((0.025 + 0.001) / 2)
    assert rates[4:] == pytest.approx([0.001] * 3)
    assert sorted(rates, reverse=True) == pytest.approx(rates)


@pytest.mark.usefixtures("x64")
def test_alpha_and_beta_follow_adam_with_coupled_weight_decay():
    grads = list(gradients([1e-3, 5e-3, 2e-3]))  # of the size of the decay, so that coupling shows

    def step(gradient, param, memory, count):
        return param - 1e-3 * adam(gradient + 1e-3 * param, memory, count)

    assert_same(updated(arch_optimiser(SearchConfig()), grads), by_hand(step, grads))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("clip", [0.5, 0.0])
def test_the_papers_recipe_is_sgd_with_a_polynomial_and_a_clipped_norm(clip):
    config = TrainConfig(steps=4, learning_rate=0.05, recipe="paper", gradient_clip=clip)
    grads = list(gradients([1.0, 30.0, 2.0, 0.1, 1.0]))  # the fourth is not clipped

    def step(gradient, param, memory, count):
        rate = 0.05 * max(0, 1 - count / 4) ** 0.9
        clipped = gradient * (min(1, clip / norm(grads[count])) if clip else 1)
        memory[0] = 0.9 * memory[0] + clipped + 4e-5 * param
        return param - rate * memory[0]

    # the weight decay of one update moves a parameter by about 1e-6, float32 in the schedule by 1e-7
    assert_same(updated(training_optimiser(config), grads), by_hand(step, grads), atol=5e-7)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("steps", "rise"), [(30, 3), (5, 0)])
def test_the_modern_recipe_is_adamw_with_a_rise_a_cosine_and_a_clipped_norm(steps, rise):
    config = TrainConfig(steps=steps, learning_rate=2e-3, recipe="modern", gradient_clip=1.0)
    grads = list(gradients([0.5, 30.0, 0.9, 1.5, 0.2, 3.0]))

    def step(gradient, param, memory, count):
        fall = 2e-3 * (1 + math.cos(math.pi * min(1, (count - rise) / (steps - rise)))) / 2
        rate = 2e-3 * count / rise if count < rise else fall
        clipped = gradient * min(1, 1 / norm(grads[count]))
        return param - rate * (adam(clipped, memory, count) + 1e-4 * param)

    assert_same(updated(training_optimiser(config), grads), by_hand(step, grads))


@pytest.mark.usefixtures("x64")
def test_a_long_modern_training_rises_for_500_steps():
    optimiser = training_optimiser(TrainConfig(steps=100_000, learning_rate=2e-3, recipe="modern"))
    zero, one = {"w": jnp.zeros(())}, {"w": jnp.ones(())}

    def first_update_at(count):
        fresh = optimiser.init(zero)
        state = jax.tree.map(lambda leaf: leaf + count if leaf.dtype == jnp.int32 else leaf, fresh)
        mean, square = 0.1 / (1 - 0.9 ** (count + 1)), 0.001 / (1 - 0.999 ** (count + 1))
        return float(optimiser.update(one, state, zero)[0]["w"]) / (-mean / math.sqrt(square))

    assert first_update_at(250) == pytest.approx(1e-3, rel=1e-5)
    assert first_update_at(500) == pytest.approx(2e-3, rel=1e-5)
