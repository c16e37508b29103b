"""Running one command: its mistakes in one line, its exit code, and what other processes are told of its end."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import jax

from hinas_jax import processes
from hinas_jax.cli.lines import say
from hinas_jax.cli.mistakes import mistakes
from hinas_jax.compiling import enable_compilation_cache
from hinas_jax.data.names import printable
from hinas_jax.interruption import Interrupted


def run(name: str, words: list[str], imported: Callable[[], None], *, goes_on: bool) -> None:
    """Run a command and exit with its code.

    One of several processes that fails ends at once, for the others may wait for it in the middle of a step.

    Args:
        name: the command, and the module here that holds it.
        words: its arguments.
        imported: called when the module is imported.
        goes_on: whether the same command goes on with an interrupted run.
    """
    command = importlib.import_module(f"hinas_jax.cli.{name}")
    imported()
    try:
        _run(command.run, words, goes_on)
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


def _run(command: Callable[[list[str]], None], words: list[str], goes_on: bool) -> None:
    enable_compilation_cache(_cache_folder())
    try:
        try:
            command(words)
        finally:
            sys.stdout.flush()  # here, where a closed pipe is caught
    except mistakes() as error:
        _fail(" ".join(str(error).split()))
    except BrokenPipeError:  # the reader of our output, say `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt as error:
        without = " without --restart" if "--restart" in words else ""
        ending = f"; the same command{without} goes on from the last checkpoint" if goes_on else ""
        say(f"interrupted{ending}")
        sys.exit(error.exit_code if isinstance(error, Interrupted) else 130)


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hinas_jax" / "xla"


def _fail(line: str) -> NoReturn:
    say(printable(f"hinas: {line}"))
    sys.exit(2)
