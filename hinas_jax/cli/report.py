"""The command `report`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import tell
from hinas_jax.cli.mistakes import UsageError
from hinas_jax.page import write_page


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one page of one or several runs: curves, alpha and beta, architectures, how they were made."""

    workdirs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of searches and trainings, or folders of such folders."""
    output: Path | None = None
    """The page, .html. Default: report.html in the first folder."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse(Report, words, "report")
    if not options.workdirs:
        raise UsageError("name the folder of a run to report on")
    page = options.output or options.workdirs[0] / "report.html"
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{page}: the page is HTML; give a name that ends in .html")
    runs = write_page(options.workdirs, page)
    tell(f"{page}: {len(runs)} {'run' if len(runs) == 1 else 'runs'}")
