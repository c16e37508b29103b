"""f_net and the loss of Eq. 7 on a batch, for a supernet or a network. Pure; what search and training differentiate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from flax import linen as nn
from jaxtyping import Array, Float

from hinas_jax.config import LossConfig
from hinas_jax.losses import restoration_loss
from hinas_jax.tasks import Task, restore

Variables = Mapping[str, Any]  #: collections of a supernet ("params", "arch", "batch_stats") or of a network


def f_net(
    net: nn.Module, task: Task, variables: Variables, degraded: Float[Array, "batch height width channel"]
) -> Float[Array, "batch clean_height clean_width channel"]:
    """The restored pictures f_res(x) + f_skip(x), by the running statistics; not clipped."""
    residual = cast("Float[Array, '...']", net.apply(variables, degraded, train=False))
    return restore(task, residual, degraded)


def batch_loss(
    net: nn.Module,
    task: Task,
    loss: LossConfig,
    variables: Variables,
    degraded: Float[Array, "batch height width channel"],
    clean: Float[Array, "batch clean_height clean_width channel"],
) -> tuple[Float[Array, ""], Mapping[str, Any]]:
    """Eq. 7 with the batch's statistics, and the running statistics moved by them. Differentiable in ``variables``."""
    residual, moved = net.apply(variables, degraded, train=True, mutable=["batch_stats"])
    restored = restore(task, residual, degraded)
    value = restoration_loss(restored, clean, ssim_weight=loss.ssim_weight, pixel_loss=loss.pixel_loss)
    return value, moved["batch_stats"]
