"""Reading a command's arguments into a dataclass."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TypeVar

import tyro

from hinas_jax.cli.mistakes import UsageError

T = TypeVar("T")


def parse(kind: type[T], words: list[str], command: str, default: T | None = None) -> T:
    """Tyro's parse with its boxed messages made one line.

    Args:
        kind: the dataclass of the command's arguments.
        words: the arguments.
        command: the command's name.
        default: what the words change; without it, the defaults of the fields.

    Raises:
        UsageError: the words do not fit.
    """
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            if default is None:
                return tyro.cli(kind, args=words, prog=f"hinas {command}")
            return tyro.cli(kind, args=words, default=default, prog=f"hinas {command}")
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise UsageError(_one_line(message.getvalue())) from None


def _one_line(boxed: str) -> str:
    """What is wrong, and tyro's first suggestion, out of its drawing."""
    lines = [line.strip("│ \n") for line in boxed.splitlines() if not line.startswith(("╭", "╰"))]
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line and not line.strip("─-"):
            paragraphs.append([])
        elif line:
            paragraphs[-1].append(line)
    if "╭" not in boxed and len(paragraphs) > 1:  # drawn in ASCII, where the title stands inside
        del paragraphs[0]
    text = " ".join(paragraphs[0])
    if (
        len(paragraphs) > 1
        and (near := re.search(r"--[\w.\-]+", " ".join(paragraphs[1])))
        and "meant" in paragraphs[1][0]
    ):
        text += f"; did you mean {near.group()}?"
    return text or "the arguments cannot be understood; see --help"
