"""SIGTERM and Ctrl-C: raised where nothing can be lost, held back where something could.

A process may be stopped at any moment, by SIGKILL too, and nothing is lost but the steps since its last checkpoint.
So this module is about those steps, about how soon the process ends, and about its exit code.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

#: Python hears a signal between two of its own instructions only, which a compilation or a long step keeps it from.
#: So many seconds are waited for that; within them a checkpoint can be lost that was not begun.
HEAR_SECONDS: Final = 10.0

#: And so many more for the last checkpoint: schedulers send SIGKILL after 30 seconds or later.
SAVE_SECONDS: Final = 15.0

#: Python discards what is raised within a collection of garbage, as JAX has one, or when an object goes: a signal that
#: is heard there is dealt with so many seconds later.
SOON: Final = 0.05

_HEARD: Final = threading.Event()


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.signal = number

    @property
    def exit_code(self) -> int:
        """What shells and schedulers understand: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal


class Interruption:
    """While entered, SIGTERM and Ctrl-C raise Interrupted in the main thread, except within ``held``.

    Elsewhere than in the main thread, which alone gets signals, it does nothing. A signal that is ignored stays so.
    """

    def __init__(self, *, several: bool = False) -> None:
        """Of ``several`` processes none stops by itself: signals wait for ``stop_together``."""
        self._several = several
        self._before: dict[signal.Signals, Any] = {}
        self._hook: Any = None
        self._holding = False
        self._pending: int | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before, self._hook = _handle(self._on_signal), _hear_discarded()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._hook is not None:
            sys.unraisablehook = self._hook

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within, a signal waits for the end, that of the outermost one: for what must happen whole."""
        if self._holding:
            yield
            return
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._pending is not None and not self._several:
            number, self._pending = self._pending, None
            raise Interrupted(number)

    def stop_together(self, largest: Callable[[int], int]) -> None:
        """Of several processes, all stop here if a signal asked one of them to: none is left waiting in a step.

        Args:
            largest: gives each process the largest of the numbers that all of them give.
        """
        if self._several and (number := largest(self._pending or 0)):
            self._pending = None
            raise Interrupted(number)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._holding or self._several:
            _HEARD.set()
            self._pending = number
        else:
            _raise(number, frame)


def hear_signals() -> None:
    """For a command, first of all: signals end the process at once, until ``raise_interrupted`` says otherwise.

    From here on a thread sees to it that the process ends soon after a signal, whatever it is busy with, and at once
    after a second one.
    """
    _handle(lambda number, frame: _leave(number))
    heard, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    threading.Thread(target=_watch, args=(heard,), daemon=True).start()


def raise_interrupted() -> None:
    """From here on signals raise Interrupted."""
    _handle(_raise)
    _hear_discarded()


def _handle(handler: Any) -> dict[signal.Signals, Any]:
    """Set the handler of all signals that are not ignored; returns those before."""
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heeded}


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    _HEARD.set()
    raise Interrupted(number)


def _hear_discarded() -> Any:
    """Have a discarded Interrupted dealt with again, as if its signal came a moment later. Returns the hook before."""
    before = sys.unraisablehook

    def hook(discarded: Any) -> None:
        if not isinstance(discarded.exc_value, Interrupted):
            before(discarded)
            return
        signal.signal(signal.SIGALRM, functools.partial(_again, discarded.exc_value.signal))
        signal.setitimer(signal.ITIMER_REAL, SOON)

    sys.unraisablehook = hook
    return before


def _again(asked: int, number: int, frame: FrameType | None) -> None:
    del number
    handler = signal.getsignal(asked)
    if callable(handler):
        handler(asked, frame)


def _watch(heard: int) -> None:
    """End the process if it does not do so itself. ``heard`` gets a byte for every signal, at the very moment."""
    while (number := os.read(heard, 1)[0]) not in SIGNALS:
        pass
    if not _comes(heard, HEAR_SECONDS) and _HEARD.is_set():
        _comes(heard, SAVE_SECONDS)
    _leave(number)


def _comes(heard: int, seconds: float) -> bool:
    """Whether one of SIGNALS comes within so many seconds."""
    end = time.monotonic() + seconds
    while select.select([heard], [], [], max(0.0, end - time.monotonic()))[0]:
        if os.read(heard, 1)[0] in SIGNALS:
            return True
    return False


def _leave(number: int) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(128 + number)
