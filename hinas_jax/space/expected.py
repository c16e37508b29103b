"""How many parameters the network will have, in expectation over alpha and beta: differentiable, for a penalty."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hinas_jax.architecture import OPERATIONS, convolution_parameters, operation_parameters, router_parameters
from hinas_jax.space.relaxation import operation_weights, transitions
from hinas_jax.space.search_space import MOVES, SearchSpace, edge_index

_NONE = OPERATIONS.index("none")


def expected_parameters(
    arch: Mapping[str, Float[Array, "..."]], space: SearchSpace, *, channels: int, scale: int
) -> Float[Array, ""]:
    """Parameters of a network whose operations and moves are drawn by the weights of alpha and beta.

    Every edge draws its operation and every layer its move, all apart; a 1x1 convolution counts with the probability
    that a node of its cell takes it. One-hot alpha and beta therefore give the very count of their architecture.
    A search that has not decided counts all edges, of which decoding keeps two a node.

    Args:
        arch: {"alpha", "beta"}, before any softmax.
        space: the supernet's space.
        channels: channels of a picture.
        scale: pixel-shuffle factor, 1 for denoising.
    """
    alpha, moves = operation_weights(arch["alpha"]), _moves(transitions(arch["beta"], space))
    widths = np.array(space.widths, np.float32)
    starts = np.full_like(widths, space.start_width)  # h of the start part, whatever the level
    outputs = space.nodes * widths  # h of a layer, by its level
    operations = np.array([[operation_parameters(name, width) for name in OPERATIONS] for width in widths])
    at = [jnp.eye(len(widths))[0]]  # probabilities of the levels, after the start part and after each layer
    total: Float[Array, ""] = jnp.asarray(_fixed(space, channels, scale), jnp.float32)
    for layer in range(space.layers):
        rows = alpha[layer if space.layerwise else 0]
        one = at[layer][:, None] * moves[layer]  # [source, target]: from layer l-1 to l
        two = one if layer == 0 else at[layer - 1][:, None] * (moves[layer - 1] @ moves[layer])  # from layer l-2
        for source, (joint, inputs) in enumerate(
            ((one, outputs if layer else starts), (two, outputs if layer > 1 else starts))
        ):
            total += _used(rows, space, source) * jnp.sum(joint * router_parameters(inputs[:, None], widths))
        at.append(at[layer] @ moves[layer])
        total += jnp.einsum("w,eo,wo->", at[-1], rows, operations)
    total += at[-1] @ convolution_parameters(3, outputs, space.end_width)
    return total


def _moves(beta: Float[Array, "layer level 3"]) -> Float[Array, "layer source target"]:
    """Transition probabilities as a matrix for each layer."""
    shifts = np.stack([np.eye(beta.shape[1], k=step) for step in MOVES])
    return jnp.einsum("lsm,mst->lst", beta, shifts)


def _used(rows: Float[Array, "edge operation"], space: SearchSpace, source: int) -> Float[Array, ""]:
    """Probability that a node takes the cell's input ``source``."""
    edges = np.array([edge_index(node, source) for node in range(space.nodes)])
    return 1 - jnp.prod(rows[edges, _NONE])


def _fixed(space: SearchSpace, channels: int, scale: int) -> int:
    """Parameters of the start, and of the end but for its first convolution."""
    total: int = convolution_parameters(3, channels, space.start_width)
    total += convolution_parameters(3, space.start_width, space.start_width)
    total += convolution_parameters(3, space.end_width, channels * scale**2)
    return total
