"""Rematerialisation: inner values of a module are not kept for the gradient but computed again where it needs them.

It rests on barriers, which XLA drops on CPU unless it is told not to (``compiling``); without them as much is alive as
before (docs/performance.md).
"""

from __future__ import annotations

from flax import linen as nn
from jaxtyping import Array, Float


def recomputed(module: nn.Module, on: bool, *inputs: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
    """Apply ``module`` to ``inputs``; if ``on``, recompute its inner values for the gradient."""

    def call(module: nn.Module, *inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        y: Float[Array, "..."] = module(*inputs, train=train)
        return y

    return (nn.remat(call) if on else call)(module, *inputs)
