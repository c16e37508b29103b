"""Released models: found by name, listed with their cards; none is a line that says how to make one."""

import pytest
from test_modelfile import ARCHITECTURE, random_variables

from hinas_jax import cli, released
from hinas_jax.evaluation import EvaluationError, evaluate
from hinas_jax.modelfile import Model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(released, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def caches_here(tmp_path_factory, monkeypatch, keep_jax_settings):
    del keep_jax_settings
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def test_a_name_is_the_file_in_the_folder_and_anything_else_a_path(folder):
    (folder / "small.safetensors").touch()
    (folder / "README.md").touch()
    assert released.released_models() == ["small"]
    assert released.model_path("small") == folder / "small.safetensors"
    assert str(released.model_path("runs/small")) == "runs/small"


def test_models_lists_what_is_there(folder, capsys):
    Model(ARCHITECTURE, random_variables(), {"validation": {"psnr": 31.256, "ssim": 0.9}}).save(
        folder / "b.safetensors"
    )
    Model(ARCHITECTURE, random_variables(), {}).save(folder / "a.safetensors")
    cli.main(["models"])
    count = f"{ARCHITECTURE.parameters():,}"
    assert capsys.readouterr().out.splitlines() == [
        f"a: super_resolve, {count} parameters",
        f"b: super_resolve, {count} parameters, 31.26 dB on its V",
    ]


def test_without_models_one_line_says_how_to_make_one(folder, capsys):
    cli.main(["models"])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("no models are released yet; `hinas train` makes a model.safetensors")
    assert str(folder) in line


def test_a_released_model_is_evaluated_by_its_name(folder):
    Model(ARCHITECTURE, random_variables(), {}).save(folder / "mine.safetensors")
    with pytest.raises(EvaluationError, match="mine is for the task super_resolve"):  # so it was found and read
        evaluate("mine", sigma=50)
    with pytest.raises(EvaluationError, match="baseline, which are identity, gaussian-blur, bicubic, mine"):
        evaluate("yours", sigma=50)
