"""The search watched: what each epoch leaves of alpha and beta, when skip connections take over, when to stop early.

A search that goes on for long tends to collapse to skip connections (section 3.4). The rules here are DARTS+'s (Liang
et al. 2019, arXiv 1909.06035), read off the rows of metrics.jsonl, so that a search that goes on from a checkpoint
decides as one that was never interrupted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hinas_jax.architecture import OPERATIONS, Architecture, CellArchitecture
from hinas_jax.config import Config, DecodeConfig, SearchConfig
from hinas_jax.run_files import Row
from hinas_jax.space.decode import INPUTS_PER_NODE, decode
from hinas_jax.space.operations import CONVOLUTIONS
from hinas_jax.space.relaxation import entropy, operation_weights, transitions

DIGITS: Final = 6  #: of the weights that are written

_LEARNED: Final = [k for k, name in enumerate(OPERATIONS) if name in CONVOLUTIONS]


def decode_for(arch: Any, config: Config) -> Architecture:
    """The architecture that alpha and beta describe now, as the config says that they are read."""
    task = config.task
    return decode(
        arch,
        config.space,
        task=task.name,
        channels=task.channels,
        scale=task.scale,
        residual=task.residual,
        max_skips=config.decode.max_skips,
    )


def describe(arch: Any, architecture: Architecture, config: Config) -> dict[str, Any]:
    """What metrics.jsonl says of alpha and beta after an epoch.

    Args:
        arch: {"alpha", "beta"}, before any softmax.
        architecture: what is decoded from them.
        config: the experiment.

    Returns:
        alpha_entropy, beta_entropy: nats, means over rows. skip_count: skips kept in all cells. levels: the decoded
        path. parameters. architecture: one line a cell (``compact``). alpha_skips: by cell, the skips that alpha alone
        would keep, whatever ``decode.max_skips`` says. alpha: the weights, [layer or 1][edge][operation]; beta: the
        transition probabilities, [layer][level][narrower, same, wider].
    """
    alpha, beta = operation_weights(arch["alpha"]), transitions(arch["beta"], config.space)
    beta_entropy = entropy(beta)
    unlimited = decode_for(arch, dataclasses.replace(config, decode=DecodeConfig()))
    return {
        "alpha_entropy": float(entropy(alpha).mean()),
        "beta_entropy": float(beta_entropy.sum() / jnp.maximum((beta_entropy > 0).sum(), 1)),
        "skip_count": sum(_skips(architecture)),
        "alpha_skips": _skips(unlimited),
        "levels": list(architecture.levels),
        "parameters": architecture.parameters(),
        "architecture": [compact(cell) for cell in architecture.cells],
        "alpha": _rounded(alpha),
        "beta": _rounded(beta),
    }


def compact(cell: CellArchitecture) -> str:
    """A cell in one line: sources and operations, node by node, as ``0 conv3 + 1 skip | 0 sep3 + 2 dil5``.

    Sources count as in ``Edge``: 0 is h_{l-1}, 1 is h_{l-2}, 2 + j is node j.
    """
    return " | ".join(" + ".join(f"{edge.source} {edge.operation}" for edge in edges) for edges in cell.nodes)


def skips_taking_over(before: Sequence[Row], row: Row, config: Config) -> str | None:
    """A warning for people, the first time that alpha makes half of a cell's kept edges, or more, skip connections.

    Args:
        before: the rows of the epochs before.
        row: that of this epoch.
        config: the experiment.
    """
    edges = INPUTS_PER_NODE * config.space.nodes
    if any(2 * count >= edges for earlier in before for count in earlier.get("alpha_skips", [])):
        return None
    cell, count = max(enumerate(row["alpha_skips"]), key=lambda pair: pair[1])
    if 2 * count < edges:
        return None
    return (
        f"warning: skip connections take over: {count} of the {edges} edges of cell {cell} after epoch {row['epoch']};"
        " a longer warm-up (search.warmup), search.early_stop or decode.max_skips hold them back"
    )


def early_stop(rows: Sequence[Row], config: SearchConfig) -> str | None:
    """Why ``config.early_stop`` ends the search after the last of these rows; None: it goes on.

    skip-count: alpha keeps ``skip_limit`` skip connections or more in one cell. rank-stable: on every edge, the ranking
    of the convolution operators by alpha is as it was ``stable_epochs`` epochs before and in every one between.
    Epochs of the warm-up, in which alpha stands still, do not count.
    """
    rows = [row for row in rows if row["phase"] == "alternate"]
    if config.early_stop == "skip-count" and rows:
        most = max(rows[-1]["alpha_skips"])
        if most >= config.skip_limit:
            return f"a cell has {most} skip connections (search.skip_limit {config.skip_limit})"
    if config.early_stop == "rank-stable" and len(rows) > config.stable_epochs:
        first, *others = (_ranking(row) for row in rows[-config.stable_epochs - 1 :])
        if all(np.array_equal(first, other) for other in others):
            return f"the ranking of alpha has not changed for {config.stable_epochs} epochs"
    return None


def _ranking(row: Row) -> np.ndarray:
    """Of every edge, the convolution operators from strongest to weakest."""
    return np.argsort(-np.array(row["alpha"])[..., _LEARNED], axis=-1, kind="stable")


def _skips(architecture: Architecture) -> list[int]:
    return [cell.operations().count("skip") for cell in architecture.cells]


def _rounded(weights: Float[Array, "..."]) -> list[Any]:
    digits: list[Any] = np.round(np.asarray(weights, np.float64), DIGITS).tolist()
    return digits
