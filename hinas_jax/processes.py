"""Several processes as one run, on one host or on many: they join, agree, and the first one alone writes.

Each runs the same command. One process that has not joined others is the first of one, and all here holds for it.
"""

from __future__ import annotations

import functools
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import UInt8

from hinas_jax.saying import first_line

Arrays = dict[str, np.ndarray]  #: by name

T = TypeVar("T")

#: Seconds of silence after which a process counts as gone, and the others end.
HEARTBEAT: Final = 30

#: Seconds to wait for all processes to join.
PATIENCE: Final = 300

#: Exit code of a process that cannot go on without another one: sysexits.h's "try again later".
LOST: Final = 75

#: Bytes of a message that ``agree`` passes on.
MESSAGE: Final = 512

#: A note on a failure that the other processes know of.
TOLD: Final = "all processes were told"


class ProcessError(ValueError):
    """Processes cannot be joined, or another one failed. The message is one line for people."""


def join(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    heartbeat: int = HEARTBEAT,
) -> None:
    """Join the other processes, before anything else is computed.

    Args:
        coordinator: HOST:PORT at which the first process listens.
        processes: how many there are.
        process: the number of this one, from 0. What is None is looked up as ``jax.distributed.initialize`` does: in
            JAX_COORDINATOR_ADDRESS, and with Slurm, Open MPI, GKE and Cloud TPU.
        heartbeat: seconds of silence after which a process counts as gone.

    Raises:
        ProcessError: something is missing or out of range, or the others do not come.
    """
    # JAX's own service takes SIGTERM away from everybody else, from here on.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            initialization_timeout=PATIENCE,
            heartbeat_timeout_seconds=heartbeat,
        )
    except (ValueError, RuntimeError) as error:
        raise ProcessError(
            f"--distributed: the processes cannot be joined ({first_line(error)});"
            " give --coordinator HOST:PORT, --processes and --process, the same command otherwise on each"
        ) from None


def joined() -> bool:
    """Whether this process is one of several."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes, and that speaks to people."""
    return jax.process_index() == 0


def agree(action: Callable[[], T]) -> T:
    """Do something that may fail, on all processes: where it fails on one, it fails on all.

    It may agree on parts of itself, as long as each process does so in the same order.

    Raises:
        ProcessError: it failed on another process, whose message this is.
    """
    if not joined():
        return action()
    failure: Exception | None = None
    try:
        result = action()
    except Exception as error:  # whatever it is, the others must not wait for this process
        if TOLD in getattr(error, "__notes__", ()):
            raise
        error.add_note(TOLD)
        failure = error
    message = np.zeros(MESSAGE, np.uint8)
    if failure is not None:
        told = f"{type(failure).__name__}: {first_line(failure)}".encode()[:MESSAGE]
        message[: len(told)] = np.frombuffer(told, np.uint8)
    messages = np.asarray(multihost_utils.process_allgather(message))
    if failure is not None:
        raise failure
    for process, row in enumerate(messages):
        if row.any():
            theirs = ProcessError(f"process {process} failed: {row[row > 0].tobytes().decode(errors='replace')}")
            theirs.add_note(TOLD)
            raise theirs
    return result


def from_first(make: Callable[[], bytes]) -> bytes:
    """What ``make`` returns on the first process, on all of them.

    Raises:
        ProcessError: it failed there.
    """
    if not joined():
        return make()
    content = agree(make if is_first() else bytes)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    given = np.frombuffer(content, np.uint8) if is_first() else np.zeros(length, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(given)).tobytes()


def require_same(what: str, content: bytes) -> None:
    """Refuse processes that were not given the same.

    Raises:
        ProcessError: ``content`` differs from the first process's, here or on another process.
    """
    first = from_first(lambda: content)

    def compare() -> None:
        if content != first:
            raise ProcessError(f"not the same {what} here as on the first process; give all the same command and data")

    agree(compare)


def share_out(count: int, make: Callable[[int], Arrays]) -> Iterator[Arrays]:
    """``make(0)`` to ``make(count - 1)``: each process makes its part of them, and all get all, in this order.

    Args:
        count: how many, the same on all processes.
        make: arrays by name, without Python objects among them.

    Raises:
        ProcessError: ``make`` failed on another process.
    """
    if not joined():
        yield from map(make, range(count))
        return

    def own(number: int) -> bytes:
        return _packed(make(number)) if number < count else b""

    for first in range(0, count, jax.process_count()):
        made = agree(functools.partial(own, first + jax.process_index()))
        for content in _from_each(made)[: count - first]:
            yield _unpacked(content)


def _from_each(content: bytes) -> list[bytes]:
    """What each process gives, on all of them."""
    lengths = np.asarray(multihost_utils.process_allgather(np.int32(len(content))))
    room = np.zeros(1 << int(lengths.max() - 1).bit_length(), np.uint8)  # few shapes, each of which is compiled
    room[: len(content)] = np.frombuffer(content, np.uint8)
    rows: UInt8[np.ndarray, "process byte"] = np.asarray(multihost_utils.process_allgather(room))
    return [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]


def _packed(arrays: Arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _unpacked(content: bytes) -> Arrays:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def largest(number: int) -> int:
    """The largest of the numbers that the processes give."""
    if not joined():
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def meet() -> None:
    """Wait for the other processes, however long.

    Before a step that connects their devices for the first time: on CPU that one waits 30 seconds and no longer, and
    their compilations may end further apart.
    """
    largest(0)


def leave(code: int) -> NoReturn:
    """End this one of several processes at once, after a failure: the closed connections tell the others.

    An orderly end would wait for the others, while they wait for this one in the middle of a step. The first process
    goes last, for it holds what tells the others how each one does.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first():
        time.sleep(1)
    os._exit(code)


def lost(error: Exception) -> str:
    """One line for people on a step that failed for want of another process."""
    return (
        f"process {jax.process_index()} of {jax.process_count()} cannot go on, another one is gone or failed"
        f" ({first_line(error)}); start all of them again: they go on from the last checkpoint"
    )
