"""Signals: raised at once, held back within `held`, heard from the first moment of a command, obeyed soon."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hinas_jax.interruption import Interrupted, Interruption

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_raises_with_the_code_that_schedulers_know(number, code):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, Interruption():
        os.kill(os.getpid(), number)
        time.sleep(1)
    assert caught.value.exit_code == code
    assert isinstance(caught.value, KeyboardInterrupt)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("nested", [False, True])
def test_within_held_a_signal_waits_for_the_end_of_the_outermost_one(nested):
    done = []
    with pytest.raises(Interrupted), Interruption() as interruption:
        with interruption.held():
            with interruption.held() if nested else contextlib.nullcontext():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.05)
            done.append("whole")
        done.append("never")
    assert done == ["whole"]


def test_after_held_signals_raise_again():
    with pytest.raises(Interrupted), Interruption() as interruption:
        with interruption.held():
            pass
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_it_does_nothing():
    before, raised = signal.getsignal(signal.SIGTERM), []

    def enter():
        try:
            with Interruption() as interruption, interruption.held():
                assert signal.getsignal(signal.SIGTERM) == before
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not raised


# --- a command in a process of its own


def ended_by(program, number, seconds, again=0):
    """Exit code, words and seconds of a program to which ``number`` is sent once it says that it is ready."""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        time.sleep(seconds)
        sent = time.monotonic()
        process.send_signal(number)
        for _ in range(again):
            time.sleep(0.3)
            process.send_signal(number)
        _, words = process.communicate(timeout=60)
        return process.returncode, words, time.monotonic() - sent


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_while_a_command_still_imports_it_ends_at_once_without_a_traceback(number, code):
    program = "import sys; print(flush=True); from hinas_jax.__main__ import main; main(['search', 'debug'])"
    ended, words, seconds = ended_by(program, number, 0.7)
    assert ended == code
    assert words == "interrupted\n"
    assert seconds < 5


#: Python waits for the end of a long function in C, as it waits for a compilation.
BUSY = (
    "import hashlib, hinas_jax.interruption as i; i.HEAR_SECONDS = {hear}; i.hear_signals(); i.raise_interrupted();"
    " print(flush=True); hashlib.pbkdf2_hmac('sha256', b'x', b'x', 10**9)"
)


def test_a_process_that_cannot_hear_is_ended_after_some_seconds():
    ended, words, seconds = ended_by(BUSY.format(hear=1), signal.SIGTERM, 0.2)
    assert (ended, words) == (143, "interrupted\n")
    assert 1 <= seconds < 10


def test_a_second_ctrl_c_ends_it_at_once():
    ended, words, seconds = ended_by(BUSY.format(hear=100), signal.SIGINT, 0.2, again=1)
    assert (ended, words) == (130, "interrupted\n")
    assert seconds < 10


@pytest.mark.parametrize(
    "discard",
    [
        "gc.callbacks.append(lambda *_: (gc.callbacks.clear(), hear())); gc.collect()",
        "go = type('Going', (), {'__del__': lambda self: hear()})(); del go",
    ],
)
def test_a_signal_that_python_discards_is_heard_again(discard):
    program = f"""
import gc, os, signal, sys, time
from hinas_jax.interruption import Interrupted, hear_signals, raise_interrupted
hear_signals(); raise_interrupted()
def hear():
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000): pass
started = time.monotonic()
try:
    {discard}
    time.sleep(9)
except Interrupted as stopped:
    sys.exit(stopped.exit_code if time.monotonic() - started < 5 else 'late')
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (143, "")
