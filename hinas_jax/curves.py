"""Curves and pictures of a run: what its ``metrics.jsonl`` says, and pictures side by side.

Pictures are uint8, height by width by channel, with one channel (grey) or three (RGB).
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from PIL import Image, ImageDraw, ImageFont

from hinas_jax.ink import BLUE, FAINT, GREEN, GREY, INK, LINE, ORANGE, STYLE, save_figure
from hinas_jax.run_files import V_PROTOCOL, Row

_SHADE: Final = "#f1f3f5"
_COLOURS: Final = (BLUE, ORANGE)
_BEST: Final = GREEN

_Curve = list[tuple[float, float]]
_Abscissa = Literal["epoch", "step"]
_Scale = Literal["linear", "log", "count"]


@dataclasses.dataclass(frozen=True)
class _Panel:
    """One axes: the curves of some names of the metrics. Evaluated ones have few points, the kept one marked."""

    title: str
    names: Mapping[str, str]  # name in the metrics to label in the legend
    evaluated: bool = False
    scale: _Scale = "linear"
    digits: int = 2


_LOSS: Final = _Panel("Loss (log scale)", {"loss": "weights, on W", "arch_loss": "architecture, on A"}, scale="log")
_QUALITY: Final = (
    _Panel("PSNR (dB)", {"psnr": "PSNR"}, evaluated=True),
    _Panel("SSIM", {"ssim": "SSIM"}, evaluated=True, digits=4),
)
_SEARCH: Final = (
    _LOSS,
    *_QUALITY,
    _Panel(r"Entropy of $\alpha$ (nats)", {"alpha_entropy": r"$\alpha$"}),
    _Panel(r"Entropy of $\beta$ (nats)", {"beta_entropy": r"$\beta$"}),
    _Panel("Skip connections kept", {"skip_count": "skip"}, scale="count"),
)
_TRAINING: Final = (_Panel("Loss (log scale)", {"loss": "loss"}, scale="log"), *_QUALITY)

_FONT: Final = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")  # Pillow's own has no sigma


def plot_search(metrics: Sequence[Row], path: Path) -> None:
    """Plot a search over its epochs: losses, PSNR and SSIM on V, entropies of α and β, skip connections.

    PSNR and SSIM stand beside the name of their protocol. The warm-up is shaded, and what is kept (the largest SSIM +
    PSNR / 100) is marked. Rows may lack any name but ``epoch``; of two rows of one epoch (a search that went on from a
    checkpoint) the later one counts.

    Args:
        metrics: the rows, as ``read_metrics`` gives them.
        path: the file to write, ``.svg`` or ``.png``.

    Raises:
        ValueError: the path ends in neither ``.svg`` nor ``.png``.
        OSError: the file cannot be written.
    """
    _plot(metrics, path, _SEARCH, "epoch")


def plot_training(metrics: Sequence[Row], path: Path) -> None:
    """Plot a training over its steps: the loss, and PSNR and SSIM on V with what is kept marked.

    Arguments and errors are those of ``plot_search``, with ``step`` in the place of ``epoch``.
    """
    _plot(metrics, path, _TRAINING, "step")


def _plot(metrics: Sequence[Row], path: Path, panels: Sequence[_Panel], x: _Abscissa) -> None:
    rows = len(panels) // 3
    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
        figure = Figure(figsize=(11, 0.4 + 2.5 * rows), layout=layout)
        grid = figure.subplots(rows, 3, squeeze=False, sharex=True)
        _prepare_abscissa(grid[0, 0], metrics, x)
        for axes, panel in zip(grid.flat, panels, strict=True):
            _plot_panel(axes, panel, metrics, x)
        for axes in grid[-1]:
            axes.set_xlabel(x, color=GREY, size=9)
        save_figure(figure, path)


def _prepare_abscissa(axes: Axes, metrics: Sequence[Row], x: _Abscissa) -> None:
    first, last = (end((row[x] for row in metrics), default=0) for end in (min, max))
    space = max(1, 0.03 * (last - first))
    axes.set_xlim(first - space, last + space)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _plot_panel(axes: Axes, panel: _Panel, metrics: Sequence[Row], x: _Abscissa) -> None:
    axes.set_title(panel.title, size=10, weight="bold", color=INK, loc="left")
    curves = {label: _curve(metrics, x, name) for name, label in panel.names.items()}
    curves = {label: curve for label, curve in curves.items() if curve}
    _prepare_ordinate(axes, panel.scale, [y for curve in curves.values() for _, y in curve])
    _shade_warm_up(axes, metrics, x)
    for colour, (label, curve) in zip(_COLOURS, curves.items(), strict=False):
        dots = "o" if panel.evaluated or len(curve) == 1 else ""
        axes.plot(*zip(*curve, strict=True), color=colour, lw=1.5, marker=dots, ms=3, label=label)
    if not curves:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, color=GREY, size=9, ha="center")
    elif panel.evaluated:
        axes.set_ylabel(V_PROTOCOL, color=GREY, size=8)
        _mark_kept(axes, next(iter(curves.values())), _kept(metrics, x), x, panel.digits)
    if curves and len(panel.names) > 1:
        axes.legend(fontsize=8, frameon=False, labelcolor=INK)


def _prepare_ordinate(axes: Axes, scale: _Scale, values: Sequence[float]) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    if scale == "log" and all(value > 0 for value in values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    elif scale == "count":
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(color=LINE, labelcolor=GREY, labelsize=8)
    axes.grid(axis="y", color=FAINT, lw=0.8)
    axes.set_axisbelow(True)


def _shade_warm_up(axes: Axes, metrics: Sequence[Row], x: _Abscissa) -> None:
    warm = [row[x] for row in metrics if row.get("phase") == "warmup"]
    if warm:
        after = min((row[x] for row in metrics if row[x] > max(warm)), default=max(warm))
        axes.axvspan(axes.get_xlim()[0], (max(warm) + after) / 2, color=_SHADE, lw=0, zorder=0, label="warm-up")


def _curve(metrics: Sequence[Row], x: _Abscissa, name: str) -> _Curve:
    """The finite values of a name, in the order of x; of several at one x the last."""
    values = {row[x]: row[name] for row in metrics if isinstance(row.get(name), numbers.Real)}
    return sorted((at, value) for at, value in values.items() if math.isfinite(value))


def _kept(metrics: Sequence[Row], x: _Abscissa) -> float | None:
    """Where SSIM + PSNR / 100 was largest: what search and training keep."""
    psnr, ssim = (dict(_curve(metrics, x, name)) for name in ("psnr", "ssim"))
    return max(psnr.keys() & ssim.keys(), key=lambda at: (ssim[at] + psnr[at] / 100, -at), default=None)


def _mark_kept(axes: Axes, curve: _Curve, at: float | None, x: _Abscissa, digits: int) -> None:
    at, kept = next((point for point in curve if point[0] == at), max(curve, key=lambda point: point[1]))
    axes.plot(at, kept, "o", ms=8, mfc="none", mec=_BEST, mew=1.6)
    axes.set_title(f"kept: {kept:.{digits}f} at {x} {at:,}", size=8.5, color=_BEST, loc="right")


def side_by_side(
    pictures: Mapping[str, UInt8[np.ndarray, "height width channel"]],
    path: Path,
    *,
    captions: Mapping[str, str] | None = None,
) -> None:
    """Write one PNG of pictures next to each other, pixel by pixel, each below its name.

    No picture is resampled: a pixel stays a pixel. Only where all pictures are small (no side above 128) does
    each pixel become a square of k by k, the same whole k for all, so that the largest side comes near 256.

    Args:
        pictures: name to picture, from left to right; one channel or three, of any sizes.
        path: the ``.png`` file to write.
        captions: words below the pictures, such as "24.31 dB", for any of the names.

    Raises:
        ValueError: there is no picture, a picture is not uint8 with one or three channels, a caption belongs
            to no picture, or the path does not end in ``.png``.
        OSError: the file cannot be written.
    """
    captions = captions or {}
    _check(pictures, path, captions)
    longest = max(max(picture.shape[:2]) for picture in pictures.values())
    tiles = {name: _enlarged(picture, max(1, 256 // longest)) for name, picture in pictures.items()}
    size = min(max(14, longest // 40), 48)
    font = ImageFont.truetype(_FONT, size)
    above, below, gap = 2 * size, 2 * size if captions else 0, size
    widths = {
        name: max(tile.width, *(math.ceil(font.getlength(words)) for words in (name, captions.get(name, ""))))
        for name, tile in tiles.items()
    }
    height = above + max(tile.height for tile in tiles.values()) + (below or gap)
    sheet = Image.new("RGB", (sum(widths.values()) + gap * (len(tiles) + 1), height), "white")
    pen = ImageDraw.Draw(sheet)
    left = gap
    for name, tile in tiles.items():
        middle = left + widths[name] // 2
        sheet.paste(tile, (middle - tile.width // 2, above))
        pen.text((middle, above // 2), name, INK, font, anchor="mm")
        pen.text((middle, above + tile.height + below // 2), captions.get(name, ""), GREY, font, anchor="mm")
        left += widths[name] + gap
    sheet.save(path)


def _check(pictures: Mapping[str, np.ndarray], path: Path, captions: Mapping[str, str]) -> None:
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: pictures side by side go into a .png")
    if not pictures:
        raise ValueError(f"{path}: there is no picture to show")
    for name, picture in pictures.items():
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3):
            form = f"{picture.dtype} of shape {picture.shape}"
            raise ValueError(f"picture {name!r} is {form}, not uint8 height x width x 1 or 3")
    if strangers := sorted(captions.keys() - pictures.keys()):
        raise ValueError(f"caption {strangers[0]!r} belongs to no picture")


def _enlarged(picture: UInt8[np.ndarray, "height width channel"], times: int) -> Image.Image:
    pixels = np.broadcast_to(picture, (*picture.shape[:2], 3))
    return Image.fromarray(pixels.repeat(times, axis=0).repeat(times, axis=1))
