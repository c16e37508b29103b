"""Where a loss or a gradient ceases to be a number: what a step tells of itself, and how that is told to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float


class DivergenceError(ValueError):
    """A loss or a gradient is NaN or infinite. The message is one line for people.

    Attributes:
        step: the first step of which that is so, counted from 1; 0 where none is known.
    """

    def __init__(self, message: str, step: int = 0) -> None:
        super().__init__(message)
        self.step = step


@struct.dataclass
class Outcome:
    """What an update, or several stacked ones, tells of itself.

    Attributes:
        loss: Eq. 7 on the batch.
        peaks: largest absolute value of the gradient in each parameter group, in the order of ``group_names``;
            NaN or infinite where any value is.
    """

    loss: Float[Array, "*step"]
    peaks: Float[Array, "*step group"]


def group_names(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameter groups: a net's modules by name, or alpha and beta."""
    return tuple(sorted(params))


def outcome(loss: Float[Array, ""], gradient: Mapping[str, Any]) -> Outcome:
    """The outcome of one update, from its loss and the gradient as it was before any clipping."""
    peaks = []
    for name in group_names(gradient):
        leaves = jax.tree.leaves(gradient[name])
        peaks.append(jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)).astype(jnp.float32) for leaf in leaves])))
    return Outcome(loss, jnp.stack(peaks))


def require_finite(what: str, names: Sequence[str], outcomes: Outcome, first: int) -> None:
    """Check the outcomes of consecutive steps.

    Args:
        what: the loss's name: loss, arch_loss.
        names: of the parameter groups.
        outcomes: losses of shape [step], peaks of shape [step, group].
        first: number of the first step, counted from 1.

    Raises:
        DivergenceError: not all are finite; it tells the first step that is not, and the parameter groups.
    """
    losses, peaks = np.asarray(outcomes.loss), np.asarray(outcomes.peaks)
    finite = np.isfinite(losses) & np.isfinite(peaks).all(axis=1)
    if finite.all():
        return
    at = int(np.argmin(finite))
    bad = [name for name, peak in zip(names, peaks[at], strict=True) if not np.isfinite(peak)]
    told = f"step {first + at}: {what} is {losses[at]:g}"
    if not bad:
        raise DivergenceError(told, first + at)
    where = "all parameter groups" if len(bad) == len(names) > 2 else ", ".join(bad)
    raise DivergenceError(f"{told}, and the gradient is not finite in {where}", first + at)


#: The fields of a config that may differ where a run goes on after it diverged: they steer how far a step goes, and no
#: state has another form for them.
STEADYING: Final[Mapping[str, tuple[str, ...]]] = {
    "search": (
        "search.learning_rate", "search.final_learning_rate", "search.arch_learning_rate", "search.gradient_clip",
    ),
    "train": ("train.learning_rate", "train.gradient_clip"),
}  # fmt: skip


def mend(section: str, rates: Mapping[str, float], gradient_clip: float) -> str:
    """What to do about it, by the fields of the config's ``section``, search or train: ``rates`` by name, the clip."""
    fields = [f"{section}.{name} ({rate:g})" for name, rate in rates.items()]
    if not gradient_clip:
        return f"lower {' or '.join(fields)}, or set {section}.gradient_clip"
    fields.append(f"{section}.gradient_clip ({gradient_clip:g})")
    return f"lower {', '.join(fields[:-1])} or {fields[-1]}"
