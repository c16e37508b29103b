"""The loop of a search and of a training: steps in stretches, checkpoints, interruptions, and where a run goes on.

A stretch ends with an evaluation and a row of metrics.jsonl: an epoch of a search, the steps between two validations of
a training. Checkpoints are written at its end and, within, every so many seconds and when a signal asks to stop; from
each of them a run goes on to the same bits. Every other file of the run follows from its checkpoints.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from hinas_jax.checkpoints import Checkpoint, CheckpointError, Checkpoints
from hinas_jax.divergence import DivergenceError, Outcome, require_finite
from hinas_jax.interruption import Interruption
from hinas_jax.processes import from_first, is_first, joined, largest, meet
from hinas_jax.progress import Progress
from hinas_jax.run_files import Row
from hinas_jax.runs import RunFolder
from hinas_jax.saying import Say
from hinas_jax.validation import Score

State = TypeVar("State")


@dataclasses.dataclass(frozen=True)
class Best:
    """The evaluation that did best on V so far."""

    step: int
    score: Score
    checkpoint: int
    """Number of the checkpoint of its state."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The numbers of a loop."""

    what: str
    """search or train."""
    name: str
    """search or training, in a sentence."""
    steps: int
    """In all."""
    stretch: int
    """Steps between two evaluations; the last stretch may be shorter."""
    count: int
    """Steps of a call, which divides both."""
    groups: Mapping[str, tuple[str, ...]]
    """Losses by name, and the names of the parameter groups that each one moves."""
    mend: str
    """What to do where it diverges."""


class Work(Protocol[State]):
    """What a search and a training do, each in its way."""

    def place(self, tree: State) -> State:
        """Lay a state of the host on the devices."""

    def prepare(self, state: State, done: int, progress: Progress) -> None:
        """Compile what the stretch after step ``done`` needs."""

    def call(self, state: State, done: int) -> tuple[State, dict[str, Outcome]]:
        """The ``count`` steps after step ``done``; ``state`` may be donated. The outcome of each step by loss."""

    def evaluate(self, state: State, done: int, rows: list[Row]) -> tuple[dict[str, Any], Score | None]:
        """What is to be told after a stretch and the ``rows`` before, and the score on V if it was evaluated."""

    def ends(self, rows: list[Row], done: int) -> str | None:
        """Why the run ends after these rows, before its last step; None: it goes on."""

    def publish(self, state: State, best: Best | None) -> None:
        """Write the files that follow from the best state or, before any evaluation, from the newest."""


@dataclasses.dataclass
class Tally:
    """What a run knows besides its state. Plain JSON values, for its checkpoints.

    Attributes:
        step: steps done.
        reported: steps up to the end of the last stretch that is in metrics.jsonl.
        losses: sums of the losses since then, by name.
        seconds: spent by the processes before this one, or before the checkpoint.
        best: the best evaluation so far.
    """

    step: int = 0
    reported: int = 0
    losses: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    best: Best | None = None

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Tally:
        """Read what ``dataclasses.asdict`` made."""
        best = facts["best"]
        return cls(**facts | {"best": best and Best(**best | {"score": Score(**best["score"])})})


class Loop(Generic[State]):
    """One run, from its newest checkpoint to its end."""

    def __init__(
        self, folder: RunFolder, plan: Plan, work: Work[State], say: Say, started: float, save_seconds: float
    ) -> None:
        """Prepare to run.

        Args:
            folder: the run's.
            plan: its numbers.
            work: what is done.
            say: where lines for people go.
            started: when this process began, by ``time.monotonic``.
            save_seconds: seconds between two checkpoints within a stretch.
        """
        self._folder, self._plan, self._work, self._say = folder, plan, work, say
        self._started, self._save_seconds = started, save_seconds
        self._tally, self._spent = Tally(), 0.0
        self._saved, self._saved_at = (0, 0), time.monotonic()
        self._rows: list[Row] = []
        self._pending: list[tuple[int, dict[str, Outcome]]] = []

    def run(self, state: State) -> Tally:
        """Go on from the newest checkpoint, or from ``state`` where there is none.

        Raises:
            ConfigError: a file cannot be written.
            DivergenceError: a step's loss or gradient is not finite.
            CheckpointError: a checkpoint cannot be written, or none can be read.
            Interrupted: a signal asked to stop; the state is saved.
        """
        plan, folder = self._plan, self._folder.path / "checkpoints"
        with Interruption(several=joined()) as self._interruption, Checkpoints(folder) as self._checkpoints:
            with self._folder.writing():
                self._state = self._resumed(state)
            done = self._tally.step
            with Progress(plan.what, plan.steps, done, self._say) as self._progress:
                try:
                    while self._goes_on():
                        self._folder.go_on_here(self._tally.step)
                        self._run_stretch(min(self._tally.reported + plan.stretch, plan.steps))
                except KeyboardInterrupt:
                    with self._interruption.held():
                        self._save()
                        self._checkpoints.wait()
                        meet()  # the others must not go before the first one has saved
                    raise
        self._tally.seconds = self._seconds()
        return self._tally

    def _resumed(self, state: State) -> State:
        found = self._checkpoints.newest(state, self._say)
        if found is None:
            self._rows = self._folder.cut_metrics(0)
            self._work.publish(state, None)
            return state
        self._tally = Tally.of(found.facts)
        self._spent, self._saved = self._tally.seconds, (self._tally.step, self._tally.reported)
        self._rows = self._folder.cut_metrics(self._tally.reported)
        self._publish_again(found)
        self._say(f"going on after step {self._tally.step} of {self._plan.steps}")
        resumed: State = self._work.place(found.state)
        return resumed

    def _publish_again(self, found: Checkpoint) -> None:
        """The process before may have gone further than its last checkpoint, or left a file damaged."""
        if not is_first():
            return
        best = self._tally.best
        if best is not None and best.checkpoint != found.number:
            try:
                found = self._checkpoints.read(best.checkpoint, found.state)
            except CheckpointError as error:
                self._say(f"warning: {error}; the files of the best stay as they are")
                return
        self._work.publish(found.state, best)

    def _goes_on(self) -> bool:
        if self._tally.reported >= self._plan.steps:
            return False
        if why := self._work.ends(self._rows, self._tally.reported):
            self._progress.say(why)
        return not largest(bool(why))

    def _run_stretch(self, end: int) -> None:
        plan, tally, work = self._plan, self._tally, self._work
        work.prepare(self._state, tally.reported, self._progress)
        meet()
        while tally.step < end:
            with self._interruption.held():  # between its donation and its new name the state must not be lost
                self._state, outcomes = work.call(self._state, tally.step)
                self._pending.append((tally.step + 1, outcomes))
                tally.step += plan.count
            self._progress.steps(plan.count)
            self._take(late=1)  # a loss fetched late does not hold up the device
            if time.monotonic() - self._saved_at > self._save_seconds and tally.step < end:
                with self._interruption.held():
                    self._save()
            self._interruption.stop_together(largest)
        self._take()
        steps = end - tally.reported
        row, score = work.evaluate(self._state, end, self._rows)
        row = {name: tally.losses[name] / steps for name in plan.groups if name in tally.losses} | row
        with self._interruption.held():
            self._report(end, row, score)
        self._progress.report(**row)

    def _take(self, late: int = 0) -> None:
        """Fetch the outcomes of all calls but the ``late`` last ones."""
        losses = self._tally.losses
        while len(self._pending) > late:
            first, outcomes = self._pending[0]
            self._require_finite(outcomes, first)
            totals = {name: float(np.sum(np.asarray(told.loss), dtype=np.float64)) for name, told in outcomes.items()}
            with self._interruption.held():  # counted once, and not twice
                losses |= {name: losses.get(name, 0.0) + total for name, total in totals.items()}
                self._pending.pop(0)
            self._progress.show(loss=totals["loss"] / self._plan.count)

    def _require_finite(self, outcomes: dict[str, Outcome], first: int) -> None:
        """Of several losses that are not finite in a call, the one of the earliest step is told: the others follow."""
        errors = []
        for name, told in outcomes.items():
            try:
                require_finite(name, self._plan.groups[name], told, first)
            except DivergenceError as error:
                errors.append(error)
        if errors:
            raise self._diverged(min(errors, key=lambda error: error.step))

    def _diverged(self, error: DivergenceError) -> DivergenceError:
        kept = int(from_first(lambda: str(self._drop_from(error.step - 1)).encode()))
        with self._folder.writing():
            self._folder.note_divergence(error.step, kept)
        goes_on = f"goes on after step {kept}" if kept else "begins anew"
        stays = (
            f"the checkpoint of step {kept}, whose loss was finite, stays" if kept else "no such step before was saved"
        )
        return DivergenceError(
            f"the {self._plan.name} diverged at {error}; {stays};"
            f" {self._plan.mend}, and give the same command: it {goes_on}",
            error.step,
        )

    def _drop_from(self, step: int) -> int:
        """Remove the checkpoints of ``step`` and later: what an update left is not known to be good before its loss is.

        Returns:
            The step of the newest one that stays; 0: none does.
        """
        self._checkpoints.wait()
        for number in reversed(self._checkpoints.numbers()):
            try:
                there = int(self._checkpoints.facts(number)["step"])
            except CheckpointError:  # told when it is to be read
                continue
            if there < step:
                return there
            self._checkpoints.remove(number)
        return 0

    def _report(self, end: int, row: dict[str, Any], score: Score | None) -> None:
        """A stretch is over: its row, the files of a new best, and a checkpoint."""
        tally = self._tally
        before = -math.inf if tally.best is None else tally.best.score.value
        improved = score is not None and before < score.value < math.inf
        if score is not None and improved:
            tally.best = Best(end, score, self._checkpoints.next_number())
        row = {"step": end, "epoch": row["epoch"], "seconds": self._seconds()} | row
        with self._folder.writing():
            self._folder.append_metrics(row)
            if improved or tally.best is None:
                self._work.publish(self._state, tally.best)
        self._rows.append(row)
        tally.reported, tally.losses = end, {}
        self._save()

    def _save(self) -> None:
        """Write a checkpoint, unless the newest one is of this very moment."""
        self._take()
        tally = self._tally
        if (tally.step, tally.reported) == self._saved:
            return
        tally.seconds = self._seconds()
        self._checkpoints.save(
            self._state, dataclasses.asdict(tally), best=None if tally.best is None else tally.best.checkpoint
        )
        self._saved, self._saved_at = (tally.step, tally.reported), time.monotonic()

    def _seconds(self) -> float:
        """Spent by this process and those before, by a clock that never goes backwards."""
        return round(self._spent + time.monotonic() - self._started, 2)
