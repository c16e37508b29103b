"""The running state on disk, through Orbax alone.

A checkpoint is the state, a tree of arrays, and some facts, a JSON object. Saving goes on in the background and is
atomic: a killed process leaves the checkpoint before. A digest of everything lies in each one, so that a damaged one is
known and the one before is taken.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.serialization import from_state_dict, msgpack_restore, msgpack_serialize, to_state_dict

from hinas_jax.processes import from_first, is_first
from hinas_jax.saying import first_line

Tree = Any

#: The last so many stay, and the bests that they name.
KEPT: Final = 2


class CheckpointError(ValueError):
    """A checkpoint cannot be written or read. The message is one line for people."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was read: its number, the state as arrays of the host, and the facts."""

    number: int
    state: Tree
    facts: dict[str, Any]


class Checkpoints:
    """The numbered checkpoints of a folder. To be closed: use it in a ``with``.

    Of several processes that run together the first one alone reads and writes.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Open the folder, and create it unless ``read_only``."""
        self._folder = folder.resolve()
        self._quiet = contextlib.ExitStack()
        self._manager: Any = None
        self._bests: dict[int, int | None] = {}
        if not is_first():
            return
        if not read_only:
            self._make_folder()
        self._quiet.enter_context(_only_errors_raised())
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None,
            create=False,
            cleanup_tmp_directories=not read_only,
            save_root_metadata=False,
            multiprocessing_options=ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0}),
        )
        self._manager = ocp.CheckpointManager(self._folder, item_names=("state", "facts"), options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._quiet:
            try:
                self.wait()
            except CheckpointError:
                if error is None:  # what went wrong first is told
                    raise
            finally:
                self._close(told=error is not None)

    def _close(self, told: bool) -> None:
        if self._manager is None:
            return
        try:
            self._manager.close()
        except Exception as failure:  # Orbax raises again, and as it came, what a save met
            if not told:
                raise self._unwritten(failure) from None

    def numbers(self) -> list[int]:
        """The numbers of all checkpoints, oldest first."""
        return [] if self._manager is None else sorted(self._manager.all_steps())

    def next_number(self) -> int:
        """The number that the next checkpoint gets."""
        return max(self.numbers(), default=0) + 1

    def save(self, state: Tree, facts: Mapping[str, Any], *, best: int | None = None) -> None:
        """Begin to write a checkpoint, once the one before is on the disk.

        Of those on the disk the last ones stay, and the bests that they name: whichever of them a killed process
        leaves as the newest, or is found whole, what it names is there.

        Args:
            state: a tree of arrays; may be donated as soon as this returns.
            facts: JSON values; finite numbers only.
            best: number of the checkpoint to keep as long as this one is among the last.

        Raises:
            CheckpointError: this one or the one before cannot be written.
        """
        if self._manager is None:
            return
        self.wait()
        number = self.next_number()
        host = _on_host(state)
        signed = {"facts": dict(facts), "digest": _digest(host, facts), "best": best}
        try:
            self._remove_old()
            arguments = ocp.args.Composite(state=ocp.args.StandardSave(host), facts=ocp.args.JsonSave(signed))
            self._manager.save(number, args=arguments, force=True)
        except Exception as error:  # Orbax and TensorStore raise what they like
            raise self._unwritten(error) from None
        self._bests[number] = best

    def wait(self) -> None:
        """Wait for what is being written.

        Raises:
            CheckpointError: it cannot be written.
        """
        if self._manager is None:
            return
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # Orbax and TensorStore raise what they like
            raise self._unwritten(error) from None

    def newest(self, like: Tree, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole, in the form of ``like``; None where there is none at all.

        Damaged ones are told and, once a whole one is found, removed.

        Every process gets what the first one reads.

        Raises:
            CheckpointError: there are some, and all are damaged.
        """

        def read() -> bytes:
            found = self._newest(like, say)
            if found is None:
                return b""
            document = {"number": found.number, "state": to_state_dict(found.state), "facts": json.dumps(found.facts)}
            content: bytes = msgpack_serialize(document)
            return content

        content = from_first(read)
        if not content:
            return None
        document = msgpack_restore(content)
        state = from_state_dict(_on_host(like), document["state"])
        return Checkpoint(int(document["number"]), state, json.loads(document["facts"]))

    def _newest(self, like: Tree, say: Callable[[str], None]) -> Checkpoint | None:
        damaged: list[int] = []
        for number in reversed(self.numbers()):
            try:
                found = self.read(number, like)
            except CheckpointError as error:
                say(f"warning: {error}")
                damaged.append(number)
                continue
            if damaged:
                say(f"warning: the checkpoint before, {number}, is taken")
            for bad in damaged:
                self._manager.delete(bad)
            return found
        if damaged:
            raise CheckpointError(f"{self._folder}: no checkpoint can be read; --restart begins anew")
        return None

    def read(self, number: int, like: Tree | None = None) -> Checkpoint:
        """Read checkpoint ``number``, in the form of ``like`` or, without one, as nested dicts and lists.

        Raises:
            CheckpointError: there is no such checkpoint, or it is damaged.
        """
        target = None if like is None else _on_host(like)
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(target), facts=ocp.args.JsonRestore())
        try:
            read = self._manager.restore(number, args=arguments)
            state, signed = _on_host(read["state"]), read["facts"]
            whole = signed["digest"] == _digest(state, signed["facts"])
        except Exception as error:  # Orbax and TensorStore raise what they like
            gc.collect()  # what else failed is told when it goes: now, and to nobody
            raise CheckpointError(f"{self._folder / str(number)} is damaged ({first_line(error)})") from None
        if not whole:
            raise CheckpointError(f"{self._folder / str(number)} is damaged (its digest is another)")
        return Checkpoint(number, state, signed["facts"])

    def facts(self, number: int) -> dict[str, Any]:
        """The facts of checkpoint ``number``, without its state and unchecked.

        Raises:
            CheckpointError: there is no such checkpoint, or they cannot be read.
        """
        try:
            return dict(self._signed(number)["facts"])
        except Exception as error:  # Orbax and TensorStore raise what they like
            raise CheckpointError(f"{self._folder / str(number)} is damaged ({first_line(error)})") from None

    def remove(self, number: int) -> None:
        """Remove checkpoint ``number``."""
        self._manager.delete(number)

    def _remove_old(self) -> None:
        """Remove what neither is among the last ones nor is the best that one of them names."""
        there = self.numbers()
        kept = {*there[-KEPT:], *map(self._best_of, there[-KEPT:])}
        for number in there:
            if number not in kept:
                self._manager.delete(number)

    def _best_of(self, number: int) -> int | None:
        """The best that a checkpoint on the disk names; a damaged one names none."""
        if number not in self._bests:
            try:
                self._bests[number] = self._signed(number).get("best")
            except Exception:  # Orbax and TensorStore raise what they like
                self._bests[number] = None
        return self._bests[number]

    def _signed(self, number: int) -> dict[str, Any]:
        """What lies beside the state, unchecked: facts, digest, best."""
        read = self._manager.restore(number, args=ocp.args.Composite(facts=ocp.args.JsonRestore()))
        return dict(read["facts"])

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritten(error) from None

    def _unwritten(self, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"{self._folder}: a checkpoint cannot be written ({first_line(error)});"
            " mend that and give the same command: it goes on from the last one"
        )


@contextlib.contextmanager
def _only_errors_raised() -> Iterator[None]:
    """Keep Orbax from printing, besides raising an error, its trace and the fates of the other arrays' reads."""
    loggers, hook = [logging.getLogger(name) for name in ("absl", "asyncio")], sys.unraisablehook
    levels = [logger.level for logger in loggers]

    def drop_strays(unraisable: sys.UnraisableHookArgs) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = drop_strays
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        sys.unraisablehook = hook


def _on_host(tree: Tree) -> Tree:
    """Copies of all leaves: the originals may be donated to a program while a copy is written."""
    return jax.tree.map(np.array, tree)


def _digest(state: Tree, facts: Mapping[str, Any]) -> str:
    """A digest of names, types, shapes and bytes of all leaves, and of the facts."""
    digest = hashlib.blake2b(json.dumps(facts, sort_keys=True, allow_nan=False).encode(), digest_size=16)
    for name, leaf in sorted(_leaves(state)):
        digest.update(f"{name} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()


def _leaves(state: Tree) -> Iterable[tuple[str, np.ndarray[Any, Any]]]:
    """Leaves by path, which reads the same in a dataclass and in the dict that it is read back as."""
    for path, leaf in jax.tree.leaves_with_path(state):
        words = [str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key)))) for key in path]
        yield "/".join(words), leaf
