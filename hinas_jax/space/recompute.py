"""Rematerialisation: inner values of a module are not kept for the gradient but computed again where it needs them.

``jax.checkpoint`` says so too, with a barrier that XLA drops on CPU, unless it is told not to (``compiling``), before
it orders the operations; the recomputation then comes early, the gradients of kernels come late, and as much is alive
as before (docs/performance.md). Here the order is one of data: what is computed again depends on the gradient that
needs it, and the gradient that goes on to earlier modules depends on those of this module's own kernels. Each
dependence is the addition of 0 times a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

Tree = Any


def recomputed(module: nn.Module, on: bool, *inputs: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
    """Apply ``module`` to ``inputs``; if ``on``, recompute its inner values for the gradient."""
    if not on or module.is_initializing():
        y: Float[Array, "..."] = module(*inputs, train=train)
        return y
    pure = module.clone(parent=None, name=None)

    def apply(params: Tree, stats: Tree, *inputs: Float[Array, "..."]) -> tuple[Float[Array, "..."], Tree]:
        variables = {"params": params, "batch_stats": stats}
        result: tuple[Float[Array, "..."], Tree] = pure.apply(variables, *inputs, train=train, mutable=["batch_stats"])
        return result

    params, stats = (module.variables.get(collection, {}) for collection in ("params", "batch_stats"))
    output, moved = _with_recomputed_gradient(apply)(params, stats, *inputs)
    if train:
        for name, value in moved.get("batch_stats", {}).items():
            module.put_variable("batch_stats", name, value)
    return output


def _with_recomputed_gradient(
    apply: Callable[..., tuple[Float[Array, "..."], Tree]],
) -> Callable[..., tuple[Float[Array, "..."], Tree]]:
    function = jax.custom_vjp(apply)

    def forward(*arguments: Tree) -> tuple[Tree, Tree]:
        values = jax.tree.map(lambda leaf: leaf.value, arguments, is_leaf=_is_marked)
        wanted = tuple(any(leaf.perturbed for leaf in jax.tree.leaves(a, is_leaf=_is_marked)) for a in arguments)
        # () or None: part of the tree's structure, and so known while tracing
        return apply(*values), (values, tuple(() if w else None for w in wanted))

    def backward(kept: Tree, gradients: Tree) -> tuple[Tree, ...]:
        arguments, marks = kept
        gradient = gradients[0]
        if isinstance(gradient, SymbolicZero):
            return tuple(None for _ in arguments)
        wanted = [i for i, mark in enumerate(marks) if mark is not None]
        tied = _after([gradient], arguments)

        def again(*some: Tree) -> Float[Array, "..."]:
            given = list(tied)
            for i, value in zip(wanted, some, strict=True):
                given[i] = value
            return apply(*given)[0]

        _, pullback = jax.vjp(again, *(tied[i] for i in wanted))
        found: list[Tree] = [None] * len(arguments)
        for i, value in zip(wanted, pullback(gradient), strict=True):
            found[i] = value
        params, stats, *inputs = found
        return params, stats, *_after(jax.tree.leaves(params), inputs)

    function.defvjp(forward, backward, symbolic_zeros=True)
    return function


def _is_marked(leaf: Tree) -> bool:
    return hasattr(leaf, "perturbed")


def _after(first: Sequence[Float[Array, "..."]], then: Tree) -> Tree:
    """``then`` as it is, but to be computed after ``first``."""
    zero = sum((leaf[(0,) * leaf.ndim].astype(jnp.float32) * 0 for leaf in first), jnp.zeros(()))
    return jax.tree.map(lambda leaf: leaf + zero.astype(leaf.dtype), then)
