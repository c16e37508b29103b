"""How alpha and beta moved during a search, drawn from its metrics: operations, edges and widths of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hinas_jax.architecture import OPERATIONS, source_name
from hinas_jax.ink import BLUE, DEEP, GREEN, GREY, INK, LINE, ORANGE, PURPLE, STYLE, save_figure
from hinas_jax.run_files import Row
from hinas_jax.space.search_space import MOVES

#: Of OPERATIONS: kinds as in drawings of architectures, the 5x5 of a kind darker than its 3x3.
_COLOURS: Final = (BLUE, "#F2A16B", ORANGE, "#6CCBB0", GREEN, PURPLE, LINE)
_LEVELS: Final = ("#c9d6e3", "#7f9dbb", DEEP, "#11202f")


def plot_evolution(metrics: Sequence[Row], path: Path) -> bool:
    """Plot a search's alpha and beta over its epochs, a column a layer.

    Above, the mean weight of every operation over the layer's edges; in the middle, the strongest operation of every
    edge other than none; below, the probability of every width level.

    Args:
        metrics: the rows, as ``read_metrics`` gives them.
        path: the file to write, ``.svg`` or ``.png``.

    Returns:
        Whether there is a row that tells alpha and beta; if not, nothing is written.

    Raises:
        ValueError: the path ends in neither ``.svg`` nor ``.png``.
        OSError: the file cannot be written.
    """
    rows = [row for row in metrics if "alpha" in row and "beta" in row]
    if not rows:
        return False
    epochs = np.array([row["epoch"] for row in rows])
    alpha, beta = (np.array([row[name] for row in rows]) for name in ("alpha", "beta"))
    layers = beta.shape[1]
    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
        figure = Figure(figsize=(max(7.5, 3.7 * layers), 8.2), layout=layout)
        grid = figure.subplots(3, layers, squeeze=False, sharex=True, sharey="row", height_ratios=(3, 3, 2))
        levels = level_probabilities(beta)
        for layer in range(layers):
            of_layer = alpha[:, min(layer, alpha.shape[1] - 1)]
            _plot_operations(grid[0, layer], epochs, of_layer)
            _plot_edges(grid[1, layer], epochs, of_layer)
            _plot_levels(grid[2, layer], epochs, levels[:, layer])
            grid[0, layer].set_title(f"Layer {layer}", size=10, weight="bold", color=INK, loc="left")
            grid[2, layer].set_xlabel("epoch", color=GREY, size=9)
        for axes, words in zip(grid[:, 0], (r"mean $\alpha$", "strongest on each edge", "width level"), strict=True):
            axes.set_ylabel(words, color=GREY, size=9)
        _add_legends(figure, levels.shape[-1])
        save_figure(figure, path)
    return True


def level_probabilities(
    beta: Float[np.ndarray, "epoch layer level 3"],
) -> Float[np.ndarray, "epoch layer level"]:
    """The probability that a path drawn by the transition probabilities ``beta`` has a level, in every layer."""
    epochs, layers, levels, _ = beta.shape
    at, found = np.zeros((epochs, levels)), []
    at[:, 0] = 1
    for layer in range(layers):
        moves = sum(beta[:, layer, :, m, None] * np.eye(levels, k=step) for m, step in enumerate(MOVES))
        at = np.einsum("es,est->et", at, moves)
        found.append(at)
    return np.stack(found, axis=1)


def _plot_operations(axes: Axes, epochs: Int[np.ndarray, " epoch"], alpha: np.ndarray) -> None:
    for k, weights in enumerate(alpha.mean(axis=1).T):
        axes.plot(epochs, weights, color=_COLOURS[k], lw=1.6, marker="o" if len(epochs) == 1 else "", ms=3)
    _prepare(axes)


def _plot_edges(axes: Axes, epochs: Int[np.ndarray, " epoch"], alpha: np.ndarray) -> None:
    """A row an edge, node by node, as its strongest operation; fainter where that leads by less."""
    kept = alpha[..., : OPERATIONS.index("none")]
    colours = ListedColormap(_COLOURS)(kept.argmax(-1).T)
    ordered = np.sort(kept, axis=-1)
    lead = (ordered[..., -1] - ordered[..., -2]) / np.maximum(ordered[..., -1], 1e-12)
    colours[..., 3] = 0.15 + 0.85 * np.minimum(1, 4 * lead.T)
    edges = alpha.shape[1]
    step = (epochs[-1] - epochs[0]) / max(len(epochs) - 1, 1) or 1
    extent = (epochs[0] - step / 2, epochs[-1] + step / 2, edges - 0.5, -0.5)
    axes.imshow(colours, aspect="auto", extent=extent, interpolation="nearest")
    names, node, source = [], 0, 0
    for edge in range(edges):
        names.append(f"${source_name(source)}$ to $x_{node + 1}$")
        if source == 0 and edge:
            axes.axhline(edge - 0.5, color="white", lw=2.5)
        node, source = (node, source + 1) if source < node + 1 else (node + 1, 0)
    axes.set_yticks(range(edges), names)
    _prepare(axes)


def _plot_levels(axes: Axes, epochs: Int[np.ndarray, " epoch"], levels: np.ndarray) -> None:
    colours = _level_colours(levels.shape[1])
    if len(epochs) == 1:
        epochs, levels = epochs[0] + np.array([-0.4, 0.4]), levels.repeat(2, axis=0)
    axes.stackplot(epochs, levels.T, colors=colours, lw=0)
    axes.set_ylim(0, 1)
    _prepare(axes)


def _level_colours(levels: int) -> list[str]:
    return [_LEVELS[min(level, len(_LEVELS) - 1)] for level in range(levels)]


def _prepare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.tick_params(color=LINE, labelcolor=GREY, labelsize=8)


def _add_legends(figure: Figure, levels: int) -> None:
    operations = [Patch(color=colour, label=name) for name, colour in zip(OPERATIONS, _COLOURS, strict=True)]
    widths = [Patch(color=colour, label=f"level {i}") for i, colour in enumerate(_level_colours(levels))]
    figure.legend(
        handles=operations + widths, loc="outside lower center", ncols=5, fontsize=8, frameon=False, labelcolor=INK
    )
