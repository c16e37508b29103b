"""The line before the first step, and the bar: what it counts, shows, and lets stand above it."""

import re
import sys

import pytest

from hinas_jax.architecture import Architecture
from hinas_jax.progress import Progress
from hinas_jax.searching import search
from hinas_jax.training import train


@pytest.fixture
def events(monkeypatch):
    """What is said, and how far the bar is, in order."""
    found = []
    count = Progress.steps

    def steps(progress, number):
        found.append(number)
        count(progress, number)

    monkeypatch.setattr(Progress, "steps", steps)
    return found


def test_before_any_step_a_line_tells_what_is_compiled_and_for_how_long(
    events, tiny_config, searched, tmp_path, quick_compiling
):
    del quick_compiling
    search(tiny_config, tmp_path / "search", say=events.append)
    train(tiny_config, Architecture.load(searched / "architecture.json"), tmp_path / "train", say=events.append)
    told = [e for e in events if isinstance(e, str) and e.startswith("compiling")]
    whats = ["the warm-up steps", "the alternating steps", "the evaluation on V", "the training step"]
    assert [re.match(r"compiling ([\w\- ]+): [1-9]\d* operations, about [1-9]\d* s on two CPU cores", t)[1]
            for t in told] == [*whats, "the evaluation on V"]  # fmt: skip
    first_step = next(i for i, e in enumerate(events) if isinstance(e, int))
    assert events.index(told[0]) < first_step
    assert sum(e for e in events if isinstance(e, int)) == 5 * 3 + 6


def go(say):
    with Progress("search", 10, 4, say) as progress:
        progress.show(epoch=2)
        progress.steps(1)
        progress.show(loss=0.12345, levels=[0, 1])
        progress.say("a line")
        progress.resume()
        progress.report(psnr=25.678, skip_count=3)


def test_the_bar_shows_what_was_measured_last_and_lines_stand_above_it(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    go(print)
    told = capsys.readouterr()
    assert told.out == "a line\n"
    last = told.err.split("\r")[-1]
    assert "5/10" in last
    assert "epoch 2, loss 0.1235, 25.68 dB, 3 skips" in last


def test_without_a_terminal_there_are_lines_and_no_bar(capsys):
    said = []
    go(said.append)
    assert said == ["a line", "search: step 5 of 10, epoch 2, loss 0.1235, 25.68 dB, 3 skips"]
    assert capsys.readouterr() == ("", "")
