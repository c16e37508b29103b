"""Batch normalisation as a scale and an offset of each channel, so that what comes after it can take part in them.

A normalised feature, or one of Eq. 1's weighted sum, is then one product and one addition a value, and what is kept for
the gradient is the convolution's output alone. In the form that subtracts the mean first, the difference is kept too
(docs/performance.md).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

MOMENTUM: Final = 0.9
EPSILON: Final = 1e-5


class Coefficients(NamedTuple):
    """What normalises: ``y * scale + offset``, both float32, of the shape of the feature axes."""

    scale: Float[Array, "*feature"]
    offset: Float[Array, "*feature"]

    def weighted(self, weight: Float[Array, "..."]) -> Coefficients:
        """The coefficients of the normalised feature times ``weight``, which broadcasts to the feature axes."""
        return Coefficients(self.scale * weight, self.offset * weight)

    def apply(self, y: Float[Array, "batch height width *feature"]) -> Float[Array, "batch height width *feature"]:
        """The normalised feature, computed in float32, of the type of ``y``."""
        return (y.astype(jnp.float32) * self.scale + self.offset).astype(y.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation over batch, height and width; all axes after these are features.

    Statistics are float32 whatever the type of the features, and those of all devices' rows together.

    Attributes:
        affine: whether it learns a scale and a bias (off in search, on in a network).
    """

    affine: bool

    @nn.compact
    def __call__(self, y: Float[Array, "batch height width *feature"], *, train: bool) -> Coefficients:
        """The coefficients for ``y``: by its own statistics in training, which move the running ones, else by those."""
        feature = y.shape[3:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, feature)
        running_var = self.variable("batch_stats", "var", jnp.ones, feature)
        mean, var = running_mean.value, running_var.value
        if train:
            mean, var = _statistics(y)
            if not self.is_initializing():
                running_mean.value = MOMENTUM * running_mean.value + (1 - MOMENTUM) * mean
                running_var.value = MOMENTUM * running_var.value + (1 - MOMENTUM) * var
        scale = jax.lax.rsqrt(var + EPSILON)
        if not self.affine:
            return Coefficients(scale, -mean * scale)
        scale = scale * self.param("scale", nn.initializers.ones, feature)
        return Coefficients(scale, self.param("bias", nn.initializers.zeros, feature) - mean * scale)


def _statistics(
    y: Float[Array, "batch height width *feature"],
) -> tuple[Float[Array, "*feature"], Float[Array, "*feature"]]:
    """Mean and biased variance of each feature, from two sums of which neither waits for the other."""
    y = y.astype(jnp.float32)
    mean, of_squares = jnp.mean(y, (0, 1, 2)), jnp.mean(y * y, (0, 1, 2))
    return mean, jnp.maximum(of_squares - mean * mean, 0)  # rounding must not make it negative
