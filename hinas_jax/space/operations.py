"""The seven candidate operations of section 3.1, for one edge or for several edges that leave one source.

A convolution operator is LeakyReLU, convolution, batch normalisation, in this order; separable ones do it twice.
Several edges with one source share one convolution whose outputs are stacked on the channels. This is exact, since
batch normalisation works channel by channel, and saves most of the convolutions of a supernet. Every parameter
therefore leads with an edge axis, and the weights of one edge are a slice.

A separable convolution has three forms (``Form``). "plain" computes as the paper says it: a depthwise, then a
pointwise convolution. It is the reference that the others are tested and timed against. "composed" makes one dense
kernel of the two, and is for several edges too. "apart" is "plain" with sums of shifted features for the depthwise one.

All arithmetic is done in the type of the features, but for batch normalisation, which is float32.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hinas_jax.architecture import OPERATIONS
from hinas_jax.space.convolution import compose, convolve_apart, convolve_edges, convolve_in_turn, convolve_source
from hinas_jax.space.initialise import kernel_init
from hinas_jax.space.normalisation import BatchNorm
from hinas_jax.space.recompute import recomputed

#: Which inner values are computed again for the gradient instead of kept: none, those of cells, of operations.
Remat = Literal["none", "cell", "operation"]

#: Type of the features.
Precision = Literal["float32", "bfloat16"]

#: How separable convolutions are computed.
Form = Literal["plain", "composed", "apart"]

NEGATIVE_SLOPE: Final = 0.2


def fastest_form() -> Form:
    """The form of a network that suits this backend: CPUs take fewer operations, others have matrix units.

    A supernet is composed everywhere: apart it takes as long on a CPU, and more memory.
    """
    return "apart" if jax.default_backend() == "cpu" else "composed"


@dataclasses.dataclass(frozen=True)
class Convolution:
    """What sets one convolution operator apart from another."""

    kernel_size: int
    dilation: int = 1
    separable: bool = False

    @property
    def repeats(self) -> int:
        """How often LeakyReLU, convolution and normalisation are applied."""
        return 2 if self.separable else 1

    @property
    def radius(self) -> int:
        """How far an output pixel sees, in pixels to each side."""
        return self.repeats * self.dilation * (self.kernel_size // 2)


CONVOLUTIONS: Final[Mapping[str, Convolution]] = {
    "conv3": Convolution(3),
    "sep3": Convolution(3, separable=True),
    "sep5": Convolution(5, separable=True),
    "dil3": Convolution(3, dilation=2),
    "dil5": Convolution(5, dilation=2),
}


@jax.custom_vjp
def leaky_relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """LeakyReLU with the slope that all operations share.

    Its gradient is computed from its result, which the next convolution keeps anyway. From ``x``, XLA would compute
    all that ``x`` is the sum of a second time (docs/performance.md). In reverse mode only: ``jax.jvp`` refuses it.
    """
    return jnp.maximum(x, NEGATIVE_SLOPE * x)


def _leaky_relu_forward(x: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    y = leaky_relu(x)
    return y, y


def _leaky_relu_backward(y: Float[Array, "..."], gradient: Float[Array, "..."]) -> tuple[Float[Array, "..."]]:
    return (gradient * jnp.where(y >= 0, 1, NEGATIVE_SLOPE).astype(gradient.dtype),)


leaky_relu.defvjp(_leaky_relu_forward, _leaky_relu_backward)


class Operation(nn.Module):
    """One kind of operation for ``edges`` edges that leave one source.

    Attributes:
        kind: one of OPERATIONS.
        edges: how many edges it serves; the edge axis of its output and of its parameters.
        affine: whether batch normalisation learns scale and bias (off in search, on in a network).
        form: how a separable convolution is computed; all but "composed" for one edge only.
    """

    kind: str
    edges: int = 1
    affine: bool = False
    form: Form = "composed"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channel"],
        weight: Float[Array, "edge"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "batch height width edge channel"]:
        """Apply the operation of every edge to the source ``x``, times its ``weight``; channels and size stay."""
        if self.kind == "none":
            return jnp.zeros((*x.shape[:-1], self.edges, x.shape[-1]), x.dtype)
        weights = jnp.ones((self.edges, 1)) if weight is None else weight[:, None]
        y = x[..., None, :]
        if self.kind == "skip":
            # not one product, whose gradient by x is a sum over the axis of edges, which XLA:CPU is slow at
            return jnp.stack([x * weight for weight in weights.astype(x.dtype)], axis=-2)
        convolution = CONVOLUTIONS[self.kind]
        last = convolution.repeats - 1
        for repeat in range(convolution.repeats):
            kernels = self._kernels(convolution, x.shape[-1], f"_{repeat}")
            y = leaky_relu(y)
            if repeat == 0:  # kept for all operations of a source: XLA would compute it again in each, sums and all
                y = jax.lax.optimization_barrier(y)
            y = self._convolve(y, kernels, convolution)
            norm = BatchNorm(self.affine, name=f"norm_{repeat}")(y, train=train)
            y = (norm.weighted(weights) if repeat == last else norm).apply(y)
        return y

    def _convolve(
        self,
        x: Float[Array, "batch height width one_or_edge channel"],
        kernels: Sequence[Float[Array, "edge kernel kernel _ out"]],
        convolution: Convolution,
    ) -> Float[Array, "batch height width edge out"]:
        """Convolve the features of each edge, or of their one source."""
        if self.form == "composed":
            kernel = compose(*kernels)
            if x.shape[-2] == 1:
                return convolve_source(x[..., 0, :], kernel, convolution.dilation)
            return convolve_edges(x, kernel, convolution.dilation)
        only = [kernel[0] for kernel in kernels]
        if self.form == "apart" and convolution.separable:
            return convolve_apart(x[..., 0, :], *only)[..., None, :]
        return convolve_in_turn(x[..., 0, :], only, convolution.dilation)[..., None, :]

    def _kernels(
        self, convolution: Convolution, width: int, suffix: str
    ) -> list[Float[Array, "edge kernel kernel channel out"]]:
        size, edges = convolution.kernel_size, self.edges
        if not convolution.separable:
            return [self.param(f"kernel{suffix}", kernel_init, (edges, size, size, width, width))]
        return [
            self.param(f"depthwise{suffix}", kernel_init, (edges, size, size, 1, width)),
            self.param(f"pointwise{suffix}", kernel_init, (edges, 1, 1, width, width)),
        ]


class MixedOperations(nn.Module):
    """O^{j->i} of Eqs. 1 and 2 for all edges that leave one source: the alpha-weighted sum of all operations.

    Attributes:
        edges: how many edges.
        plain: depthwise and pointwise convolutions one by one, the reference; for one edge only.
        remat: "operation" recomputes each operation's inner values for the gradient.
    """

    edges: int
    plain: bool = False
    remat: Remat = "none"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channel"],
        alpha: Float[Array, "edge operation"],
        *,
        train: bool,
    ) -> Float[Array, "batch height width edge channel"]:
        """Sum the operations of every edge, weighted by ``alpha`` (probabilities over OPERATIONS, one row an edge)."""
        total = jnp.zeros((), x.dtype)
        for k, kind in enumerate(OPERATIONS):
            if kind == "none":  # returns zero: it only takes its share of the softmax
                continue
            operation = Operation(kind, self.edges, form="plain" if self.plain else "composed", name=kind)
            total = total + recomputed(operation, self.remat == "operation", x, alpha[:, k], train=train)
        return total
