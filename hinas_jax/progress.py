"""The progress of a loop: a bar with time left and what was measured last; plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from tqdm import tqdm

from hinas_jax.processes import is_first
from hinas_jax.saying import Say

#: What the bar shows of a row of metrics, in this order, and how.
_SHOWN: Final[Mapping[str, str]] = {
    "epoch": "epoch {:g}",
    "loss": "loss {:.4f}",
    "psnr": "{:.2f} dB",
    "ssim": "SSIM {:.4f}",
    "skip_count": "{} skips",
}


class Progress:
    """A bar over the steps of a run; lines said meanwhile stand above it.

    Without a terminal there is no bar, and ``report`` says a line.
    """

    def __init__(self, what: str, steps: int, done: int, say: Say) -> None:
        self._bar = tqdm(
            total=steps, initial=done, unit="step", desc=what, dynamic_ncols=True, disable=None if is_first() else True
        )
        self._what, self._steps, self._done = what, steps, done
        self._line, self._seen = say, dict[str, Any]()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def say(self, line: str) -> None:
        """A line for people, above the bar."""
        with tqdm.external_write_mode():
            self._line(line)

    def steps(self, count: int) -> None:
        """So many steps are done."""
        self._done += count
        self._bar.update(count)

    def show(self, **measured: Any) -> None:
        """What was measured: epoch, loss, psnr, ssim, skip_count; what is not named stays as it was."""
        self._seen |= measured
        self._bar.set_postfix_str(self._words())

    def report(self, **measured: Any) -> None:
        """The same at the end of an epoch, or after an evaluation."""
        self.show(**measured)
        if self._bar.disable:
            self.say(f"{self._what}: step {self._done} of {self._steps}, {self._words()}")

    def resume(self) -> None:
        """Steps go on: the time since the last one, spent compiling, does not count for the time left."""
        if not self._bar.disable:
            self._bar.unpause()

    def _words(self) -> str:
        return ", ".join(form.format(self._seen[name]) for name, form in _SHOWN.items() if name in self._seen)
