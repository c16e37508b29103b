"""A trained network as it is best run: the same function in fewer operations.

Batch normalisation is a fixed scale and shift after training, so it goes into the convolution before it. The 1x1
convolutions that leave one feature are one convolution with their outputs stacked; those that leave the start part
merge with its second convolution, since nothing stands between. Equal operations that leave one source are stacked, as
in the supernet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hinas_jax.architecture import Architecture, CellArchitecture
from hinas_jax.space.convolution import compose, convolve
from hinas_jax.space.depthwise import depthwise
from hinas_jax.space.normalisation import EPSILON
from hinas_jax.space.operations import CONVOLUTIONS, leaky_relu
from hinas_jax.space.parts import pixel_shuffle

Tree = Mapping[str, Any]
Weights = dict[str, Any]
Feature = Float[Array, "batch height width channel"]


def fold(architecture: Architecture, variables: Tree) -> Weights:
    """The weights that ``apply_folded`` takes, from {"params", "batch_stats"} of ``Network(architecture)``."""
    params, stats = (
        jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables.get(collection, {}))
        for collection in ("params", "batch_stats")
    )
    weights: Weights = {"start": params["start"]["conv_0"], **params["end"]}
    for source in range(-1, len(architecture.cells) - 1):
        names = [name for name, _ in _routers(architecture, source)]
        if names:
            routers = [_with_norm(params[name]["conv"]["kernel"], params[name], stats[name], "norm") for name in names]
            weights[f"route_{source}"] = _stack(routers)
    if _merges(architecture):
        weights["route_-1"] = _after(params["start"]["conv_1"], weights["route_-1"])
    else:
        weights["feature"] = params["start"]["conv_1"]
    for layer, cell in enumerate(architecture.cells):
        name = f"cell_{layer}"
        weights[name] = _fold_cell(cell, params.get(name, {}), stats.get(name, {}))
    folded: Weights = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), weights)
    return folded


def apply_folded(
    architecture: Architecture, weights: Tree, x: Float[Array, "batch height width channel"], *, apart: bool
) -> Float[Array, "batch height*scale width*scale channel"]:
    """The residual of a degraded picture ``x`` in [0, 1]: what ``Network(architecture)`` gives with ``train=False``.

    Args:
        architecture: the network's.
        weights: of ``fold``.
        x: degraded pictures.
        apart: compute a depthwise convolution by itself, as a sum of shifted products (the fastest on CPUs), instead
            of composing it with its pointwise convolution into one dense kernel (for devices with matrix units).
    """
    h = leaky_relu(_convolve(x, weights["start"]))
    if "feature" in weights:
        h = _convolve(h, weights["feature"])
    features: dict[str, Feature] = {}
    for layer, cell in enumerate(architecture.cells):
        features |= _route(architecture, layer - 1, weights, h)
        inputs = (features.get(f"router_{layer}"), features.get(f"skip_router_{layer}"))
        h = _apply_cell(cell, weights[f"cell_{layer}"], inputs, apart)
    y = _convolve(leaky_relu(_convolve(h, weights["conv_0"])), weights["residual"])
    return pixel_shuffle(y, architecture.scale)


def _routers(architecture: Architecture, source: int) -> list[tuple[str, int]]:
    """Name and width of the 1x1 convolutions that take the output of layer ``source`` (-1: the start part)."""
    found = []
    for layer, (cell, width) in enumerate(zip(architecture.cells, architecture.widths, strict=True)):
        if layer - 1 == source and cell.uses(0):
            found.append((f"router_{layer}", width))
        if max(layer - 2, -1) == source and cell.uses(1):
            found.append((f"skip_router_{layer}", width))
    return found


def _merges(architecture: Architecture) -> bool:
    """Whether 3x3 convolutions straight to the routers' widths cost less than one to the start's and 1x1 from there."""
    start, routed = architecture.start_width, sum(width for _, width in _routers(architecture, -1))
    return 0 < 9 * routed <= 9 * start + routed


def _route(architecture: Architecture, source: int, weights: Tree, h: Feature) -> dict[str, Feature]:
    routers = _routers(architecture, source)
    if not routers:
        return {}
    y = _convolve(h, weights[f"route_{source}"])
    ends = np.cumsum([width for _, width in routers])
    return {name: y[..., end - width : end] for (name, width), end in zip(routers, ends, strict=True)}


def _with_norm(kernel: np.ndarray, params: Tree, stats: Tree, norm: str) -> Weights:
    """A convolution and the normalisation after it as one convolution."""
    mean, variance = stats[norm]["mean"].reshape(-1), stats[norm]["var"].reshape(-1)
    scale = params[norm]["scale"].reshape(-1) / np.sqrt(variance + EPSILON)
    return {"kernel": kernel * scale, "bias": params[norm]["bias"].reshape(-1) - mean * scale}


def _stack(convolutions: Sequence[Tree]) -> Weights:
    return {name: np.concatenate([one[name] for one in convolutions], axis=-1) for name in ("kernel", "bias")}


def _after(first: Tree, pointwise: Tree) -> Weights:
    """A convolution, then a 1x1 convolution, as one convolution."""
    matrix = pointwise["kernel"][0, 0]
    return {"kernel": first["kernel"] @ matrix, "bias": first["bias"] @ matrix + pointwise["bias"]}


def _groups(cell: CellArchitecture, source: int) -> dict[str, list[int]]:
    """The nodes that take ``source``, by operation."""
    groups: dict[str, list[int]] = {}
    for node, edges in enumerate(cell.nodes):
        for edge in edges:
            if edge.source == source:
                groups.setdefault(edge.operation, []).append(node)
    return groups


def _fold_cell(cell: CellArchitecture, params: Tree, stats: Tree) -> Weights:
    """For each group of ``_groups`` one stacked convolution, or, if separable, its pairs of each node."""
    weights: Weights = {}
    for source in range(len(cell.nodes) + 1):
        for operation, nodes in _groups(cell, source).items():
            if operation not in CONVOLUTIONS:
                continue
            names = [f"node_{node}_source_{source}" for node in nodes]
            if CONVOLUTIONS[operation].separable:
                weights[f"{source}_{operation}"] = [_fold_pairs(params[name], stats[name]) for name in names]
            else:
                weights[f"{source}_{operation}"] = _stack(
                    [_with_norm(params[name]["kernel_0"][0], params[name], stats[name], "norm_0") for name in names]
                )
    return weights


def _fold_pairs(params: Tree, stats: Tree) -> list[Weights]:
    """The two depthwise and pointwise pairs of a separable operation."""
    return [
        {
            "depthwise": params[f"depthwise_{turn}"][0],
            "pointwise": _with_norm(params[f"pointwise_{turn}"][0], params, stats, f"norm_{turn}"),
        }
        for turn in range(2)
    ]


def _apply_cell(
    cell: CellArchitecture, weights: Tree, inputs: tuple[Feature | None, Feature | None], apart: bool
) -> Feature:
    nodes: list[Any] = [0.0] * len(cell.nodes)
    for source in range(len(cell.nodes) + 1):  # by then all sources of that node have been added
        x: Any = inputs[source] if source < 2 else nodes[source - 2]
        for operation, targets in _groups(cell, source).items():
            outputs = _operate(operation, weights.get(f"{source}_{operation}"), x, len(targets), apart)
            for node, y in zip(targets, outputs, strict=True):
                nodes[node] = nodes[node] + y
    return jnp.concatenate(nodes, axis=-1)


def _operate(operation: str, weights: Any, x: Feature, count: int, apart: bool) -> list[Feature]:
    """One operation for ``count`` nodes that take the source ``x``."""
    if operation == "skip":
        return [x] * count
    convolution = CONVOLUTIONS[operation]
    if not convolution.separable:
        return jnp.split(_convolve(leaky_relu(x), weights, convolution.dilation), count, axis=-1)
    outputs = []
    for pairs in weights:
        y = x
        for pair in pairs:
            y = _separable(leaky_relu(y), pair, apart)
        outputs.append(y)
    return outputs


def _separable(x: Feature, pair: Tree, apart: bool) -> Feature:
    kernel, pointwise = jnp.asarray(pair["depthwise"]), pair["pointwise"]
    if apart:
        return _convolve(depthwise(x, kernel[:, :, 0]), pointwise)
    kernel = compose(kernel[None], pointwise["kernel"][None])[0]
    return _convolve(x, {"kernel": kernel, "bias": pointwise["bias"]})


def _convolve(x: Feature, weights: Tree, dilation: int = 1) -> Feature:
    y: Feature = convolve(x, jnp.asarray(weights["kernel"]), dilation) + weights["bias"]
    return y
