"""One process is the first of one; how several of them do is in test_devices.py."""

import numpy as np
import pytest

from hinas_jax import processes
from hinas_jax.cli.mistakes import mistakes
from hinas_jax.processes import ProcessError


def test_one_process_agrees_with_itself():
    assert processes.is_first()
    assert not processes.joined()
    assert processes.agree(lambda: 3) == 3
    assert processes.from_first(lambda: b"bytes") == b"bytes"
    assert processes.largest(-2) == -2
    processes.require_same("nothing", b"")
    assert [got["x"] for got in processes.share_out(3, lambda number: {"x": np.float32(number)})] == [0, 1, 2]
    with pytest.raises(KeyError):  # the failure itself, not one that tells of it
        processes.agree(lambda: {}["missing"])


def test_processes_that_cannot_be_joined_are_told_in_one_line():
    with pytest.raises(ProcessError, match=r"--distributed: .*give --coordinator HOST:PORT") as caught:
        processes.join("localhost:1", processes=2, process=2)
    assert "\n" not in str(caught.value)
    assert ProcessError in mistakes()


def test_a_lost_process_is_told_in_one_line():
    told = processes.lost(RuntimeError("Gloo failed: reset\nby peer"))
    assert told == (
        "process 0 of 1 cannot go on, another one is gone or failed (Gloo failed: reset);"
        " start all of them again: they go on from the last checkpoint"
    )
