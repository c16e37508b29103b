"""SuperCell, which holds all candidate edges, and Cell, its discrete counterpart (section 3.1)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hinas_jax.architecture import CellArchitecture
from hinas_jax.space.operations import Form, MixedOperations, Operation, Remat
from hinas_jax.space.search_space import edge_index


class SuperCell(nn.Module):
    """C_l^i: N nodes, each the weighted sum over both inputs and all earlier nodes (Eqs. 1 to 3).

    Attributes:
        nodes: N.
        plain: every edge computes for itself, instead of all edges of one source at once: the reference.
        remat: "operation" recomputes each operation's inner values for the gradient.
    """

    nodes: int
    plain: bool = False
    remat: Remat = "none"

    @nn.compact
    def __call__(
        self,
        h1: Float[Array, "batch height width channel"],
        h2: Float[Array, "batch height width channel"],
        alpha: Float[Array, "edge operation"],
        *,
        train: bool,
    ) -> Float[Array, "batch height width nodes*channel"]:
        """Concatenate the nodes' outputs.

        Args:
            h1: the features made of h_{l-1}.
            h2: the features made of h_{l-2}, of the same shape.
            alpha: probabilities over the operations, one row for each of the N (N + 3) / 2 edges.
            train: whether batch normalisation uses the batch's statistics (and moves the running ones).
        """
        nodes: list[Float[Array, "batch height width channel"] | None] = [None] * self.nodes
        for source in range(self.nodes + 1):  # the last node feeds no other
            x = (h1, h2)[source] if source < 2 else nodes[source - 2]
            assert x is not None  # by then all sources of that node have been added
            for name, targets in self._groups(source).items():
                rows = jnp.stack([alpha[edge_index(node, source)] for node in targets])
                mixed = MixedOperations(len(targets), self.plain, self.remat, name=name)(x, rows, train=train)
                for e, node in enumerate(targets):
                    before = nodes[node]
                    nodes[node] = mixed[..., e, :] if before is None else before + mixed[..., e, :]
        h = jnp.concatenate([x for x in nodes if x is not None], axis=-1)
        kept: Float[Array, "..."] = jax.lax.optimization_barrier(h)  # XLA would compute the nodes again in each router
        return kept

    def _groups(self, source: int) -> dict[str, Sequence[int]]:
        """The nodes that ``source`` feeds, in groups that are computed at once, by the name of their module."""
        targets = range(max(source - 1, 0), self.nodes)
        if self.plain:
            return {f"source_{source}_node_{node}": [node] for node in targets}
        return {f"source_{source}": targets}


class Cell(nn.Module):
    """A compact cell: every node sums its kept edges, each with its one operation.

    Attributes:
        architecture: the cell's.
        form: how separable convolutions are computed.
    """

    architecture: CellArchitecture
    form: Form = "composed"

    @nn.compact
    def __call__(
        self,
        h1: Float[Array, "batch height width channel"] | None,
        h2: Float[Array, "batch height width channel"] | None,
        *,
        train: bool,
    ) -> Float[Array, "batch height width nodes*channel"]:
        """Concatenate the nodes' outputs; an input that no node takes may be None."""
        sources = [h1, h2]
        for node, edges in enumerate(self.architecture.nodes):
            outputs = []
            for edge in edges:
                name = f"node_{node}_source_{edge.source}"
                x = sources[edge.source]
                assert x is not None  # the network routes every source that a node takes
                operation = Operation(edge.operation, x.shape[-1], affine=True, form=self.form, name=name)
                outputs.append(operation(x, train=train)[..., 0, :])
            sources.append(functools.reduce(jnp.add, outputs))
        return jnp.concatenate([x for x in sources[2:] if x is not None], axis=-1)
