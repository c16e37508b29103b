"""Reading a command's arguments into a dataclass."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from typing import Any, TypeVar

import tyro

from hinas_jax.cli.lines import tell
from hinas_jax.cli.mistakes import UsageError
from hinas_jax.config import load_config
from hinas_jax.named_configs import CONFIG_FILES, config_names

T = TypeVar("T")


def parse(kind: type[T], words: list[str], command: str, *, takes_config: bool = False) -> T:
    """Tyro's parse with its boxed messages made one line.

    Args:
        kind: the dataclass of the command's arguments.
        words: the arguments.
        command: the command's name.
        takes_config: the first word names a config, which fills the field ``config``.

    Raises:
        UsageError: the words do not fit.
        ConfigError: there is no such config.
    """
    default = None
    if takes_config:
        name, *words = words or [""]
        if name in ("-h", "--help"):
            name, words = config_names()[0], [name]
            tell(f"usage: hinas {command} CONFIG [--field value]...; defaults shown are those of the config {name}\n")
            tell(f"CONFIG: {', '.join(config_names())}; or the path of a file: {CONFIG_FILES}\n")
        if not name or name.startswith("-"):
            raise UsageError(f"hinas {command} needs a config first; known are {', '.join(config_names())}")
        missing = {field.name: tyro.MISSING for field in dataclasses.fields(kind) if _required(field)}  # type: ignore[arg-type]
        default = kind(**missing | {"config": load_config(name)})
        words = ["--compute.deterministic" if word == "--deterministic" else word for word in words]
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


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


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
