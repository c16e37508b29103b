"""The seven candidate operations of section 3.1, for one edge or for several edges that leave one source.

A convolution operator is LeakyReLU, convolution, batch normalisation, in this order; separable ones do it twice.
Several edges with one source share one convolution whose outputs are stacked on the channels. This is exact, since
batch normalisation works channel by channel, and saves most of the convolutions of a supernet; in a mixture,
first convolutions of one size and dilation are one too, unless operations are recomputed. Every parameter therefore
leads with an edge axis, and the weights of one edge are a slice.

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


def activated(x: Float[Array, "batch height width channel"]) -> Float[Array, "batch height width channel"]:
    """LeakyReLU of a source, kept for all its operations: XLA would compute it again in each, sums and all."""
    kept: Float[Array, "batch height width channel"] = jax.lax.optimization_barrier(leaky_relu(x))
    return kept


class Operation(nn.Module):
    """One kind of operation for ``edges`` edges that leave one source.

    Attributes:
        kind: one of OPERATIONS.
        width: channels of the source and of each output.
        edges: how many edges it serves; the edge axis of its output and of its parameters.
        affine: whether batch normalisation learns scale and bias (off in search, on in a network).
        form: how a separable convolution is computed; all but "composed" for one edge only.
    """

    kind: str
    width: int
    edges: int = 1
    affine: bool = False
    form: Form = "composed"

    def setup(self) -> None:
        """Kernels and normalisation of each repeat."""
        repeats = range(CONVOLUTIONS[self.kind].repeats if self.kind in CONVOLUTIONS else 0)
        self.kernels = [self._kernels_of(repeat) for repeat in repeats]
        self.norm = [BatchNorm(self.affine) for _ in repeats]

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
        if self.kind == "skip":
            # not one product, whose gradient by x is a sum over the axis of edges, which XLA:CPU is slow at
            return jnp.stack([x * factor for factor in self._factors(weight).astype(x.dtype)], axis=-2)
        return self.after_first(self._convolve(activated(x)[..., None, :], self.kernels[0]), weight, train=train)

    def first_kernel(self) -> Float[Array, "edge kernel kernel channel out"]:
        """The dense kernel of the first convolution, which may be computed beside those of other operations."""
        return compose(*self.kernels[0])

    def after_first(
        self,
        y: Float[Array, "batch height width edge channel"],
        weight: Float[Array, "edge"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "batch height width edge channel"]:
        """All that comes after the first convolution, whose features are ``y``."""
        for repeat, (kernels, norm) in enumerate(zip(self.kernels, self.norm, strict=True)):
            if repeat > 0:
                y = self._convolve(leaky_relu(y), kernels)
            coefficients = norm(y, train=train)
            last = repeat == len(self.norm) - 1
            y = (coefficients.weighted(self._factors(weight)) if last else coefficients).apply(y)
        return y

    def _factors(self, weight: Float[Array, "edge"] | None) -> Float[Array, "edge 1"]:
        return jnp.ones((self.edges, 1)) if weight is None else weight[:, None]

    def _convolve(
        self,
        x: Float[Array, "batch height width one_or_edge channel"],
        kernels: Sequence[Float[Array, "edge kernel kernel _ out"]],
    ) -> Float[Array, "batch height width edge out"]:
        """Convolve the features of each edge, or of their one source."""
        convolution = CONVOLUTIONS[self.kind]
        if self.form == "composed":
            kernel = compose(*kernels)
            if x.shape[-2] == 1:
                return convolve_source(x[..., 0, :], kernel, convolution.dilation)
            return convolve_edges(x, kernel, convolution.dilation)
        only = [kernel[0] for kernel in kernels]
        if self.form == "apart" and convolution.separable:
            return convolve_apart(x[..., 0, :], *only)[..., None, :]
        return convolve_in_turn(x[..., 0, :], only, convolution.dilation)[..., None, :]

    def _kernels_of(self, repeat: int) -> list[Float[Array, "edge kernel kernel channel out"]]:
        convolution, edges, width = CONVOLUTIONS[self.kind], self.edges, self.width
        size = convolution.kernel_size
        if not convolution.separable:
            return [self.param(f"kernel_{repeat}", kernel_init, (edges, size, size, width, width))]
        return [
            self.param(f"depthwise_{repeat}", kernel_init, (edges, size, size, 1, width)),
            self.param(f"pointwise_{repeat}", kernel_init, (edges, 1, 1, width, width)),
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
        form: Form = "plain" if self.plain else "composed"
        # none returns zero: it only takes its share of the softmax
        kinds = [kind for kind in OPERATIONS if kind != "none"]
        operations = {kind: Operation(kind, x.shape[-1], self.edges, form=form, name=kind) for kind in kinds}
        alone = self.plain or self.remat == "operation"  # every operation for itself, from its source on
        first = {} if alone else _first_convolutions(x, operations)
        for kind, operation in operations.items():
            weight = alpha[:, OPERATIONS.index(kind)]
            if kind in first:
                total = total + operation.after_first(first[kind], weight, train=train)
            else:
                total = total + recomputed(operation, self.remat == "operation", x, weight, train=train)
        return total


def _first_convolutions(
    x: Float[Array, "batch height width channel"], operations: Mapping[str, Operation]
) -> dict[str, Float[Array, "batch height width edge channel"]]:
    """The first convolution of every operation that has one; kernels of one size and dilation are one convolution."""
    together: dict[tuple[int, int], list[str]] = {}
    for kind, convolution in CONVOLUTIONS.items():
        together.setdefault((convolution.kernel_size, convolution.dilation), []).append(kind)
    x = activated(x)
    found: dict[str, Float[Array, "batch height width edge channel"]] = {}
    for (_, dilation), kinds in together.items():
        kernels = jnp.concatenate([operations[kind].first_kernel() for kind in kinds])
        features = jnp.split(convolve_source(x, kernels, dilation), len(kinds), axis=-2)
        if len(kinds) > 1:  # else XLA would keep the parts and the whole for the gradient
            features = jax.lax.optimization_barrier(features)
        found.update(zip(kinds, features, strict=True))
    return found
