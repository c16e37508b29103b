"""Configs from files: by name, as Python, as JSON, and what is no config."""

import os
from pathlib import Path

import pytest
from config_files import NAMES, refusal

from hinas_jax.config import load_config
from hinas_jax.named_configs import config_names


def test_a_config_loads_by_name_by_python_file_and_by_json_file(tmp_path):
    python = Path(__file__).parents[1] / "configs" / "debug.py"
    saved = tmp_path / "config.json"
    saved.write_text(load_config("debug").to_json())
    assert load_config("debug") == load_config(str(python)) == load_config(str(saved))


def test_the_names_of_the_configs():
    assert config_names() == NAMES


@pytest.mark.parametrize("name", ["nothing", "nothing.py", "nothing.json", "", ".", "../configs/debug.txt"])
def test_a_missing_config_is_told_with_those_that_exist(name):
    message = refusal(load_config, name)
    assert repr(name) in message
    assert ", ".join(NAMES) in message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("config = (", "SyntaxError"),
        ("config = Config()", "NameError"),
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        ("from hinas_jax.config import SearchConfig\nSearchConfig(epoch=3)", "epoch"),
        ("from hinas_jax.config import SearchConfig\nSearchConfig(epochs=0)", "search.epochs"),
        ("from hinas_jax.space.search_space import SearchSpace\nSearchSpace(layers=0)", "layers"),
        ("1 / 0", "ZeroDivisionError"),
        ("{}['a']", "KeyError"),
        ("", "does not set `config`"),
        ("config = {}", "does not set `config`"),
    ],
)
def test_a_broken_python_file_is_told_in_one_line_with_its_path(tmp_path, source, words):
    path = tmp_path / "mine.py"
    path.write_text(source)
    message = refusal(load_config, str(path))
    assert message.startswith(f"{path}: ")
    assert words in message


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b'{"sead": 1}'])
def test_a_broken_json_file_is_told_in_one_line_with_its_path(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    assert refusal(load_config, str(path)).startswith(f"{path}: ")


def test_a_name_is_never_a_path_to_a_program(tmp_path, monkeypatch):
    """Only a path that says it is Python is executed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("raise SystemError('was run')")
    (tmp_path / "mine.txt").write_text("raise SystemError('was run')")
    for name in (str(tmp_path / "mine"), "../mine", "./mine", str(tmp_path / "mine.txt"), "debug/", "../configs/debug"):
        assert "there is no config" in refusal(load_config, name)
    assert "was run" in refusal(load_config, str(tmp_path / "mine.py"))


def test_a_json_file_too_large_to_be_a_config_is_refused_unread(tmp_path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(10**10)  # sparse: takes no room
    assert "larger than 4,194,304 bytes" in refusal(load_config, str(path))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    assert "there is no config" in refusal(load_config, str(tmp_path / "config.json"))
