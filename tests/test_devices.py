"""Many devices and several processes: real ones, on this CPU, end as one device does."""

import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from left_by_runs import quiet, rows
from tiny import QUICK_FLAGS

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.checkpoints import Checkpoints
from hinas_jax.config import load_config
from hinas_jax.searching import search
from hinas_jax.training import train

EPOCHS, STEPS, BATCH = 4, 3, 8
HEARTBEAT = 5
SCRIPT = Path(__file__).with_name("run_stopping.py")


@pytest.fixture(scope="module")
def config(tiny_config):
    """Batches that 2, 4 and 8 devices share; no warm-up, for programs that compile fast."""
    parts = {"epochs": EPOCHS, "warmup": 0.0, "evaluate_after": 0.5, "batch_size": BATCH, "crops_per_picture": BATCH}
    return dataclasses.replace(
        tiny_config,
        search=dataclasses.replace(tiny_config.search, **parts),
        train=dataclasses.replace(tiny_config.train, steps=4, batch_size=BATCH),
    )


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory, quick_compiling):
    """The folder of a search on the one device of this process."""
    del quick_compiling
    workdir = tmp_path_factory.mktemp("alone")
    search(config, workdir, say=quiet)
    return workdir


@pytest.fixture(scope="module")
def start(config, tmp_path_factory):
    """Starts a command with ``config`` on so many CPU devices; all share one cache."""
    home = tmp_path_factory.mktemp("home")
    (home / "config.json").write_text(config.to_json())

    def start(workdir, *words, devices, command="search", step=0, number=signal.SIGTERM):
        first = [sys.executable, SCRIPT, str(step), str(int(number)), command, home / "config.json"]
        return subprocess.Popen(
            [*first, "--workdir", workdir, *words],
            env=os.environ
            | {
                "JAX_NUM_CPU_DEVICES": str(devices),
                "XLA_FLAGS": QUICK_FLAGS,
                "XDG_CACHE_HOME": str(home),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.fixture(scope="module")
def start_two(start):
    """Starts two processes of two devices each, with a folder each; ``words`` are for the second, ``both`` for both."""

    def start_two(folder, *words, both=(), step=0, number=signal.SIGKILL, command="search"):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        joining = ["--distributed", "--coordinator", f"localhost:{port}", "--processes", "2", "--heartbeat", HEARTBEAT]
        joining = [str(word) for word in joining] + [*both]
        how = {"devices": 2, "command": command}
        return [
            start(folder / "0", *joining, "--process", "0", **how),
            start(folder / "1", *joining, "--process", "1", *words, step=step, number=number, **how),
        ]

    return start_two


def ended(process, timeout=600):
    """Exit code and output of a process."""
    try:
        out, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, out


def until_it_listens(process):
    """Wait until a process has asked for SIGTERM, as Linux tells: a busy machine takes seconds to start one."""
    status = Path(f"/proc/{process.pid}/status")
    while status.exists() and process.poll() is None:
        caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
        if caught is None or int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.1)


def newest_statistics(workdir):
    """Running statistics of batch normalisation in the newest checkpoint."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.read(checkpoints.numbers()[-1]).state["batch_stats"]


def leaves(tree):
    return [leaf for part in tree.values() for leaf in leaves(part)] if isinstance(tree, dict) else [tree]


def require_alike(workdir, alone, count=EPOCHS):
    """The first ``count`` rows tell of the same search, to the rounding of sums taken in another order."""
    found, expected = rows(workdir)[:count], rows(alone)[:count]
    assert len(found) == count
    for one, other in zip(found, expected, strict=True):
        for name in ("step", "loss", "arch_loss", "alpha_entropy", "beta_entropy"):
            assert one[name] == pytest.approx(other[name], rel=2e-4), name
        assert one["levels"] == other["levels"]


def test_two_devices_search_as_one_does(start, alone, tmp_path):
    code, out = ended(start(tmp_path, devices=2))
    assert code == 0, out
    assert f"devices: 2 (cpu) of 1 processes, {BATCH // 2} patches of a batch each" in out
    require_alike(tmp_path, alone)
    assert Architecture.load(tmp_path / "architecture.json") == Architecture.load(alone / "architecture.json")
    # over the whole batch: statistics of a half each would differ by far more
    for one, other in zip(leaves(newest_statistics(tmp_path)), leaves(newest_statistics(alone)), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-4)


def test_two_devices_train_as_one_does(start, alone, config, tmp_path, quick_compiling):
    del quick_compiling
    architecture = alone / "architecture.json"
    train(config, Architecture.load(architecture), tmp_path / "one", say=quiet)
    code, out = ended(start(tmp_path / "two", "--architecture", architecture, devices=2, command="train"))
    assert code == 0, out
    assert (tmp_path / "two" / "model.safetensors").is_file()
    # of what the network does: Adam makes steps of its rate of gradients that are nothing but rounding
    for one, other in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        for name in ("step", "loss", "psnr", "ssim"):
            assert one[name] == pytest.approx(other[name], rel=2e-4), name


def test_eight_devices_search_as_one_does_and_their_checkpoint_opens_on_one(
    start, alone, config, tmp_path, quick_compiling
):
    del quick_compiling
    code, out = ended(start(tmp_path / "eight", devices=8, step=2 * STEPS))
    assert code == 128 + signal.SIGTERM, out
    assert f"devices: 8 (cpu) of 1 processes, {BATCH // 8} patches of a batch each" in out
    shutil.copytree(tmp_path / "eight", tmp_path / "one")
    said = []
    search(config, tmp_path / "one", say=said.append)
    assert f"going on after step {2 * STEPS} of {EPOCHS * STEPS}" in said
    code, out = ended(start(tmp_path / "eight", devices=8))
    assert code == 0, out
    found = Architecture.load(alone / "architecture.json")
    for workdir in (tmp_path / "eight", tmp_path / "one"):
        require_alike(workdir, alone)
        assert Architecture.load(workdir / "architecture.json") == found


def test_a_signal_to_one_of_two_stops_both_a_killed_one_ends_the_other_and_both_go_on(start_two, alone, tmp_path):
    outcomes = [ended(process) for process in start_two(tmp_path, step=STEPS, number=signal.SIGTERM)]
    assert [code for code, _ in outcomes] == [128 + signal.SIGTERM] * 2, outcomes
    assert [row["step"] for row in rows(tmp_path / "0")] == [STEPS]

    first, second = start_two(tmp_path, step=2 * STEPS, number=signal.SIGKILL)
    assert ended(second)[0] == -signal.SIGKILL
    killed = time.monotonic()
    code, out = ended(first)
    assert code in (75, -signal.SIGABRT), out
    assert "another one is gone or failed" in out or "another task died" in out
    assert f"going on after step {STEPS} of" in out or f"going on after step {STEPS + 1} of" in out
    assert time.monotonic() - killed < 60  # HEARTBEAT, and a loaded machine

    processes = start_two(tmp_path)
    (code, out), (other_code, other_out) = (ended(process) for process in processes)
    assert (code, other_code) == (0, 0), out + other_out
    assert "going on after step" in out
    assert "devices: 4 (cpu) of 2 processes, 2 patches of a batch each" in out
    require_alike(tmp_path / "0", alone)
    one, other = ((tmp_path / name / "architecture.json").read_bytes() for name in "01")
    assert one == other
    assert Architecture.load(tmp_path / "1" / "architecture.json") == Architecture.load(alone / "architecture.json")
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["architecture.json"]  # the first one alone writes


def test_a_signal_before_the_first_step_ends_a_process_that_waits_for_others(start):
    waiting = start(Path("nowhere"), "--distributed", "--coordinator", "localhost:1", "--processes", "2",
                    "--process", "1", devices=1)  # fmt: skip
    until_it_listens(waiting)
    time.sleep(3)
    waiting.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    code, out = ended(waiting)
    assert code == 128 + signal.SIGTERM, out
    assert time.monotonic() - asked < 40


def test_two_processes_train_on_streamed_patches_with_the_batch_that_the_first_one_chose(
    start_two, alone, config, tmp_path, quick_compiling
):
    del quick_compiling
    architecture = alone / "architecture.json"
    both = ["--architecture", architecture, "--batch", "auto", "--data.residence", "host"]
    (code, out), (other_code, other_out) = (ended(one) for one in start_two(tmp_path, both=both, command="train"))
    assert (code, other_code) == (0, 0), out + other_out
    assert "patches are streamed from there" in out
    chosen = load_config(str(tmp_path / "0" / "config.json")).train.batch_size
    assert chosen > BATCH
    assert f"devices: 4 (cpu) of 2 processes, {chosen // 4} patches of a batch each" in out
    same = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=chosen))
    train(same, Architecture.load(architecture), tmp_path / "alone", say=quiet)
    for one, expected in zip(rows(tmp_path / "0"), rows(tmp_path / "alone"), strict=True):
        for name in ("step", "loss", "psnr", "ssim"):
            assert one[name] == pytest.approx(expected[name], rel=2e-4), name


def test_processes_that_were_given_different_things_are_refused(start_two, tmp_path):
    outcomes = [ended(process) for process in start_two(tmp_path, "--seed", "4")]
    assert [code for code, _ in outcomes] == [2, 2], outcomes
    for _, out in outcomes:
        assert "not the same config here as on the first process" in out
        assert "Traceback" not in out
    assert "process 1 failed" in outcomes[0][1]
    assert not (tmp_path / "0" / "config.json").exists()


def test_processes_that_were_given_different_architectures_are_refused(start_two, alone, tmp_path):
    theirs = Architecture.load(alone / "architecture.json")
    another = "conv3" if "dil3" in theirs.to_json() else "dil3"
    cells = (CellArchitecture(((Edge(0, another), Edge(1, another)),)),)
    dataclasses.replace(theirs, cells=cells).save(tmp_path / "other.json")
    both = ["--architecture", alone / "architecture.json"]
    processes = start_two(tmp_path, "--architecture", tmp_path / "other.json", both=both, command="train")
    for code, out in map(ended, processes):
        assert code == 2, out
        assert "not the same architecture here as on the first process" in out
