"""Running one command: its mistakes in one line, and its exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from hinas_jax.cli.lines import say
from hinas_jax.cli.mistakes import mistakes
from hinas_jax.data.names import printable
from hinas_jax.interruption import Interrupted

#: What the system says of a path that the caller can mend, wherever that path is first looked at.
_OF_A_PATH: Final = (errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP)


def run(name: str, words: list[str], imported: Callable[[], None], *, goes_on: bool) -> None:
    """Run a command and exit with its code.

    Args:
        name: the command, and the module here that holds it.
        words: its arguments.
        imported: called when the module is imported.
        goes_on: whether the same command goes on with an interrupted run.
    """
    command = importlib.import_module(f"hinas_jax.cli.{name}")
    imported()
    with _computing() if "jax" in sys.modules else contextlib.nullcontext():
        _run(command.run, words, goes_on)


def _computing() -> contextlib.AbstractContextManager[None]:
    """For a command that has imported JAX; others do not wait for it."""
    from hinas_jax.cli.computing import computing  # noqa: PLC0415, it imports JAX

    return computing()


def _run(command: Callable[[list[str]], None], words: list[str], goes_on: bool) -> None:
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
    except OSError as error:
        if error.errno not in _OF_A_PATH or error.filename is None:
            raise
        _fail(f"{os.fsdecode(error.filename)}: {error.strerror}; give another path")
    except KeyboardInterrupt as error:
        without = " without --restart" if "--restart" in words else ""
        ending = f"; the same command{without} goes on from the last checkpoint" if goes_on else ""
        say(f"interrupted{ending}")
        sys.exit(error.exit_code if isinstance(error, Interrupted) else 130)


def _fail(line: str) -> NoReturn:
    say(printable(f"hinas: {line}"))
    sys.exit(2)
