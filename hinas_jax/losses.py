"""The loss of Eq. 7."""

from __future__ import annotations

import math
from typing import Final, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from hinas_jax.metrics import ssim

PixelLoss = Literal["l2", "l1"]

#: Below this SSIM the logarithm goes on as its tangent, so that the loss and its gradient stay finite.
SSIM_FLOOR: Final = 0.01


def ssim_loss(similarity: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """l_ssim = log10(1 / SSIM) of Eq. 7, continued as a straight line below SSIM_FLOOR (SSIM may be 0 or negative)."""
    logarithm = -jnp.log10(jnp.maximum(similarity, SSIM_FLOOR))
    tangent = (SSIM_FLOOR - similarity) / (SSIM_FLOOR * math.log(10))
    return logarithm + jnp.maximum(tangent, 0.0)


def restoration_loss(
    restored: Float[Array, "batch height width channel"],
    clean: Float[Array, "batch height width channel"],
    *,
    ssim_weight: float = 0.6,
    pixel_loss: PixelLoss = "l2",
) -> Float[Array, ""]:
    """Eq. 7: pixel loss + lambda * l_ssim, the mean over the batch.

    Args:
        restored: f_net(x), about [0, 1].
        clean: ground truth in [0, 1]; both sides of a picture have 11 pixels or more.
        ssim_weight: lambda; 0 leaves the SSIM out of the computation altogether.
        pixel_loss: "l2", the mean squared error of the paper, or "l1", the mean absolute error.
    """
    difference = restored - clean
    pixels = jnp.mean(jnp.square(difference) if pixel_loss == "l2" else jnp.abs(difference))
    if ssim_weight == 0:
        return pixels
    return pixels + ssim_weight * jnp.mean(ssim_loss(ssim(restored, clean)))
