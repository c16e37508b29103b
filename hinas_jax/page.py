"""One page of one or several runs: what they found, their curves, alpha and beta, architectures, and how it was made.

The page is HTML with its pictures inside: one file, to be opened anywhere.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hinas_jax.architecture import Architecture, ArchitectureError
from hinas_jax.curves import plot_search, plot_training
from hinas_jax.drawing import draw_architecture
from hinas_jax.evolution import plot_evolution
from hinas_jax.run_files import V_PROTOCOL, Row, best_row, read_manifest, read_metrics
from hinas_jax.writing import write_whole

_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1f2933; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid #d5dbe1; padding-top: 1rem }
h3 { font-size: 1rem; margin: 1.5rem 0 .3rem } img { max-width: 100%; display: block }
table { border-collapse: collapse; margin: .6rem 0 } th, td { text-align: left; padding: .25rem .9rem .25rem 0 }
th { color: #5f6b77; font-weight: 600 } tr { border-bottom: 1px solid #e6eaee }
pre { background: #f1f3f5; padding: .8rem; overflow-x: auto; font-size: 13px }
summary { color: #5f6b77; cursor: pointer } td { overflow-wrap: anywhere }
"""


class ReportError(ValueError):
    """A folder holds no run, or the page cannot be written. The message is one line for people."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What lies in a run's folder."""

    path: Path
    metrics: list[dict[str, Any]]
    manifest: Mapping[str, Any]
    config: str
    architecture: Architecture | None

    @property
    def kind(self) -> str:
        """Search or training."""
        return "search" if self.manifest.get("kind") == "search" else "training"

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read a folder; what is missing but the metrics is left out of the page.

        Raises:
            ReportError: metrics.jsonl cannot be read.
        """
        try:
            metrics = read_metrics(path / "metrics.jsonl")
        except OSError as error:
            raise ReportError(f"{path / 'metrics.jsonl'}: cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise ReportError(str(error)) from None
        try:
            architecture = Architecture.load(path / "architecture.json")
        except ArchitectureError:
            architecture = None
        return cls(path, metrics, read_manifest(path), _text(path / "config.json"), architecture)


def write_page(folders: Sequence[Path], page: Path) -> list[Path]:
    """Write one page of the runs in ``folders``; of a folder that holds runs one level below, of those.

    Returns:
        The folders of the runs.

    Raises:
        ReportError: a folder holds no run, a run cannot be read, or the page cannot be written.
    """
    runs = [Run.load(path) for folder in folders for path in _runs_in(folder)]
    parts = [_section(run) for run in runs]
    summary = _summary(runs) if len(runs) > 1 else ""
    title = "HiNAS: " + ", ".join(html.escape(str(folder)) for folder in folders)
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body>\n<h1>{title}</h1>\n{summary}{''.join(parts)}</body></html>\n"
    )
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_whole(page, text)
    except OSError as error:
        raise ReportError(f"{page}: cannot be written ({error.strerror}); give another --output") from None
    return [run.path for run in runs]


def _runs_in(folder: Path) -> list[Path]:
    try:
        if (folder / "metrics.jsonl").is_file():
            return [folder]
        below = sorted(path.parent for path in folder.glob("*/metrics.jsonl"))
    except OSError as error:
        raise ReportError(f"{folder}: cannot be read ({error.strerror}); give the folder of a run") from None
    if not below:
        raise ReportError(f"{folder} holds no run (no metrics.jsonl); give the folder of a search or a training")
    return below


def _summary(runs: Sequence[Run]) -> str:
    rows = [{"run": str(run.path), **_findings(run)} for run in runs]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _table([names, *([row.get(name, "") for name in names] for row in rows)], heading=True)


def _section(run: Run) -> str:
    plots: list[tuple[str, Callable[[Path], object]]] = [
        ("Curves", lambda path: (plot_search if run.kind == "search" else plot_training)(run.metrics, path)),
        ("alpha and beta", lambda path: plot_evolution(run.metrics, path)),
    ]
    if (architecture := run.architecture) is not None:
        plots.append(("Architecture", lambda path: draw_architecture(architecture, path)))
    parts = [f"<h2>{html.escape(str(run.path))}</h2>\n", _table([[*pair] for pair in _findings(run).items()])]
    for title, plot in plots:
        if picture := _picture(plot, title):
            parts.append(f"<h3>{title}</h3>\n{picture}\n")
    parts.append(f"<h3>How it was made</h3>\n{_table([[*pair] for pair in _made(run.manifest).items()])}")
    parts.append(f"<details><summary>config.json</summary><pre>{html.escape(run.config)}</pre></details>\n")
    return "".join(parts)


def _findings(run: Run) -> dict[str, str]:
    """What a run found, in the words of the page."""
    last: Row = run.metrics[-1] if run.metrics else {}
    at = "epoch" if run.kind == "search" else "step"
    found = {"kind": run.kind}
    if last:
        found[f"{at}s"] = f"{last[at]:,}"
    if best := best_row(run.metrics):
        found |= {"best PSNR on V": f"{best['psnr']:.2f} dB ({at} {best[at]:,})", "SSIM": f"{best['ssim']:.4f}"}
        found["protocol"] = V_PROTOCOL
    if run.architecture is not None:
        cells = [cell.operations() for cell in run.architecture.cells]
        found["parameters"] = f"{run.architecture.parameters():,}"
        found["levels"] = ", ".join(str(level) for level in run.architecture.levels)
        found["skip connections"] = f"{sum(c.count('skip') for c in cells)} of {sum(len(c) for c in cells)} edges"
    if isinstance(seconds := run.manifest.get("seconds"), int | float):
        found["time"] = f"{seconds / 60:.1f} min"
    return found


def _made(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The manifest, flat: versions and digests each in one line."""
    flat = {}
    for name, value in manifest.items():
        told = value if isinstance(value, list) else [value]
        flat[name.replace("_", " ")] = "; ".join(map(_flat, told))
    return flat


def _flat(value: object) -> str:
    return ", ".join(f"{k} {_flat(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _table(rows: Sequence[Sequence[str]], *, heading: bool = False) -> str:
    """Rows of text; the first row, or else the first column, is a heading."""
    lines = []
    for i, row in enumerate(rows):
        cells = []
        for j, cell in enumerate(row):
            tag = "th" if (i == 0 if heading else j == 0) else "td"
            cells.append(f"<{tag}>{html.escape(cell)}</{tag}>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>\n"


def _picture(plot: Callable[[Path], object], words: str) -> str:
    """What a function plots, as a picture inside the page; nothing if it has nothing to plot."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        plot(path)
        if not path.exists():
            return ""
        encoded = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{encoded}">'


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
