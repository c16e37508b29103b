"""The gradient of alpha and beta: the paper's, and what can take its place (docs/search_options.md).

Each is a pure function of a searcher, its state, and a batch of A and of W.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hinas_jax.config import Config
from hinas_jax.space.expected import expected_parameters

Tree = Any
Patches = tuple[Float[Array, "batch height width channel"], Float[Array, "batch clean_height clean_width channel"]]


class Searcher(Protocol):
    """What is needed of ``searcher.Searcher``, whose states are dataclasses with params, arch and batch_stats."""

    def loss_of(
        self, params: Tree, arch: Tree, batch_stats: Tree, degraded: Float[Array, "..."], clean: Float[Array, "..."]
    ) -> tuple[Float[Array, ""], Tree]:
        """Eq. 7 and the moved statistics."""

    def weight_step(
        self, state: Any, degraded: Float[Array, "..."], clean: Float[Array, "..."]
    ) -> tuple[Any, Float[Array, ""]]:
        """The state after one update of the kernels, and the loss before it."""


#: (searcher, state, a batch of A, one of W) to the loss on A and the gradient with respect to {"alpha", "beta"}.
ArchGradient = Callable[[Any, Any, Patches, Patches | None], tuple[Float[Array, ""], Tree]]


def first_order(searcher: Searcher, state: Any, a: Patches, w: Patches | None) -> tuple[Float[Array, ""], Tree]:
    """The paper's (section 3.4): of the loss on A, the kernels taken as they are."""
    del w
    gradient = jax.value_and_grad(searcher.loss_of, argnums=1, has_aux=True)
    (loss, _), grads = gradient(state.params, state.arch, state.batch_stats, *a)
    return loss, grads


def second_order(searcher: Searcher, state: Any, a: Patches, w: Patches | None) -> tuple[Float[Array, ""], Tree]:
    """DARTS's (Liu et al. 2019, unrolled): of the loss on A after the very step on W that these alpha and beta bring.

    The step is the searcher's own: clipped, decayed, with its momentum and learning rate.
    """
    assert w is not None  # search_steps passes it

    def unrolled(arch: Tree) -> tuple[Float[Array, ""], Tree]:
        after, _ = searcher.weight_step(dataclasses.replace(state, arch=arch), *w)
        return searcher.loss_of(after.params, arch, state.batch_stats, *a)

    (loss, _), grads = jax.value_and_grad(unrolled, has_aux=True)(state.arch)
    return loss, grads


def penalised(gradient: ArchGradient, penalty: Callable[[Tree], Float[Array, ""]]) -> ArchGradient:
    """``gradient`` with that of a penalty on alpha and beta added; the loss it tells stays that on A."""

    def added(searcher: Any, state: Any, a: Patches, w: Patches | None) -> tuple[Float[Array, ""], Tree]:
        loss, grads = gradient(searcher, state, a, w)
        return loss, jax.tree.map(jnp.add, grads, jax.grad(penalty)(state.arch))

    return added


def chosen(config: Config) -> ArchGradient:
    """The gradient that ``search.arch_gradient`` and ``search.parameter_weight`` name."""
    gradient: ArchGradient = first_order if config.search.arch_gradient == "first-order" else second_order
    task, weight = config.task, config.search.parameter_weight
    if not weight:
        return gradient

    def penalty(arch: Tree) -> Float[Array, ""]:
        expected = expected_parameters(arch, config.space, channels=task.channels, scale=task.scale)
        return weight * expected / 1e6

    return penalised(gradient, penalty)
