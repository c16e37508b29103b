"""The command line `hinas`: reads arguments and configs, calls the library, and tells mistakes in one line.

Each command is the module here of its name, with its arguments as a dataclass and ``run(words)``; COMMANDS lists them.
A command's module is imported when it is run, so that no command waits for what another one needs.
Exit codes: 0 done; 2 the caller's mistake; 1 a defect of ours; 130 and 143 interrupted; 75 another of several processes
is gone.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hinas_jax.cli.lines import say, tell
from hinas_jax.data.names import printable
from hinas_jax.named_configs import CONFIG_FILES, config_names


@dataclasses.dataclass(frozen=True)
class Command:
    """One word after `hinas`."""

    arguments: str
    """As the usage shows them."""
    about: str
    """What it does, in a few words."""
    goes_on: bool = False
    """Whether the same command goes on with an interrupted run."""


COMMANDS: Final[Mapping[str, Command]] = {
    "search": Command("CONFIG --workdir DIR [--restart] [--field value]...", "search an architecture", goes_on=True),
    "train": Command(
        "CONFIG --architecture FILE --workdir DIR [--restart] [--field value]...", "train it", goes_on=True
    ),
    "evaluate": Command("MODEL [--images DIR | --data SET] --json FILE", "measure a model, or a baseline"),
    "restore": Command("MODEL INPUT... --output DIR", "restore pictures"),
    "export": Command("MODEL --format stablehlo|onnx --output FILE", "write a model for programs without this package"),
    "models": Command("", "list the released models"),
    "draw": Command("ARCHITECTURE --output FILE.svg|.png", "draw an architecture"),
    "data": Command("list | prepare NAME [--from DIR]", "prepare the paper's picture sets, or your own"),
    "report": Command("WORKDIR... [--output FILE.html]", "one page of one or several runs"),
    "demo": Command("[--workdir DIR] [--restart]", "all of it in miniature, on bundled pictures", goes_on=True),
    "random": Command(
        "CONFIG --workdir DIR [--count N] [--field value]...", "train random architectures", goes_on=True
    ),
    "table": Command(
        "N [--budget FRACTION] [--seeds K] [--data.root DIR]...", "make a table of the paper", goes_on=True
    ),
}


def main(arguments: Sequence[str] | None = None, imported: Callable[[], None] = lambda: None) -> None:
    """Run a command and exit with its code.

    Args:
        arguments: the command and its words; those of this process where None.
        imported: called when all that the command needs is imported.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        (tell if words else say)(_usage())
        sys.exit(0 if words else 2)
    name, *words = words
    if name not in COMMANDS:
        say(printable(f"hinas: there is no command {name!r}; known are {', '.join(COMMANDS)}"))
        sys.exit(2)
    from hinas_jax.cli.running import run  # noqa: PLC0415, the usage needs none of it

    run(name, words, imported, goes_on=COMMANDS[name].goes_on)


def _usage() -> str:
    lines = ["usage: hinas COMMAND ...", ""]
    for name, command in COMMANDS.items():
        call = f"  {name} {command.arguments}"
        lines += [f"{call:<64}{command.about}"] if len(call) < 64 else [call, " " * 64 + command.about]
    more = f"hinas COMMAND --help tells more. Configs: {', '.join(config_names())}; or the path of a file:"
    return "\n".join([*lines, "", more, CONFIG_FILES])
