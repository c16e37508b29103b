"""A run's folder: what it holds, and that no run goes on in another one's folder."""

import dataclasses
import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hinas_jax.runs
from hinas_jax.config import Config, SearchConfig, TrainConfig
from hinas_jax.config_forms import ConfigError
from hinas_jax.runs import RunFolder, environment

CONFIG = Config(seed=7)
FILES = (
    "config.json", "metrics.jsonl", "manifest.json", "architecture.json", "architecture.svg", "model.safetensors",
)  # fmt: skip


def open_folder(path, config=CONFIG, kind="search", splits=None, *, restart=False, say=print):
    return RunFolder(path, config, kind, splits or {"W": "abc"}, restart=restart, say=say)


def refusal(*arguments, **options):
    with pytest.raises(ConfigError) as caught:
        open_folder(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def finished(tmp_path):
    """A folder that holds a run, and a file of somebody's own."""
    path = tmp_path / "run"
    open_folder(path, CONFIG)
    for name in FILES[1:]:
        (path / name).write_text("{}")
    (path / "checkpoints" / "3").mkdir(parents=True)
    (path / "notes.txt").write_text("mine")
    return path


def test_a_new_folder_is_made_and_holds_the_config(tmp_path):
    open_folder(tmp_path / "a" / "b", CONFIG)
    assert Config.from_json((tmp_path / "a" / "b" / "config.json").read_text()) == CONFIG


def test_the_same_config_goes_on(finished):
    open_folder(finished, CONFIG)
    assert (finished / "checkpoints" / "3").is_dir()
    assert (finished / "metrics.jsonl").exists()


def test_another_config_is_refused_with_the_fields_that_differ(finished):
    other = dataclasses.replace(CONFIG, seed=8, search=SearchConfig(epochs=3))
    message = refusal(finished, other)
    assert str(finished) in message
    assert "differing: seed, search.epochs" in message
    assert "--restart" in message
    assert Config.from_json((finished / "config.json").read_text()) == CONFIG


def with_rate(rate, **fields):
    return dataclasses.replace(CONFIG, search=SearchConfig(learning_rate=rate, **fields))


def test_only_after_a_divergence_may_rates_and_clip_differ_and_nothing_else(tmp_path):
    lower = with_rate(0.01, gradient_clip=0.1)
    open_folder(tmp_path).close()
    assert "differing: search.learning_rate, search.gradient_clip" in refusal(tmp_path, lower)
    with open_folder(tmp_path) as folder:
        folder.note_divergence(7, 5)
    assert "differing: search.epochs" in refusal(tmp_path, with_rate(0.01, epochs=3))
    assert "differing: train.learning_rate" in refusal(
        tmp_path, dataclasses.replace(CONFIG, train=TrainConfig(learning_rate=0.01))
    )
    said = []
    open_folder(tmp_path, lower, say=said.append).close()
    fields = "search.learning_rate 0.01 (before: 0.025), search.gradient_clip 0.1 (before: 0.5)"
    assert said == [f"the run diverged at step 7; from here on {fields}"]
    assert Config.from_json((tmp_path / "config.json").read_text()) == lower
    open_folder(tmp_path, lower, say=said.append).close()
    assert len(said) == 1
    assert "differing: search.learning_rate" in refusal(tmp_path, with_rate(0.001, gradient_clip=0.1))
    changed = {"search.learning_rate": [0.025, 0.01], "search.gradient_clip": [0.5, 0.1]}
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["mended"] == [{"step": 7, "kept": 5, "changed": changed}]
    assert "diverged" not in manifest


def test_a_process_killed_while_it_mends_a_run_is_followed_by_one_that_does(tmp_path, monkeypatch):
    with open_folder(tmp_path) as folder:
        folder.note_divergence(7, 5)
    write = RunFolder.write

    class Killed(BaseException):
        pass

    def write_until_config(folder, name, text):
        if name == "config.json":
            raise Killed
        write(folder, name, text)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write", write_until_config)
        with pytest.raises(Killed):
            open_folder(tmp_path, with_rate(0.01))
    open_folder(tmp_path, with_rate(0.01)).close()
    assert len(json.loads((tmp_path / "manifest.json").read_text())["mended"]) == 1


def test_restart_clears_the_run_and_nothing_else(finished):
    other = dataclasses.replace(CONFIG, seed=8)
    open_folder(finished, other, restart=True)
    assert sorted(path.name for path in finished.iterdir()) == [".lock", "config.json", "manifest.json", "notes.txt"]
    assert Config.from_json((finished / "config.json").read_text()) == other


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("there", "other"), [("search", "train"), ("train", "search")])
def test_a_run_of_another_kind_is_refused_and_left_as_it_is(tmp_path, there, other, restart):
    open_folder(tmp_path, kind=there).append_metrics({"step": 3, "seconds": 1.0})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    message = refusal(tmp_path, kind=other, restart=restart)
    assert f"holds a {'search' if there == 'search' else 'training'}" in message
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_pictures_are_refused_unless_the_run_begins_anew(tmp_path):
    open_folder(tmp_path, splits={"W": "abc", "V": "d"})
    assert "the pictures of bundled have changed" in refusal(tmp_path, splits={"W": "abc", "V": "e"})
    open_folder(tmp_path, splits={"W": "abc", "V": "d"})
    open_folder(tmp_path, splits={"W": "abc", "V": "e"}, restart=True)


def test_restart_in_a_folder_without_a_run_removes_nothing(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "architecture.json").write_text("mine")
    open_folder(tmp_path, CONFIG, restart=True)
    assert (tmp_path / "checkpoints").is_dir()
    assert (tmp_path / "architecture.json").read_text() == "mine"


@pytest.mark.parametrize("lost", [["config.json"], ["config.json", "manifest.json"]])
def test_restart_clears_a_run_that_lost_its_config(tmp_path, lost):
    open_folder(tmp_path).close()
    (tmp_path / "checkpoints" / "3" / "facts").mkdir(parents=True)
    for name in lost:
        (tmp_path / name).unlink()
    open_folder(tmp_path, restart=True).close()
    assert not (tmp_path / "checkpoints").exists()


def test_restart_is_refused_where_the_checkpoints_stay(tmp_path):
    open_folder(tmp_path / "run").close()
    (tmp_path / "elsewhere" / "3").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "elsewhere")  # which shutil.rmtree does not follow
    message = refusal(tmp_path / "run", restart=True)
    assert f"{tmp_path / 'run' / 'checkpoints'}: cannot be removed" in message
    assert (tmp_path / "run" / "config.json").exists()  # so that it is still known as a run
    (tmp_path / "run" / "checkpoints").unlink()
    open_folder(tmp_path / "run", restart=True).close()


@pytest.mark.parametrize("content", ["{", "[]", '{"epochs": 3}'])
def test_a_damaged_config_in_the_folder_is_told_with_its_path(finished, content):
    (finished / "config.json").write_text(content)
    assert str(finished / "config.json") in refusal(finished, CONFIG)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal(tmp_path / "file", CONFIG)
    assert "--workdir" in refusal(tmp_path / "file" / "below", CONFIG)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    root = os.geteuid() == 0  # whom modes do not bind
    if root and subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("root can make no folder read-only here (chattr +i)")
    if not root:
        path.chmod(0o555)
    try:
        message = refusal(path, CONFIG)
    finally:
        if root:
            subprocess.run(["chattr", "-i", path], check=True)
        else:
            path.chmod(0o755)
    assert f"{path}: cannot be written" in message
    assert "--workdir" in message
    assert not list(path.iterdir())


def test_on_a_full_disk_a_run_goes_on_where_it_is_once_there_is_room(small_disk, fill):
    path = small_disk / "run"
    with open_folder(path) as folder:
        folder.append_metrics({"step": 1, "loss": 0.5})
        before = {name: (path / name).read_bytes() for name in ("config.json", "manifest.json", "metrics.jsonl")}
        other = fill(small_disk)
        full = f"{path}: cannot be written (No space left on device); make room and give the same command: it goes on"
        with pytest.raises(ConfigError) as caught, folder.writing():
            folder.append_metrics({"step": 2, "loss": 0.5, "more": "." * 4096})
        assert str(caught.value).startswith(full)
    message = refusal(path)
    assert message.startswith(full)
    assert "--workdir" not in message
    assert {name: (path / name).read_bytes()[: len(there)] for name, there in before.items()} == before
    assert "make room, or give another --workdir" in refusal(small_disk / "new")
    other.unlink()
    with open_folder(path) as folder:
        assert [row["step"] for row in folder.cut_metrics(1)] == [1]
    assert not list(path.glob(".*.part"))


# --- one process a folder


def test_a_second_one_in_the_same_folder_is_refused_until_the_first_is_closed(tmp_path):
    with open_folder(tmp_path):
        message = refusal(tmp_path)
        assert f"{tmp_path}: another process runs there (process {os.getpid()} on " in message
        assert "--workdir" in message
        refusal(tmp_path, restart=True)
    open_folder(tmp_path).close()


def test_a_refused_run_holds_no_folder(tmp_path):
    open_folder(tmp_path).close()
    refusal(tmp_path, dataclasses.replace(CONFIG, seed=8))
    open_folder(tmp_path).close()


def test_a_killed_process_holds_no_folder(tmp_path):
    program = (
        "import pathlib, sys, time; from hinas_jax.config import Config; from hinas_jax.runs import RunFolder;"
        " folder = RunFolder(pathlib.Path(sys.argv[1]), Config(seed=7), 'search', {'W': 'abc'});"
        " print(flush=True); time.sleep(60)"
    )
    command, root = [sys.executable, "-c", program, tmp_path], Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert f"(process {process.pid} on " in refusal(tmp_path)
        process.kill()
        process.wait()
    open_folder(tmp_path).close()


def test_a_file_system_without_locks_is_no_hindrance(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(hinas_jax.runs.fcntl, "flock", flock)
    open_folder(tmp_path).close()
    assert (tmp_path / "config.json").exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = open_folder(tmp_path, CONFIG)
    folder.write("facts.json", "old")
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            folder.write("facts.json", "new")
    assert (tmp_path / "facts.json").read_text() == "old"
    folder.write("facts.json", "newer")
    assert (tmp_path / "facts.json").read_text() == "newer"
    assert not list(tmp_path.glob(".*.part"))


def test_numbers_that_are_none_are_null_in_the_metrics(tmp_path):
    folder = open_folder(tmp_path, CONFIG)
    folder.append_metrics({"step": 1, "seconds": 0.5, "loss": math.nan, "psnr": -math.inf, "levels": [0]})
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert line == '{"step": 1, "seconds": 0.5, "loss": null, "psnr": null, "levels": [0]}'
    folder.cut_metrics(1)
    assert (tmp_path / "metrics.jsonl").read_text().splitlines() == [line]


def test_the_manifest_tells_versions_device_and_the_facts_given(tmp_path):
    folder = open_folder(tmp_path, CONFIG)
    folder.write_manifest(kind="search", seed=7, splits={"W": "abc"})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["kind"] == "search"
    assert manifest["seed"] == 7
    assert manifest["splits"] == {"W": "abc"}
    assert manifest["devices"] >= 1
    assert {"git_revision", "python", "backend", "device"} <= manifest.keys()
    assert all(manifest["versions"][name] for name in ("jax", "flax", "optax", "hinas-jax"))


@pytest.fixture
def elsewhere(tmp_path):
    """A folder with a checkpoint that was written under another JAX, by another revision, on eight devices."""
    open_folder(tmp_path).close()
    (tmp_path / "checkpoints" / "1" / "facts").mkdir(parents=True)
    file = tmp_path / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["versions"]["jax"] = "0.0.1"
    manifest |= {"devices": 8, "git_revision": "a" * 40}
    file.write_text(json.dumps(manifest))
    return tmp_path, {name: manifest[name] for name in environment()}


def test_going_on_in_another_environment_is_told_and_both_are_kept(elsewhere):
    path, before = elsewhere
    now, said = environment(), []
    assert now["devices"] != 8
    with open_folder(path, say=said.append) as folder:
        assert json.loads((path / "manifest.json").read_text()) == {**before, **folder._facts}  # nothing was done yet
        assert said == []
        for step in (6, 9):
            folder.go_on_here(step)
    (line,) = said
    assert line.startswith("warning: the run goes on under another environment (git_revision aaaaaaaaaaaa -> ")
    assert f", devices 8 -> {now['devices']}, " in line
    assert f"jax 0.0.1 -> {now['versions']['jax']})" in line
    assert "python" not in line
    with open_folder(path, say=said.append) as folder:
        folder.go_on_here(9)
        folder.write_manifest(seconds=1.0)
    assert len(said) == 1
    manifest = json.loads((path / "manifest.json").read_text())
    assert {name: manifest[name] for name in now} == now
    assert manifest["environments"] == [{"until_step": 6, **before}]


def test_a_run_that_begins_anew_has_no_environment_before(elsewhere):
    path, _ = elsewhere
    said = []
    with open_folder(path, restart=True, say=said.append) as folder:
        folder.go_on_here(0)
    assert said == []
    manifest = json.loads((path / "manifest.json").read_text())
    assert {name: manifest[name] for name in environment()} == environment()
    assert "environments" not in manifest


@pytest.mark.parametrize("error", [FileNotFoundError, subprocess.CalledProcessError(128, "git")])
def test_without_git_the_manifest_leaves_the_revision_open(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(hinas_jax.runs.subprocess, "run", fail)
    open_folder(tmp_path, CONFIG).write_manifest()
    assert json.loads((tmp_path / "manifest.json").read_text())["git_revision"] is None


def test_metrics_grow_line_by_line(tmp_path):
    folder = open_folder(tmp_path, CONFIG)
    folder.append_metrics({"step": 1, "loss": 0.5})
    folder.append_metrics({"step": 2, "loss": 0.25})
    assert rows(tmp_path) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]


def test_cutting_drops_later_rows_and_what_is_none(tmp_path):
    folder = open_folder(tmp_path, CONFIG)
    folder.cut_metrics(2)
    assert not (tmp_path / "metrics.jsonl").exists()
    for step in (1, 2, 3):
        folder.append_metrics({"step": step, "seconds": 1.5 * step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('[2]\n{"seconds": 1}\n{"step": 2, "sec')
    folder.cut_metrics(2)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]
    folder.cut_metrics(0)
    assert rows(tmp_path) == []
