"""The commands `search` and `train`: what they print and leave, and one line with exit code 2 for every mistake."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import mistake, run
from PIL import Image
from tiny import SMALLEST

from hinas_jax.architecture import Architecture
from hinas_jax.config import Config, SearchConfig, load_config
from hinas_jax.interruption import Interrupted
from hinas_jax.named_configs import config_names

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("search", "train")


@pytest.fixture(autouse=True)
def caches_here(quick_compiling, monkeypatch, keep_jax_settings):
    """Keep the commands' compilation cache out of the user's home."""
    del keep_jax_settings
    monkeypatch.setenv("XDG_CACHE_HOME", str(quick_compiling))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((20, 24), 50 * i, np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def architecture_file(tmp_path):
    SMALLEST.save(tmp_path / "architecture.json")
    return tmp_path / "architecture.json"


# --- what works


def test_search_leaves_its_files_and_tells_what_it_found(capsys, tiny_config, tmp_path):
    file, workdir = tmp_path / "tiny.json", tmp_path / "run"
    file.write_text(
        dataclasses.replace(tiny_config, data=dataclasses.replace(tiny_config.data, root="elsewhere")).to_json()
    )
    code, out, _ = run(capsys, "search", file, "--workdir", workdir, "--data.root", tiny_config.data.root)
    assert code == 0
    found = Architecture.load(workdir / "architecture.json")
    assert out == [f"{workdir}/architecture.json: levels {list(found.levels)}, {found.parameters()} parameters"]
    assert Config.from_json((workdir / "config.json").read_text()) == tiny_config


def test_train_leaves_a_model_for_super_resolution_too(capsys, tiny_config, tmp_path):
    task = dataclasses.replace(tiny_config.task, name="super_resolve", scale=2)
    train = dataclasses.replace(tiny_config.train, steps=2, patch=6, validate_every=1)
    (tmp_path / "tiny.json").write_text(dataclasses.replace(tiny_config, task=task, train=train).to_json())
    dataclasses.replace(SMALLEST, task="super_resolve", scale=2).save(tmp_path / "architecture.json")
    workdir = tmp_path / "run"
    words = ["train", tmp_path / "tiny.json", "--architecture", tmp_path / "architecture.json", "--workdir", workdir]
    code, out, _ = run(capsys, *words, "--train.steps", "1")
    assert code == 0
    assert len(out) == 1
    assert out[0].startswith(f"{workdir}/model.safetensors: ")
    assert out[0].endswith(" on V")
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1]


def test_every_field_of_the_config_can_be_replaced_on_the_command_line(capsys, monkeypatch, tmp_path):
    calls = []

    def record(config, workdir, *, restart, batch, say):
        calls.append((config, workdir, restart, batch))
        say("said")
        return SMALLEST

    monkeypatch.setattr("hinas_jax.cli.search.search", record)
    words = ["--seed", "5", "--task.sigmas", "10", "20", "--search.batch_size", "3", "--search.patch", "20"]
    words += ["--deterministic", "--batch", "auto"]
    code, _, err = run(capsys, "search", "debug", "--workdir", tmp_path, "--restart", *words)
    assert (code, err) == (0, ["said"])
    ((config, workdir, restart, batch),) = calls
    assert (config.seed, config.task.sigmas, config.search.batch_size, config.search.patch) == (5, (10, 20), 3, 20)
    assert config.search.epochs == load_config("debug").search.epochs
    assert (workdir, restart, batch, config.compute.deterministic) == (tmp_path, True, "auto", True)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_field_with_its_words(capsys, command):
    code, out, err = run(capsys, command, "--help")
    assert (code, err) == (0, [])
    text = " ".join(" ".join(out).replace("│", " ").split())
    assert "--workdir" in text
    assert all(f"--search.{field.name.replace('_', '-')}" in text for field in dataclasses.fields(SearchConfig))
    assert "Patches a step." in text
    assert "a .py is a program that is executed" in text


def test_help_alone_lists_commands_and_configs(capsys):
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, [])
    text = "\n".join(out)
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert all(name in text for name in config_names())
    assert "a .py is a program that is executed" in text


def test_without_a_command_the_usage_is_told_with_exit_code_2(capsys):
    code, out, err = run(capsys)
    assert code == 2
    assert not out
    assert err[0].startswith("usage: hinas")


@pytest.mark.parametrize(("variable", "below"), [("XDG_CACHE_HOME", "hinas_jax/xla"), ("HOME", ".cache/hinas_jax/xla")])
def test_compiled_programs_are_kept_where_the_user_keeps_caches(capsys, monkeypatch, tmp_path, variable, below):
    folders = []
    monkeypatch.setattr("hinas_jax.cli.computing.enable_compilation_cache", folders.append)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv(variable, str(tmp_path))
    run(capsys, "search", "nothing")
    assert folders == [tmp_path / below]


# --- mistakes


def test_an_unknown_command(capsys):
    message = mistake(capsys, "serach", "debug")
    assert "'serach'" in message
    assert "search, train" in message


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("words", [[], ["--workdir", "somewhere"]])
def test_no_config(capsys, command, words):
    message = mistake(capsys, command, *words)
    assert "needs a config first" in message
    assert "denoise_bsd500" in message


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["nothing", "nothing.py", "nothing.json"])
def test_an_unknown_config(capsys, tmp_path, command, name):
    message = mistake(capsys, command, name, "--workdir", tmp_path / "run", "--architecture", "a.json")
    assert f"no config '{name}'" in message
    assert "denoise_bsd500" in message


@pytest.mark.parametrize("command", COMMANDS)
def test_no_workdir(capsys, command, architecture_file):
    words = ["--architecture", architecture_file] if command == "train" else []
    assert "--workdir" in mistake(capsys, command, "debug", *words)


def test_an_unknown_field_in_a_config_file(capsys, tmp_path):
    (tmp_path / "mine.json").write_text('{"search": {"epoch": 3}}')
    message = mistake(capsys, "search", tmp_path / "mine.json", "--workdir", tmp_path / "run")
    assert "mine.json" in message
    assert "did you mean 'search.epochs'?" in message


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--search.epoch", "3"], "did you mean --search.epochs?"),
        (["--serch.epochs", "3"], "--serch.epochs"),
        (["--search.epochs", "0"], "search.epochs must be a whole number of 1 to 2147483647, not 0"),
        (["--search.epochs", "three"], "--search.epochs"),
        (["--search.epochs", "2.5"], "--search.epochs"),
        (["--search.epochs"], "--search.epochs"),
        (["--search.momentum", "1"], "search.momentum"),
        (["--task.name", "inpaint"], "'denoise', 'super_resolve'"),
        (["--task.channels", "2"], "--task.channels"),
        (["--task.sigmas", "-5"], "task.sigmas"),
        (["--space.layers", "0"], "layers must be 1 to 65536"),
        (["--loss.ssim-weight", "inf"], "loss.ssim_weight"),
        (["--train.patch", "5"], "train.patch must be 11 or more"),
        (["--seed", "-1"], "seed must lie in"),
        (["stray"], "stray"),
    ],
)
def test_a_wrong_argument_is_told_by_name_before_anything_is_written(capsys, tmp_path, words, told):
    assert told in mistake(capsys, "search", "debug", "--workdir", tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_pictures_that_cannot_be_used(capsys, tmp_path, pictures, architecture_file, command):
    more = ["--architecture", architecture_file] if command == "train" else []

    def told(*words):
        return mistake(capsys, command, "debug", "--workdir", tmp_path / "run", *more, *words)

    assert "no such folder" in told("--data.root", tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert "no pictures here" in told("--data.root", tmp_path / "empty")
    small = told("--data.root", pictures, f"--{command}.patch", "21")
    assert "all 3 pictures are too small" in small
    assert "21x21 pixels: 0 (24x20), " in small
    assert "3 pictures or more" in told("--data.root", pictures, "--data.exclude", "1")
    for i in range(3):
        (pictures / f"{i}.png").write_bytes(b"no picture")
    assert f"none of 3 pictures can be used: {pictures / '0.png'}: not a picture" in told("--data.root", pictures)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_what_cannot_be_used_is_told_and_left_out(capsys, tmp_path, pictures, architecture_file, command):
    (pictures / "bad.png").write_bytes(b"no picture")
    Image.new("L", (5, 40)).save(pictures / "narrow.png")
    more = ["--architecture", architecture_file] if command == "train" else []
    words = ["--workdir", tmp_path / "run", "--data.root", pictures, "--data.exclude", "1", f"--{command}.patch", "12"]
    code, _, err = run(capsys, command, "debug", *words, *more)
    assert code == 2
    assert len(err) == 3
    assert err[0].startswith(f"left out 1 of 4 pictures that cannot be used: {pictures}/bad.png: not a picture")
    assert err[1].startswith("left out 1 of 3 pictures, too small for ")
    assert err[1].endswith("which takes 12x12 pixels: narrow (5x40)")
    assert "3 pictures or more" in err[2]
    assert "not 2" in err[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_holds_another_run(capsys, tmp_path, pictures, architecture_file, command):
    more = ["--architecture", architecture_file] if command == "train" else []
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(Config().to_json())
    words = ["debug", "--workdir", tmp_path / "run", "--data.root", pictures, *more]
    message = mistake(capsys, command, *words)
    assert "another config" in message
    assert "search.epochs" in message
    assert "--restart" in message


def test_a_folder_that_cannot_be_made(capsys, tmp_path, pictures):
    (tmp_path / "file").write_text("")
    message = mistake(capsys, "search", "debug", "--workdir", tmp_path / "file" / "run", "--data.root", pictures)
    assert "cannot be written" in message


def test_an_architecture_that_cannot_be_used(capsys, tmp_path, pictures, architecture_file):
    def told(*words):
        return mistake(capsys, "train", "debug", "--workdir", tmp_path / "run", "--data.root", pictures, *words)

    assert "--architecture" in told()
    assert "missing.json" in told("--architecture", tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text("{")
    assert "broken.json: not JSON" in told("--architecture", tmp_path / "broken.json")
    other_task = told("--architecture", architecture_file, "--task.channels", "3")
    assert "task.channels = 1, the config says 3" in other_task
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("signal", "code"), [(2, 130), (15, 143)])
def test_a_signal_ends_with_the_code_that_schedulers_know(capsys, monkeypatch, tmp_path, signal, code):
    def interrupt(*_, **__):
        raise Interrupted(signal)

    monkeypatch.setattr("hinas_jax.cli.search.search", interrupt)
    ended, out, err = run(capsys, "search", "debug", "--workdir", tmp_path)
    assert (ended, out) == (code, [])
    assert err == ["interrupted; the same command goes on from the last checkpoint"]


def test_a_defect_of_ours_is_not_told_as_a_mistake(capsys, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise RuntimeError("a defect")

    monkeypatch.setattr("hinas_jax.cli.search.search", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        run(capsys, "search", "debug", "--workdir", tmp_path)


def test_an_interruption_says_how_to_go_on(capsys, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hinas_jax.cli.search.search", interrupt)
    monkeypatch.setattr("hinas_jax.cli.demo.run_demo", interrupt)
    monkeypatch.setattr("hinas_jax.restoring.restore_files", interrupt)
    for words, told in (
        (["search", "debug", "--workdir", tmp_path], "the same command goes on from the last checkpoint"),
        (["search", "debug", "--workdir", tmp_path, "--restart"], "the same command without --restart goes on"),
        (["demo", "--workdir", tmp_path], "the same command goes on from the last checkpoint"),
        (["restore", "MODEL", "PICTURE", "--output", tmp_path], "interrupted"),
    ):
        code, out, err = run(capsys, *words)
        assert (code, out) == (130, [])
        assert told in err[0]
        assert ("goes on" in err[0]) == (words[0] != "restore")


# --- the scripts


@pytest.mark.parametrize(
    ("words", "encoding", "code", "told"),
    [
        (
            "search.py debug --workdir run --search.epoch 3",
            "utf-8",  # the argument parser draws boxes in it, and none in capsys
            2,
            "hinas: Unrecognized options: --search.epoch, 3; did you mean --search.epochs?\n",
        ),
        ("train.py debug --help", "ascii", 0, "usage: hinas train"),
    ],
)
def test_the_scripts_run_their_commands(tmp_path, words, encoding, code, told):
    script, *words = words.split()
    done = subprocess.run(
        [sys.executable, ROOT / script, *words],
        cwd=tmp_path,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONIOENCODING": encoding},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code
    assert (done.stdout + done.stderr).startswith(told)


def test_a_reader_that_goes_away_is_no_defect():
    """`python search.py debug --help | head -1`."""
    command = [sys.executable, str(ROOT / "search.py"), "debug", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 141  # as the shell tells it of any program
    assert told == b""
