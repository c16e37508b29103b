"""The optax transforms: one for the kernels and one for alpha and beta while searching, one while training."""

from __future__ import annotations

import optax

from hinas_jax.config import SearchConfig, TrainConfig


def weight_optimiser(config: SearchConfig, steps: int) -> optax.GradientTransformation:
    """SGD with momentum and a cosine schedule over ``steps`` updates, for the kernels (section 4.1)."""
    schedule = optax.cosine_decay_schedule(
        config.learning_rate, steps, alpha=config.final_learning_rate / config.learning_rate
    )
    return optax.chain(
        _clip(config.gradient_clip),
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(schedule, momentum=config.momentum),
    )


def arch_optimiser(config: SearchConfig) -> optax.GradientTransformation:
    """Adam with coupled weight decay, for alpha and beta (section 4.1)."""
    return optax.chain(optax.add_decayed_weights(config.arch_weight_decay), optax.adam(config.arch_learning_rate))


def training_optimiser(config: TrainConfig) -> optax.GradientTransformation:
    """The recipe that ``config.recipe`` names, for a network's kernels."""
    clip = _clip(config.gradient_clip)
    if config.recipe == "paper":
        schedule = optax.polynomial_schedule(config.learning_rate, 0.0, 0.9, config.steps)
        return optax.chain(clip, optax.add_decayed_weights(4e-5), optax.sgd(schedule, momentum=0.9))
    rise = min(500, config.steps // 10)
    schedule = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, rise, config.steps)
    return optax.chain(clip, optax.adamw(schedule, weight_decay=1e-4))


def _clip(norm: float) -> optax.GradientTransformation:
    """Shrink gradients of a larger global norm to ``norm``; 0: none."""
    return optax.clip_by_global_norm(norm) if norm else optax.identity()
