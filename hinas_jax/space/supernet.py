"""SuperNet: start, layers of width levels, routers, end (section 3.2). It alone owns the collection ``arch``.

``variables = {"params", "arch", "batch_stats"}``; ``arch`` holds alpha and beta. A supernet is a pure function of them:

    variables = SuperNet(space).init(key, picture, train=False)
    residual = SuperNet(space).apply(variables, picture, train=False)
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hinas_jax.architecture import OPERATIONS
from hinas_jax.space.cell import SuperCell
from hinas_jax.space.operations import Precision, Remat
from hinas_jax.space.parts import End, Router, Start
from hinas_jax.space.recompute import recomputed
from hinas_jax.space.relaxation import operation_weights, transitions
from hinas_jax.space.search_space import MOVES, SearchSpace


class SuperNet(nn.Module):
    """f_res of Eq. 7 while searching: all operations and all widths at once.

    Attributes:
        space: sizes, and whether cells and alpha are shared.
        channels: channels of a picture, 1 or 3.
        scale: pixel-shuffle factor, 1 for denoising.
        precision: type of the features; parameters, alpha, beta, statistics and the residual stay float32.
        remat: what is computed again for the gradient instead of kept: nothing, cells, or operations. On CPU it saves
            memory only in what is compiled with ``compiling.compiler_options``.
        plain: every edge and operation computes for itself, instead of all edges of one source at once: the
            reference in words of the paper. Its parameters are those of the other form, edge by edge
            (``inherit.edge_by_edge``).
    """

    space: SearchSpace
    channels: int = 1
    scale: int = 1
    precision: Precision = "float32"
    remat: Remat = "none"
    plain: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch height*scale width*scale channel"]:
        """The residual of a degraded picture ``x`` in [0, 1].

        With ``train`` batch normalisation uses the batch's statistics, and ``batch_stats`` must be mutable.
        """
        space = self.space
        alpha, beta = self._architecture_weights()
        start = Start(space.start_width, name="start")(x.astype(self.precision))
        before, last = {0: start}, {0: start}  # outputs h_{l-2}, h_{l-1}, by level
        for layer in range(space.layers):
            rows = alpha[layer if space.layerwise else 0]
            outputs = {
                level: self._level(layer, level, last, before, rows, beta[layer], train)
                for level in space.levels(layer)
            }
            before, last = last, outputs
        features = jnp.concatenate([last[level] for level in sorted(last)], axis=-1)
        residual = End(space.end_width, self.channels, self.scale, name="end")(features)
        return residual.astype(jnp.float32)

    def _architecture_weights(self) -> tuple[Float[Array, "layer edge operation"], Float[Array, "layer level 3"]]:
        space = self.space
        layers = space.layers if space.layerwise else 1
        alpha = self.variable("arch", "alpha", jnp.zeros, (layers, space.edges, len(OPERATIONS)))
        beta = self.variable("arch", "beta", jnp.zeros, (space.layers, len(space.width_factors), len(MOVES)))
        return operation_weights(alpha.value), transitions(beta.value, space)

    def _level(
        self,
        layer: int,
        level: int,
        last: dict[int, Float[Array, "batch height width channel"]],
        before: dict[int, Float[Array, "batch height width channel"]],
        alpha: Float[Array, "edge operation"],
        beta: Float[Array, "level 3"],
        train: bool,
    ) -> Float[Array, "batch height width channel"]:
        """h_l^i: Eq. 5 with cell sharing, Eq. 6 without."""
        width, at = self.space.widths[level], f"{layer}_{level}"
        # where layer l-2 has no level i: the nearest narrower one
        f2 = Router(width, name=f"skip_router_{at}")(before[min(level, max(before))], train=train)
        weighted = [
            (k, beta[k, MOVES.index(level - k)], Router(width, name=f"router_{at}_from_{k}")(last[k], train=train))
            for k in self.space.incoming(layer, level)
        ]
        if self.space.cell_sharing:
            mixed = _sum([weight.astype(f.dtype) * f for _, weight, f in weighted])
            return self._cell(f"cell_{at}", mixed, f2, alpha, train)
        cells = [(weight, self._cell(f"cell_{at}_from_{k}", f, f2, alpha, train)) for k, weight, f in weighted]
        return _sum([weight.astype(h.dtype) * h for weight, h in cells])

    def _cell(
        self,
        name: str,
        f1: Float[Array, "batch height width channel"],
        f2: Float[Array, "batch height width channel"],
        alpha: Float[Array, "edge operation"],
        train: bool,
    ) -> Float[Array, "batch height width nodes*channel"]:
        cell = SuperCell(self.space.nodes, self.plain, self.remat, name=name)
        return recomputed(cell, self.remat == "cell", f1, f2, alpha, train=train)


def _sum(terms: list[Float[Array, "batch height width channel"]]) -> Float[Array, "batch height width channel"]:
    return functools.reduce(jnp.add, terms)
