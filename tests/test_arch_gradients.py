"""The gradients of alpha and beta against finite differences, against their terms by hand, and in a search's step."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from tiny import quick_jit

from hinas_jax.arch_gradients import chosen, first_order, penalised, second_order
from hinas_jax.config import ComputeConfig
from hinas_jax.data.patches import to_device
from hinas_jax.data.sources import PictureSet
from hinas_jax.searcher import make_searcher, search_steps
from hinas_jax.space.expected import expected_parameters


@struct.dataclass
class ToyState:
    params: Any
    arch: Any
    batch_stats: Any


class Toy:
    """A model whose kernels, alpha and data all enter the loss in products; its step is plain descent at rate 0.3."""

    def loss_of(self, params, arch, batch_stats, degraded, clean):
        mixed = jnp.tanh(degraded @ params) * jax.nn.softmax(arch["alpha"]) * (1 + arch["beta"])
        return jnp.mean((mixed.sum(-1, keepdims=True) + batch_stats - clean) ** 2), batch_stats

    def weight_step(self, state, degraded, clean):
        (loss, _), grads = jax.value_and_grad(self.loss_of, has_aux=True)(
            state.params, state.arch, state.batch_stats, degraded, clean
        )
        return dataclasses.replace(state, params=state.params - 0.3 * grads), loss


@pytest.fixture
def toy(x64):
    del x64
    rng = np.random.default_rng(0)
    arch = {"alpha": jnp.asarray(rng.normal(size=3)), "beta": jnp.asarray(rng.normal())}
    state = ToyState(jnp.asarray(rng.normal(size=(4, 3))), arch, jnp.asarray(0.1))
    a, w = ((jnp.asarray(rng.normal(size=(5, 4))), jnp.asarray(rng.normal(size=(5, 1)))) for _ in range(2))
    return state, a, w


def differences(objective, arch, step=1e-5):
    """Central differences of an objective, by every entry of alpha and beta."""
    flat, tree = jax.tree.flatten(arch)
    found = []
    for i, leaf in enumerate(flat):
        entries = []
        for j in range(leaf.size):
            moved = []
            for sign in (1, -1):
                shift = jnp.zeros(leaf.size).at[j].set(sign * step).reshape(leaf.shape)
                moved.append(objective(jax.tree.unflatten(tree, [*flat[:i], leaf + shift, *flat[i + 1 :]])))
            entries.append((moved[0] - moved[1]) / (2 * step))
        found.append(np.reshape(entries, leaf.shape))
    return jax.tree.unflatten(tree, found)


def agree(found, expected, **tolerance):
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, **tolerance), found, expected)


def test_second_order_is_the_gradient_of_the_unrolled_objective(toy):
    state, a, w = toy

    def unrolled(arch):
        after, _ = Toy().weight_step(dataclasses.replace(state, arch=arch), *w)
        return Toy().loss_of(after.params, arch, state.batch_stats, *a)[0]

    loss, grads = second_order(Toy(), state, a, w)
    assert float(loss) == pytest.approx(float(unrolled(state.arch)))
    agree(grads, differences(unrolled, state.arch), rtol=1e-7, atol=1e-9)


def test_first_order_takes_the_kernels_as_they_are(toy):
    state, a, w = toy
    loss, grads = first_order(Toy(), state, a, None)
    direct = lambda arch: Toy().loss_of(state.params, arch, state.batch_stats, *a)[0]  # noqa: E731
    assert float(loss) == pytest.approx(float(direct(state.arch)))
    agree(grads, differences(direct, state.arch), rtol=1e-7, atol=1e-9)
    unrolled = second_order(Toy(), state, a, w)[1]
    assert not np.allclose(grads["alpha"], unrolled["alpha"], rtol=1e-2)


def test_a_penalty_adds_its_own_gradient_and_leaves_the_loss(toy):
    state, a, w = toy
    plain = first_order(Toy(), state, a, w)
    loss, grads = penalised(first_order, lambda arch: 3 * jnp.sum(arch["alpha"] ** 2))(Toy(), state, a, w)
    assert float(loss) == float(plain[0])
    agree(grads["alpha"], plain[1]["alpha"] + 6 * state.arch["alpha"], rtol=1e-12)
    assert float(grads["beta"]) == float(plain[1]["beta"])


# --- in a search


def with_search(config, remat="none", **fields):
    search = dataclasses.replace(config.search, **fields)
    return dataclasses.replace(config, search=search, compute=ComputeConfig(remat=remat))


def test_the_papers_gradient_is_the_default(tiny_config):
    assert chosen(tiny_config) is first_order
    assert make_searcher(tiny_config, 3).arch_gradient is first_order


def test_the_penalty_is_a_loss_for_each_million_parameters_expected(tiny_config):
    config = with_search(tiny_config, parameter_weight=2.0)
    arch = make_searcher(tiny_config, 3).init(jax.random.key(0)).arch
    state = ToyState(None, arch, None)

    class Free:
        def loss_of(self, params, arch, *_):
            del params
            return 0.0 * sum(jnp.sum(leaf) for leaf in jax.tree.leaves(arch)), None

    _, grads = chosen(config)(Free(), state, (None, None), None)
    count = jax.grad(lambda arch: expected_parameters(arch, config.space, channels=1, scale=1))(arch)
    agree(grads, jax.tree.map(lambda leaf: 2.0 * leaf / 1e6, count), rtol=1e-5, atol=1e-12)
    assert np.abs(grads["alpha"]).max() > 0


def test_second_order_of_a_supernet_is_its_two_terms(tiny_config):
    """By the chain rule: the gradient at the stepped kernels, and what alpha and beta do through the step."""
    searcher = make_searcher(with_search(tiny_config, arch_gradient="second-order", learning_rate=0.5), 3)
    rng = np.random.default_rng(0)
    state = jax.device_get(searcher.init(jax.random.key(0)))
    state = dataclasses.replace(
        state,
        params=jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32), state.params),
    )
    a, w = (tuple(rng.random((2, 12, 12, 1), np.float32) for _ in range(2)) for _ in range(2))

    def by_hand(state):
        def stepped(arch):
            return searcher.weight_step(dataclasses.replace(state, arch=arch), *w)[0].params

        params, through_step = jax.vjp(stepped, state.arch)
        gradient = jax.grad(lambda p, arch: searcher.loss_of(p, arch, state.batch_stats, *a)[0], argnums=(0, 1))
        of_params, direct = gradient(params, state.arch)
        (indirect,) = through_step(of_params)
        return jax.tree.map(jnp.add, direct, indirect), indirect

    found, (expected, indirect) = quick_jit(
        lambda state: (searcher.arch_gradient(searcher, state, a, w)[1], by_hand(state))
    )(state)
    agree(found, expected, rtol=2e-3, atol=1e-7)
    size = np.abs(indirect["alpha"]).max()
    assert size > 1e-2 * np.abs(found["alpha"]).max()  # so that leaving the step out would show


@pytest.mark.parametrize("remat", ["none", "cell", "operation"])
def test_an_epoch_with_every_option_can_be_traced(tiny_config, remat):
    config = with_search(tiny_config, remat, arch_gradient="second-order", parameter_weight=1.0)
    searcher = make_searcher(config, 3)
    pixels = np.zeros((20, 21, 1), np.uint8)
    source = to_device(PictureSet(("a", "b"), (pixels, pixels)), page=64)
    state = jax.eval_shape(searcher.init, jax.random.key(0))

    def epoch(state, key):
        return search_steps(
            searcher, state, key, 0, source, source, steps=2, count=2, batch=2, patch=12, alternate=True
        )

    after, *_ = jax.eval_shape(epoch, state, jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(lambda leaf: leaf.shape, state)
