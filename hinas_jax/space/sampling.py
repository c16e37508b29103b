"""Architectures drawn at random from a search space, each as likely as any other: the baseline of every search."""

from __future__ import annotations

import itertools

import numpy as np

from hinas_jax.architecture import OPERATIONS, Architecture, CellArchitecture, Edge
from hinas_jax.space.decode import INPUTS_PER_NODE
from hinas_jax.space.search_space import SearchSpace

_KEPT = tuple(name for name in OPERATIONS if name != "none")


def random_architecture(
    rng: np.random.Generator,
    space: SearchSpace,
    *,
    task: str,
    channels: int,
    scale: int,
    residual: bool = True,
) -> Architecture:
    """One of all architectures that decoding can give, all equally likely.

    Args:
        rng: where the randomness comes from.
        space: the space; without layer-wise sharing all layers get one cell.
        task: the task's name.
        channels: channels of a picture.
        scale: factor of the super-resolution, 1 for denoising.
        residual: whether the network learns the residual.
    """
    cells = [random_cell(rng, space.nodes) for _ in range(space.layers if space.layerwise else 1)]
    cells = cells if space.layerwise else cells * space.layers
    levels = random_path(rng, space)
    return space.architecture(cells, levels, task=task, channels=channels, scale=scale, residual=residual)


def random_cell(rng: np.random.Generator, nodes: int) -> CellArchitecture:
    """A cell whose every node keeps two different inputs, each with any operation but none."""
    cell = []
    for node in range(nodes):
        sources = sorted(rng.choice(node + 2, INPUTS_PER_NODE, replace=False).tolist())
        cell.append(tuple(Edge(source, _KEPT[int(rng.integers(len(_KEPT)))]) for source in sources))
    return CellArchitecture(tuple(cell))


def random_path(rng: np.random.Generator, space: SearchSpace) -> tuple[int, ...]:
    """A path of width levels by moves of one at most; a move is as likely as there are paths that go on from it."""
    path = [0]
    for layer in range(space.layers):
        targets = space.outgoing(layer, path[-1])
        weights = np.array([_paths_from(space, layer + 1, target) for target in targets], float)
        path.append(int(rng.choice(targets, p=weights / weights.sum())))
    return tuple(path[1:])


def architecture_count(space: SearchSpace) -> int:
    """How many architectures the space holds: the cells of every layer times the paths."""
    inputs = [len(list(itertools.combinations(range(node + 2), INPUTS_PER_NODE))) for node in range(space.nodes)]
    cells = 1
    for pairs in inputs:
        cells *= pairs * len(_KEPT) ** INPUTS_PER_NODE
    return int(cells ** (space.layers if space.layerwise else 1) * _paths_from(space, 0, 0))


def _paths_from(space: SearchSpace, layer: int, level: int) -> int:
    """Paths through layers ``layer`` to the last, from ``level`` of the layer before."""
    counts = dict.fromkeys(range(len(space.width_factors)), 1)
    for later in reversed(range(layer, space.layers)):
        counts = {source: sum(counts[target] for target in space.outgoing(later, source)) for source in counts}
    return counts[level]
