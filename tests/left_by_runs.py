"""What tests look at of a run: its rows, and whether two states are the same bits. And a run that says nothing."""

import dataclasses
import json

import jax
import numpy as np


def quiet(_):
    """Say nothing."""


def rows(workdir):
    """The rows of a run's metrics."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def without_seconds(workdir):
    """The same without what tells of time."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows(workdir)]


def leaves_equal(one, other):
    """Whether two trees hold the same bits."""
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def with_train(config, **fields):
    """The config with other fields of its part ``train``."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **fields))
