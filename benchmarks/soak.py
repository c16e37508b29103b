"""Kill, damage and starve searches and trainings, and see that they end as one left alone, bit for bit.

    python benchmarks/soak.py [--minutes 60] [--kills 20] [--seed 0] --out runs/soak

Writes soak.json and prints a table: fault, how many times it was done, what was lost, seconds to be back. The runs are
tiny, so that nearly all of a run is what a fault can hit: starting, compiling, saving. Every fault is done for real, to
the command in a process of its own: python search.py, python train.py.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tiny_runs import Kind, Process, tiny_config, undisturbed, write_pictures


@dataclasses.dataclass
class Row:
    """One line of the table."""

    fault: str
    run: str
    tried: int = 0
    runs: int = 1
    """How many runs these faults hit, in turn: one that came to its end was compared, and another begun."""
    saves: int = 0
    """Of kills, those that left a checkpoint half written."""
    noticed: int = 0
    """Of damages, those that the run noticed. A bit that no reading depends on makes no difference."""
    lost: str = "nothing"
    again_s: list[float] = dataclasses.field(default_factory=list)
    """From the command to the line that it goes on, each time."""
    first_s: list[float] = dataclasses.field(default_factory=list)
    """From the command to its first row of metrics, each time."""
    end_s: list[float] = dataclasses.field(default_factory=list)
    """From the fault to the end of the process, where that is its own."""
    codes: list[int] = dataclasses.field(default_factory=list)


# --- waiting for a moment


def _steps(process: Process, count: int) -> None:
    """Wait until the process has told ``count`` stretches, or has ended."""
    while process.running() and sum(": step " in line for _, line in list(process.lines)) < count:
        time.sleep(0.005)


def _saving(process: Process, workdir: Path) -> None:
    """Wait until a checkpoint is being written, or the process has ended."""
    while process.running() and not _half_saved(workdir):
        time.sleep(0.0005)


def _half_saved(workdir: Path) -> set[str]:
    """The checkpoints that are begun and not whole yet."""
    with contextlib.suppress(OSError):
        return {name for name in os.listdir(workdir / "checkpoints") if "tmp" in name}  # noqa: PTH208, the quickest
    return set()


# --- faults: each hits a run again and again, and leaves it to go on


def _note(process: Process, row: Row) -> None:
    """How long this process took to be back."""
    for seconds, words in ((row.again_s, "going on after"), (row.first_s, f"{row.run}: step")):
        if (at := process.seconds_to(words)) is not None:
            seconds.append(round(at, 2))


def _expect(process: Process, code: int, words: str, row: Row) -> None:
    """Wait for the end, which is to be with this exit code and these words, and without a traceback."""
    row.codes.append(process.wait())
    told = process.told()
    if row.codes[-1] != code or words not in told or "Traceback" in told:
        row.lost = f"exit code {row.codes[-1]}: {told[-500:]}"


def kill(kind: Kind, workdir: Path, rng: random.Random, row: Row) -> None:
    """SIGKILL, by turns during a save, at a moment of the stepping, and at a random one of the whole process."""
    left_before = _half_saved(workdir)
    process = kind.start(workdir)
    if row.tried % 3 == 2:
        time.sleep(rng.uniform(0, max([10.0, *row.first_s])))
    else:
        _steps(process, rng.randint(1, 3))
        if row.tried % 3 == 1:
            time.sleep(rng.uniform(0, 0.5))
        else:
            _saving(process, workdir)
    process.send(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:  # the run came to its end first
        row.tried -= 1
        return
    row.saves += bool(_half_saved(workdir) - left_before)
    _note(process, row)


def ask_to_stop(number: signal.Signals) -> Fault:
    """SIGTERM or Ctrl-C, every third time while the process starts: it ends of itself, soon, with its code."""

    def ask(kind: Kind, workdir: Path, rng: random.Random, row: Row) -> None:
        process = kind.start(workdir)
        if row.tried % 3 == 2:
            time.sleep(rng.uniform(0.5, 5))
        else:
            _steps(process, 1)
            time.sleep(rng.uniform(0, 0.3))
        if not process.running() or finished(workdir):  # on a busy machine the run came to its end first
            _expect(process, 0, "", row)
            row.tried -= 1
            return
        asked = time.monotonic()
        process.send(number)
        _expect(process, 128 + number, "interrupted", row)
        row.end_s.append(round(time.monotonic() - asked, 2))
        _note(process, row)

    return ask


def damage(kind: Kind, workdir: Path, rng: random.Random, row: Row) -> None:
    """By turns, flip a bit of the newest checkpoint, or cut a file of it short; the one before is taken."""
    process = kind.start(workdir)
    _steps(process, 2)
    process.send(signal.SIGKILL)
    process.wait()
    numbers = [int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()]
    newest = workdir / "checkpoints" / str(max(numbers))
    files = [path for path in sorted(newest.rglob("*")) if path.is_file() and path.parent.name == "d"]
    cut = row.tried % 2 == 1
    harm(rng.choice(files), rng, cut=cut)
    process = kind.start(workdir)
    _steps(process, 1)
    process.send(signal.SIGKILL)
    process.wait()
    noticed = "warning: the checkpoint before" in process.told()
    row.noticed += noticed
    if cut and not noticed:
        row.lost = f"a file cut short was not noticed: {process.told()[-500:]}"
    _note(process, row)


def harm(file: Path, rng: random.Random, *, cut: bool) -> None:
    """Cut a file to its half, or flip one bit of it."""
    content = bytearray(file.read_bytes())
    if cut:
        del content[len(content) // 2 :]
    else:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def fill_disk(kind: Kind, workdir: Path, rng: random.Random, row: Row) -> None:
    """No file can grow beyond some bytes (RLIMIT_FSIZE): the process says so and ends with code 2."""
    process = kind.start(workdir, limit=rng.randint(200, 2000))
    _expect(process, 2, "cannot be written", row)


def run_twice(kind: Kind, workdir: Path, rng: random.Random, row: Row) -> None:
    """A second process in the same folder is refused, and the first one's run goes on."""
    del rng
    first = kind.start(workdir)
    _steps(first, 1)
    first.send(signal.SIGSTOP)  # so that it is not done before the second one asks
    _expect(kind.start(workdir), 2, "another process runs there", row)
    first.send(signal.SIGCONT)
    first.send(signal.SIGKILL)
    first.wait()


Fault = Callable[[Kind, Path, random.Random, Row], None]

#: By the name that the table gives them, and how many for 20 kills.
FAULTS: dict[str, tuple[Fault, int]] = {
    "SIGKILL at any moment, every third aimed at a save": (kill, 20),
    "SIGTERM": (ask_to_stop(signal.SIGTERM), 6),
    "Ctrl-C": (ask_to_stop(signal.SIGINT), 6),
    "a bit of the newest checkpoint flipped, or a file of it cut short": (damage, 4),
    "no file can grow: the disk is full": (fill_disk, 4),
    "a second process in the folder": (run_twice, 2),
}


def hit(kind: Kind, workdir: Path, rng: random.Random, fault: str, times: int) -> Row:
    """Do a fault so often to a run. If the run comes to its end meanwhile, it is compared, and another one begins."""
    act, row = FAULTS[fault][0], Row(fault, kind.name)
    while row.tried < times:
        act(kind, workdir, rng, row)
        row.tried += 1
        if finished(workdir) and row.tried < times:
            compare(kind, workdir, row)
            shutil.rmtree(workdir)
            row.runs += 1
    return row


def finished(workdir: Path) -> bool:
    """Whether a run has come to its end: its manifest tells the seconds."""
    file = workdir / "manifest.json"
    return file.exists() and "seconds" in json.loads(file.read_text())


def finish(kind: Kind, workdir: Path, row: Row) -> None:
    """Let the run go on to its end, and compare it with the undisturbed one."""
    process = kind.start(workdir)
    _expect(process, 0, "", row)
    _note(process, row)
    compare(kind, workdir, row)


def compare(kind: Kind, workdir: Path, row: Row) -> None:
    """Note what differs from the undisturbed run."""
    if differing := kind.differences(workdir):
        row.lost = ", ".join([*differing, "" if row.lost == "nothing" else row.lost])


def table(rows: list[Row]) -> str:
    """Markdown: medians, and the longest."""
    names = ("fault", "run", "times", "runs", "lost", "seconds to end", "seconds to go on", "seconds to the next row")
    lines = [f"| {' | '.join(names)} |", "|---|---|" + "--:|" * 6]
    for row in rows:
        spans = (_span(row.end_s), _span(row.again_s), _span(row.first_s))
        told = [f", {row.saves} within a save"] * bool(row.saves) + [f", {row.noticed} noticed"] * bool(row.noticed)
        times = f"{row.tried}{''.join(told)}"
        lines.append(f"| {row.fault} | {row.run} | {times} | {row.runs} | {row.lost} | {' | '.join(spans)} |")
    return "\n".join(lines)


def _span(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} (up to {max(seconds):.1f})" if seconds else ""


def main() -> None:
    """The long version."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="go round again until then")
    parser.add_argument("--kills", type=int, default=20, help="of each run, in a round")
    parser.add_argument("--epochs", type=int, default=120, help="of the search; the training has twice as many steps")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", default="", help="faults whose name has this word")
    parser.add_argument("--out", type=Path, required=True, help="folder, emptied first")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    shutil.rmtree(options.out, ignore_errors=True)
    write_pictures(options.out / "pictures")
    config = tiny_config(options.out / "pictures", options.epochs)
    kinds = [undisturbed(name, options.out, config) for name in ("search", "train")]
    rng, rows, first_round = random.Random(options.seed), [], True
    while first_round or time.monotonic() < end:
        for fault, (_, times) in FAULTS.items():
            for kind in kinds:
                if options.only in fault:
                    workdir = options.out / f"{kind.name}-disturbed"
                    shutil.rmtree(workdir, ignore_errors=True)
                    rows.append(hit(kind, workdir, rng, fault, max(1, times * options.kills // 20)))
                    finish(kind, workdir, rows[-1])
                    (options.out / "soak.json").write_text(json.dumps([dataclasses.asdict(row) for row in rows]))
                    print(table(rows[-1:]), flush=True)
        first_round = False
    print(table(rows))
    sys.exit(any(row.lost != "nothing" for row in rows))


if __name__ == "__main__":
    main()
