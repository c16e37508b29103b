"""Network: what an Architecture describes, ready to train."""

from __future__ import annotations

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hinas_jax.architecture import Architecture
from hinas_jax.space.cell import Cell
from hinas_jax.space.operations import CONVOLUTIONS, Form, Precision
from hinas_jax.space.parts import End, Router, Start


class Network(nn.Module):
    """f_res of Eq. 7 after the search: one cell a layer, of one width.

    Attributes:
        architecture: what was searched.
        precision: type of the features; parameters, statistics and the residual stay float32.
        form: how separable convolutions are computed (``fastest_form`` tells what suits the backend).
    """

    architecture: Architecture
    precision: Precision = "float32"
    form: Form = "composed"

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch height*scale width*scale channel"]:
        """The residual of a degraded picture ``x`` in [0, 1]."""
        architecture = self.architecture
        before = last = Start(architecture.start_width, name="start")(x.astype(self.precision))
        for layer, (cell, width) in enumerate(zip(architecture.cells, architecture.widths, strict=True)):
            f1 = f2 = None
            if cell.uses(0):
                f1 = Router(width, affine=True, name=f"router_{layer}")(last, train=train)
            if cell.uses(1):
                f2 = Router(width, affine=True, name=f"skip_router_{layer}")(before, train=train)
            before, last = last, Cell(cell, self.form, name=f"cell_{layer}")(f1, f2, train=train)
        residual = End(architecture.end_width, architecture.channels, architecture.scale, name="end")(last)
        return residual.astype(jnp.float32)


def receptive_radius(architecture: Architecture) -> int:
    """How far an output pixel sees, in input pixels to each side: the overlap that makes tiles equal the whole."""
    before = last = 2  # the start's two 3x3 convolutions
    for cell in architecture.cells:
        reach = [last, before]
        for edges in cell.nodes:
            reach.append(max(reach[e.source] + _radius(e.operation) for e in edges))
        before, last = last, max(reach[2:])
    return last + 2


def _radius(operation: str) -> int:
    return CONVOLUTIONS[operation].radius if operation in CONVOLUTIONS else 0
