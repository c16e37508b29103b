"""What surrounds a command that computes: compiled programs are kept, and other processes are told of its end."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import jax

from hinas_jax import processes
from hinas_jax.cli.lines import say
from hinas_jax.compiling import enable_compilation_cache


@contextlib.contextmanager
def computing() -> Iterator[None]:
    """Within, one of several processes that fails ends at once: the others may wait for it in the middle of a step."""
    enable_compilation_cache(_cache_folder())
    try:
        yield
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


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hinas_jax" / "xla"
