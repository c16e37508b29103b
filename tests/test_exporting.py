"""An exported model restores pictures without the network's code, whatever their size."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from tiny import picture, quick_jit, random_cell, random_variables

from hinas_jax import cli
from hinas_jax.exporting import PLATFORMS, ExportError, export_model
from hinas_jax.modelfile import Model
from hinas_jax.objective import f_net
from hinas_jax.space.network import Network
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.tasks import task_of

pytest.importorskip("flatbuffers", reason="requirements.lock names it: make installs it")

SPACE = SearchSpace(layers=2, nodes=2, base_width=3, width_factors=(1, 2), start_width=4, end_width=4)
TASKS = {"denoise": {}, "super_resolve": {"task": "super_resolve", "scale": 2, "channels": 3}}


@pytest.fixture(scope="module", params=TASKS)
def model(request):
    rng = np.random.default_rng(0)
    architecture = SPACE.architecture([random_cell(rng, 2) for _ in range(2)], (0, 1), **TASKS[request.param])
    variables = random_variables(Network(architecture), picture(1, 8, 8, architecture.channels), train=False)
    return Model(architecture, variables, {})


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "new" / "model.bin"
    export_model(model, "stablehlo", path)
    assert [file.name for file in path.parent.iterdir()] == ["model.bin"]
    return path


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 9, 14), (3, 16, 3)])
def test_stablehlo_run_on_any_size_is_f_net(model, exported, batch, height, width):
    degraded = jnp.asarray(picture(batch, height, width, model.architecture.channels))
    found = export.deserialize(bytearray(exported.read_bytes())).call(degraded)
    network, task = Network(model.architecture), task_of(model.architecture)
    expected = quick_jit(lambda variables, x: f_net(network, task, variables, x))(model.variables, degraded)
    assert found.shape == (batch, height * task.scale, width * task.scale, task.channels)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(np.asarray(expected) - np.asarray(task.skip(degraded))).max() > 0.01  # not f_skip alone


def test_stablehlo_is_for_every_platform_and_small_pictures_too(exported):
    function = export.deserialize(bytearray(exported.read_bytes()))
    assert function.platforms == PLATFORMS == ("cpu", "cuda", "rocm", "tpu")
    assert str(function.in_avals[0].shape).startswith("(batch, height, width")
    assert function.in_avals[0].dtype == jnp.float32


@pytest.mark.parametrize("model", ["denoise"], indirect=True)
def test_stablehlo_needs_nothing_of_ours(exported, model):
    program = (
        "import sys; from jax import export; import numpy as np;"
        " f = export.deserialize(bytearray(open(sys.argv[1], 'rb').read()));"
        f" y = f.call(np.zeros((1, 8, 8, {model.architecture.channels}), np.float32));"
        " sys.exit(0 if np.isfinite(y).all() and 'hinas_jax' not in sys.modules else 1)"
    )
    done = subprocess.run([sys.executable, "-c", program, exported], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_onnx_without_its_package_is_told_in_one_line(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)  # as where it is not installed
    with pytest.raises(ExportError, match=r"pip install -e '\.\[onnx\]'") as caught:
        export_model(model, "onnx", tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.onnx").exists()


def test_stablehlo_without_its_package_is_told_in_one_line(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)  # as where it is not installed
    with pytest.raises(ExportError, match="pip install flatbuffers") as caught:
        export_model(model, "stablehlo", tmp_path / "model.bin")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.bin").exists()


def test_a_file_that_cannot_be_written_is_told(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot be written"):
        export_model(model, "stablehlo", tmp_path / "file" / "model.bin")


@pytest.mark.parametrize("model", ["denoise"], indirect=True)
def test_onnx_restores_as_f_net(model, tmp_path):
    pytest.importorskip("jax2onnx", reason="needs the extra onnx")
    runtime = pytest.importorskip("onnxruntime")
    export_model(model, "onnx", tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    network, task = Network(model.architecture), task_of(model.architecture)
    for size in ((1, 9, 14), (2, 16, 7)):
        degraded = picture(*size, model.architecture.channels)
        (found,) = session.run(None, {session.get_inputs()[0].name: degraded})
        expected = jax.jit(lambda x: f_net(network, task, model.variables, x))(degraded)
        np.testing.assert_allclose(found, expected, atol=1e-4)


# --- the command


@pytest.fixture
def caches_here(tmp_path_factory, monkeypatch, keep_jax_settings):
    del keep_jax_settings
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("model", ["denoise"], indirect=True)
def test_the_command_writes_what_the_library_writes(model, tmp_path, capsys, caches_here):
    del caches_here
    model.save(tmp_path / "model.safetensors")
    words = ["--format", "stablehlo", "--output", str(tmp_path / "model.bin")]
    cli.main(["export", str(tmp_path / "model.safetensors"), *words])
    size = (tmp_path / "model.bin").stat().st_size
    assert capsys.readouterr().out == f"{tmp_path / 'model.bin'}: {size:,} bytes\n"
    assert export.deserialize(bytearray((tmp_path / "model.bin").read_bytes())).platforms == PLATFORMS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--format", "stablehlo", "--output", "x"], "nowhere: there is no such model file"),
        (["nowhere", "--format", "gguf", "--output", "x"], "invalid choice"),
        (["nowhere", "--format", "onnx"], "--output"),
    ],
)
def test_what_cannot_be_exported(words, message, capsys, caches_here):
    del caches_here
    with pytest.raises(SystemExit) as caught:
        cli.main(["export", *words])
    out, err = capsys.readouterr()
    assert (caught.value.code, out, err.count("\n")) == (2, "", 1)
    assert message in err
