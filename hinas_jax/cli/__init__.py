"""The command line `hinas`: reads arguments and configs, calls the library, and tells mistakes in one line.

Each command is a module here, with its arguments as a dataclass and ``run(words)``; COMMANDS lists them.
Exit codes: 0 done; 2 the caller's mistake; 1 a defect of ours; 130 and 143 interrupted; 75 another of several processes
is gone.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import jax

from hinas_jax import processes
from hinas_jax.cli import data, demo, draw, evaluate, export, models, random, report, restore, search, table, train
from hinas_jax.cli.arguments import CONFIG_FILES, say, tell
from hinas_jax.cli.mistakes import MISTAKES
from hinas_jax.compiling import enable_compilation_cache
from hinas_jax.config import config_names
from hinas_jax.data.names import printable
from hinas_jax.interruption import Interrupted


@dataclasses.dataclass(frozen=True)
class Command:
    """One word after `hinas`."""

    run: Callable[[list[str]], None]
    arguments: str
    """As the usage shows them."""
    about: str
    """What it does, in a few words."""
    goes_on: bool = False
    """Whether the same command goes on with an interrupted run."""


COMMANDS: Final[Mapping[str, Command]] = {
    "search": Command(
        search.run, "CONFIG --workdir DIR [--restart] [--field value]...", "search an architecture", goes_on=True
    ),
    "train": Command(
        train.run, "CONFIG --architecture FILE --workdir DIR [--restart] [--field value]...", "train it", goes_on=True
    ),
    "evaluate": Command(
        evaluate.run, "MODEL [--images DIR | --data SET] --json FILE", "measure a model, or a baseline"
    ),
    "restore": Command(restore.run, "MODEL INPUT... --output DIR", "restore pictures"),
    "export": Command(
        export.run, "MODEL --format stablehlo|onnx --output FILE", "write a model for programs without this package"
    ),
    "models": Command(models.run, "", "list the released models"),
    "draw": Command(draw.run, "ARCHITECTURE --output FILE.svg|.png", "draw an architecture"),
    "data": Command(data.run, "list | prepare NAME [--from DIR]", "prepare the paper's picture sets, or your own"),
    "report": Command(report.run, "WORKDIR... [--output FILE.html]", "one page of one or several runs"),
    "demo": Command(demo.run, "[--workdir DIR]", "all of it in miniature, on bundled pictures"),
    "random": Command(
        random.run, "CONFIG --workdir DIR [--count N] [--field value]...", "train random architectures", goes_on=True
    ),
    "table": Command(
        table.run, "N [--budget FRACTION] [--seeds K] [--data.root DIR]...", "make a table of the paper", goes_on=True
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code.

    One of several processes that fails ends at once, for the others may wait for it in the middle of a step.
    """
    try:
        _run(arguments)
    except SystemExit as end:
        if end.code and processes.joined():
            processes.leave(end.code if isinstance(end.code, int) else 1)
        raise
    except jax.errors.JaxRuntimeError as error:
        if not processes.joined():
            raise
        say(f"hinas: {processes.lost(error)}")
        processes.leave(processes.LOST)
    except Exception:
        if not processes.joined():
            raise
        traceback.print_exc()
        processes.leave(1)


def _run(arguments: Sequence[str] | None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        (tell if words else say)(_usage())
        sys.exit(0 if words else 2)
    if words[0] not in COMMANDS:
        _fail(f"there is no command {words[0]!r}; known are {', '.join(COMMANDS)}")
    command = COMMANDS[words[0]]
    enable_compilation_cache(_cache_folder())
    try:
        try:
            command.run(words[1:])
        finally:
            sys.stdout.flush()  # here, where a closed pipe is caught
    except MISTAKES as error:
        _fail(" ".join(str(error).split()))
    except BrokenPipeError:  # the reader of our output, say `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt as error:
        without = " without --restart" if "--restart" in words else ""
        ending = f"; the same command{without} goes on from the last checkpoint" if command.goes_on else ""
        say(f"interrupted{ending}")
        sys.exit(error.exit_code if isinstance(error, Interrupted) else 130)


def _usage() -> str:
    lines = ["usage: hinas COMMAND ...", ""]
    for name, command in COMMANDS.items():
        call = f"  {name} {command.arguments}"
        lines += [f"{call:<64}{command.about}"] if len(call) < 64 else [call, " " * 64 + command.about]
    more = f"hinas COMMAND --help tells more. Configs: {', '.join(config_names())}; or the path of a file:"
    return "\n".join([*lines, "", more, CONFIG_FILES])


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hinas_jax" / "xla"


def _fail(line: str) -> NoReturn:
    say(printable(f"hinas: {line}"))
    sys.exit(2)
