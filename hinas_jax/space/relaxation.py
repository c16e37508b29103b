"""The continuous relaxation: from the free variables alpha and beta to the weights that mix operations and levels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from hinas_jax.space.search_space import MOVES, SearchSpace


def operation_weights(alpha: Float[Array, "*layer edge operation"]) -> Float[Array, "*layer edge operation"]:
    """alpha_k^{j->i} of Eqs. 1 and 2: a softmax over the operations of every edge, none included."""
    return jax.nn.softmax(alpha, axis=-1)


def transitions(beta: Float[Array, "layer level 3"], space: SearchSpace) -> Float[Array, "layer level 3"]:
    """beta_k^i of Eq. 5, read as probabilities: from level k of the layer before, narrower, same or wider.

    A softmax over the moves that exist, per source. Rows of sources that a layer does not have are zero.
    """
    possible = jnp.asarray(possible_moves(space))
    # -inf would do for the value, but its gradient is NaN in rows without any move
    weights = jax.nn.softmax(jnp.where(possible, beta, -1e30), axis=-1)
    return jnp.where(possible, weights, 0.0)


def possible_moves(space: SearchSpace) -> Bool[np.ndarray, "layer level 3"]:
    """Which entries of beta stand for a move that exists."""
    possible = np.zeros((space.layers, len(space.width_factors), len(MOVES)), bool)
    for layer in range(space.layers):
        for source in space.levels(layer - 1):
            for target in space.outgoing(layer, source):
                possible[layer, source, MOVES.index(target - source)] = True
    return possible


def entropy(weights: Float[Array, "*row choice"]) -> Float[Array, " *row"]:
    """Entropy of each row of probabilities, in nats; impossible choices (weight 0) count nothing."""
    return -jnp.sum(weights * jnp.log(jnp.where(weights > 0, weights, 1.0)), axis=-1)
