"""Restorations side by side: the paper's Figs. 5, 6, 8, 9, 12 and 13.

One test picture: what was given, what no network and what each network makes of it, and the clean one, all as the
protocol ``standard`` measures it and with what it measures. Nothing is chosen by how it looks: the picture is the
one that the paper shows, or else the first of the set; of it a square is shown, the one with the most detail when
clean; a network is a variant's first.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hinas_jax.evaluation import baseline, network_restorer
from hinas_jax.ink import GREY, INK, ORANGE, STYLE, save_figure
from hinas_jax.modelfile import Model
from hinas_jax.protocols import Example, Restorer, example
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.definition import Shown, Table
from hinas_jax.tables.networks import Trained
from hinas_jax.tables.pictures import TestSet, find_shown
from hinas_jax.tasks import Task

SIDE: Final = 72  #: pixels of the square, along a side; a multiple of all scales
ZOOM: Final = 4  #: nearest neighbour: each pixel is so many wide and high
_DPI: Final = 160  #: of ``save_figure``, so that the sizes below are pixels
_GAP, _MARGIN, _HEAD, _LABEL = 20, 28, 92, 68
_MOST_IN_A_ROW: Final = 5
_LETTERS: Final = 25  #: of a method's name in a line


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """A square of one version of the picture, at the clean one's size."""

    name: str
    about: str
    """The whole picture's score, where there is one."""
    pixels: UInt8[np.ndarray, "side side channel"]


def draw_restorations(
    table: Table, nets: Sequence[Trained], sets: Mapping[int, Sequence[TestSet]], budget: Budget, folder: Path
) -> list[Path]:
    """Draw table_NUMBER_restored_0.png and so on into ``folder``, one for each picture that the paper shows.

    Args:
        table: the definition.
        nets: all networks; what diverged is not shown, and without any nothing is drawn.
        sets: the test sets of each scale.
        budget: of the networks.
        folder: where to.

    Returns:
        The files.
    """
    paths: list[Path] = []
    drawn: set[tuple[TestSet, int, str]] = set()
    for shown in table.shown:
        own = _first_of_each(nets, shown)
        if not own:
            continue
        config = own[0].config
        test, number, picture = find_shown(shown, sets[shown.scale], config.task.channels)
        if (test, number, shown.level) in drawn:  # two that the paper shows are missing: the first stands for both
            continue
        drawn.add((test, number, shown.level))
        (name,), (pixels,) = picture.names, picture.pixels
        panels, corner = make_panels(own, config.task.build(), pixels, number)
        head = f"{name.rpartition('/')[-1]} of {test.name}, {shown.level}"
        about = (
            "Protocol standard: PSNR and SSIM of the whole picture.\n"
            f"The square with the most detail; seed {config.seed}, budget {budget.fraction:g}"
        )
        paths.append(folder / f"table_{table.number}_restored_{len(paths)}.png")
        _draw(panels, pixels, corner, head, about, paths[-1])
    return paths


def make_panels(
    nets: Sequence[Trained], task: Task, pixels: UInt8[np.ndarray, "height width channel"], number: int
) -> tuple[list[Panel], tuple[int, int]]:
    """The given square, then what no network and each network makes of it, then the clean one.

    Args:
        nets: in their order.
        task: at the one strength to show.
        pixels: the clean picture, 8 bits.
        number: its place in its set, which seeds the noise.

    Returns:
        The panels, and the square's upper and left pixel in the clean picture.
    """
    height, width = (side // task.scale for side in pixels.shape[:2])
    side = min(SIDE // task.scale, height, width) * task.scale
    y, x = most_detailed(pixels, side, task.scale)
    none = ("noisy picture", "identity") if task.scale == 1 else ("bicubic", "bicubic")
    restorers: list[tuple[str, Restorer]] = [(none[0], baseline(none[1], task))]
    restorers += [(net.variant.name, network_restorer(Model.load(net.run.model))) for net in nets]
    made = [(name, example(task, restorer, pixels, number)) for name, restorer in restorers]

    def square(picture: Float[np.ndarray, "height width channel"]) -> UInt8[np.ndarray, "side side channel"]:
        seen: UInt8[np.ndarray, "side side channel"]
        seen = np.round(255 * np.clip(picture[y : y + side, x : x + side], 0, 1)).astype(np.uint8)
        return seen

    clean, small = made[0][1].clean, made[0][1].degraded
    panels = [Panel(name, _score(seen), square(seen.restored)) for name, seen in made]
    if task.scale > 1:
        given = small.repeat(task.scale, axis=0).repeat(task.scale, axis=1)
        panels.insert(0, Panel(f"given, 1/{task.scale} as wide", "", square(given)))
    return [*panels, Panel("clean", "", square(clean))], (y, x)


def most_detailed(pixels: UInt8[np.ndarray, "height width channel"], side: int, step: int) -> tuple[int, int]:
    """Upper and left pixel, multiples of ``step``, of the square whose neighbouring pixels differ most.

    Of equal ones the upper left. ``side`` is the square's, no larger than the picture's.
    """
    grey = pixels.astype(np.int64).sum(axis=-1)
    detail = np.zeros_like(grey)
    detail[:, 1:] += np.abs(np.diff(grey, axis=1))
    detail[1:] += np.abs(np.diff(grey, axis=0))
    sums = np.pad(detail, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    squares = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    squares = squares[::step, ::step]
    y, x = np.unravel_index(int(np.argmax(squares)), squares.shape)
    return int(y) * step, int(x) * step


def _first_of_each(nets: Sequence[Trained], shown: Shown) -> list[Trained]:
    """Of every variant the first network for this noise level or scale."""
    fitting = [net for net in nets if net.config.task.scale == shown.scale]
    if shown.sigma is not None:
        fitting = [net for net in fitting if net.config.task.sigmas == (shown.sigma,)]
    firsts: dict[str, Trained] = {}
    for net in fitting:
        firsts.setdefault(net.variant.name, net)
    return list(firsts.values())


def _in_lines(name: str) -> str:
    """In one line, or in two of about the same length."""
    return "\n".join(textwrap.wrap(name, _LETTERS if len(name) <= _LETTERS else len(name) // 2 + 3))


def _score(seen: Example) -> str:
    return f"{seen.psnr:.2f} dB / {seen.ssim:.4f}"


def _draw(
    panels: Sequence[Panel],
    whole: UInt8[np.ndarray, "height width channel"],
    corner: tuple[int, int],
    head: str,
    about: str,
    path: Path,
) -> None:
    """The whole picture with the square marked, and the panels, in as few rows as there may be."""
    side = panels[0].pixels.shape[0]
    cell, count = ZOOM * side, len(panels) + 1
    columns = math.ceil(count / math.ceil(count / _MOST_IN_A_ROW))
    rows = math.ceil(count / columns)
    width = 2 * _MARGIN + columns * (cell + _GAP) - _GAP
    height = 2 * _MARGIN + _HEAD + rows * (_LABEL + cell + _GAP) - _GAP
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)

        def write(x: int, y: int, words: str, size: float, **look: Any) -> None:
            figure.text(x / width, 1 - y / height, words, size=size, va="bottom", ha="left", **look)

        def put(place: int, pixels: UInt8[np.ndarray, "height width channel"], name: str, about: str) -> Axes:
            row, column = divmod(place, columns)
            x, y = _MARGIN + column * (cell + _GAP), _MARGIN + _HEAD + _LABEL + row * (_LABEL + cell + _GAP)
            high, wide = (round(length * cell / max(pixels.shape[:2])) for length in pixels.shape[:2])
            axes = figure.add_axes((x / width, 1 - (y + high) / height, wide / width, high / height))
            axes.set_axis_off()
            colours = pixels if pixels.shape[-1] == 3 else pixels.repeat(3, axis=-1)
            axes.imshow(colours, interpolation="antialiased")  # which is the nearest neighbour for whole multiples
            write(x, y - 8, about, 8, color=GREY)
            write(x, y - 28, _in_lines(name), 8, weight="bold", color=INK)
            return axes

        write(_MARGIN, _MARGIN + 16, head, 10, weight="bold", color=INK)
        write(_MARGIN, _MARGIN + 66, about, 8, color=GREY, linespacing=1.3)
        axes = put(0, whole, "the whole picture", f"{whole.shape[1]}x{whole.shape[0]} pixels")
        axes.add_patch(Rectangle((corner[1], corner[0]), side, side, fill=False, edgecolor=ORANGE, linewidth=1.6))
        for place, panel in enumerate(panels, 1):
            put(place, panel.pixels, panel.name, panel.about)
        save_figure(figure, path)
