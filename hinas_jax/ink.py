"""What figures are drawn with: settings, colours, their files, and a pen that measures in inches."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final, Literal

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Patch, PathPatch
from matplotlib.path import Path as Curve

from hinas_jax.writing import write_whole

#: Matplotlib settings for every figure: fonts it brings along, SVG that keeps text and repeats its bytes.
STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "none",
    "svg.hashsalt": "hinas",
}

#: Of words: what is read, and what is read beside it.
INK, GREY = "#1f2933", "#5f6b77"
#: Of axes: their spines, and the grid behind them.
LINE, FAINT = "#b4bcc5", "#e6eaee"
#: Near Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#B0528E"
#: Of the chosen path of widths.
DEEP: Final = "#26425f"
#: Of what stands behind: frames, and what a search did not choose.
BEHIND: Final = "#d5dbe1"

BORDER: Final = 1.1  #: points
_ROUND: Final = "round,pad=0,rounding_size=0.07"

#: x to the right and y downwards from the page's top left corner, in inches.
Point = tuple[float, float]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure on white as ``.svg`` or ``.png``, by the path's suffix: the same figure, the same bytes.

    Raises:
        ValueError: the path ends in neither ``.svg`` nor ``.png``.
        OSError: the file cannot be written.
    """
    kind = path.suffix.lower()[1:]
    if kind not in ("svg", "png"):
        raise ValueError(f"{path}: a drawing ends in .svg or .png")
    with mpl.rc_context(STYLE):
        metadata = {"Date": None} if kind == "svg" else None
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, dpi=160, facecolor="white", metadata=metadata)
    write_whole(path, drawn.getvalue())


class Pen:
    """Draws on a page measured in inches from its top left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height))
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set(xlim=(0, width), ylim=(height, 0))
        self._axes.set_axis_off()

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float,
        colour: str = INK,
        weight: Literal["normal", "bold"] = "normal",
        align: Literal["left", "center", "right"] = "center",
        turned: bool = False,
        formula: bool = False,
    ) -> None:
        """Write words halfway up at y; a formula is typeset, everything else stands as it is."""
        self._axes.text(
            x,
            y,
            f"${words}$" if formula else words,
            size=size,
            color=colour,
            weight=weight,
            ha=align,
            va="center" if turned or formula else "center_baseline",
            rotation=90 if turned else 0,
            parse_math=formula,
            zorder=5,
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "white",
        edge: str = INK,
        weight: float = BORDER,
    ) -> None:
        """Draw a rounded box around a centre, over the lines."""
        corner = (x - width / 2, y - height / 2)
        self._axes.add_patch(FancyBboxPatch(corner, width, height, _ROUND, fc=fill, ec=edge, lw=weight, zorder=3))

    def frame(self, left: float, top: float, width: float, height: float) -> None:
        """Draw the border of a panel, beneath all else."""
        self._axes.add_patch(FancyBboxPatch((left, top), width, height, _ROUND, fc="none", ec=BEHIND, zorder=0))

    def disc(self, x: float, y: float, diameter: float) -> None:
        """Draw a circle around a centre."""
        self._axes.add_patch(Circle((x, y), diameter / 2, fc="white", ec=INK, lw=BORDER, zorder=3))

    def line(
        self,
        start: Point,
        end: Point,
        *,
        colour: str,
        weight: float = BORDER,
        arrow: bool = False,
        above: bool = True,
    ) -> None:
        """Draw a line that leaves and arrives level; ``above`` lets it cross over the lines that are not."""
        level = end[0] - 0.1  # so that the head of an arrow lies on a straight piece
        middle = (start[0] + level) / 2
        points = [start, (middle, start[1]), (middle, end[1]), (level, end[1]), end]
        curve = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4, Curve.LINETO])
        self.stroke(curve, colour=colour, weight=weight, arrow=arrow, above=above)

    def stroke(self, curve: Curve, *, colour: str, weight: float, arrow: bool, above: bool = True) -> None:
        """Draw along a curve."""
        order = 2 if above else 1
        patch: Patch
        if arrow:
            head = "-|>,head_length=0.42,head_width=0.2"
            patch = FancyArrowPatch(path=curve, arrowstyle=head, mutation_scale=12, color=colour)
        else:
            patch = PathPatch(curve, fc="none", ec=colour, capstyle="round")
        patch.set(linewidth=weight, zorder=order)
        self._axes.add_patch(patch)
