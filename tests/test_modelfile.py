"""A model file comes back bit for bit, and nothing else passes for one."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import traverse_util
from safetensors import safe_open
from safetensors.numpy import save_file

from hinas_jax import modelfile
from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.model_card import FORMAT, ModelError, read_card
from hinas_jax.modelfile import Model
from hinas_jax.space.initialise import variable_shapes
from hinas_jax.space.network import Network

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = Architecture(
    cells=(CellArchitecture(((Edge(0, "sep3"), Edge(1, "skip")),)),),
    levels=(1,),
    base_width=2,
    width_factors=(1, 2),
    task="super_resolve",
    channels=3,
    scale=2,
    start_width=3,
    end_width=3,
)
CARD = {"task": {"name": "super_resolve"}, "step": 3, "validation": {"psnr": 30.5, "ssim": 0.9}, "note": "é"}


def random_variables():
    rng = np.random.default_rng(0)
    shapes = variable_shapes(Network(ARCHITECTURE), 3)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    Model(ARCHITECTURE, random_variables(), CARD).save(path)
    return path


@pytest.fixture
def parts(saved):
    """Tensors and metadata of the file, to be spoilt."""
    with safe_open(saved, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def refusal(path):
    with pytest.raises(ModelError) as caught:
        Model.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_model_comes_back_bit_for_bit(saved):
    model = Model.load(saved)
    assert model.architecture == ARCHITECTURE
    assert model.card == CARD
    expected = random_variables()
    assert jax.tree.structure(model.variables) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, model.variables, expected)


def test_the_card_is_read_without_jax(saved):
    program = (
        "import sys; from pathlib import Path; from hinas_jax.model_card import read_card;"
        " architecture, card = read_card(Path(sys.argv[1]));"
        " print(architecture.task, card['validation']['psnr'], 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, saved], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "super_resolve 30.5 False\n"


def test_the_card_of_another_file_is_refused(saved, tmp_path):
    with pytest.raises(ModelError, match="there is no such model file"):
        read_card(tmp_path / "absent.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(saved.read_bytes()[:-4])
    with pytest.raises(ModelError, match=r"cut\.safetensors: not a model file"):
        read_card(tmp_path / "cut.safetensors")


def test_a_file_is_replaced_at_once_and_leaves_no_part_behind(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"older")
    Model(ARCHITECTURE, random_variables(), CARD).save(path)
    assert Model.load(path).card == CARD
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_same_model_gives_the_same_bytes(saved, tmp_path):
    content = saved.read_bytes()
    for _ in range(8):  # safetensors by itself takes another of six orders every time
        Model(ARCHITECTURE, random_variables(), CARD).save(tmp_path / "again.safetensors")
        assert (tmp_path / "again.safetensors").read_bytes() == content
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    assert list(header) == sorted(header)
    assert list(header["__metadata__"]) == ["architecture", "card", "format"]
    other = jax.tree.map(lambda leaf: leaf + 1, random_variables())
    Model(ARCHITECTURE, other, CARD).save(tmp_path / "other.safetensors")
    assert (tmp_path / "other.safetensors").read_bytes() != content


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(saved, tmp_path, kept):
    path = tmp_path / "model.safetensors"
    content = saved.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "not a model file" in refusal(path)


@pytest.mark.parametrize("content", [b"no model", bytes(200), b"\xff" * 200])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refusal(tmp_path / "absent.safetensors")
    refusal(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": FORMAT + "0"}])
def test_weights_of_another_program_are_refused(tmp_path, parts, metadata):
    path = tmp_path / "model.safetensors"
    save_file(parts[0], path, metadata)
    assert "not a model file of hinas_jax" in refusal(path)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "{}"},
        {"architecture": "{"},
        {"architecture": None},
        {"card": "{"},
        {"card": "[]"},
        {"card": None},
        {"card": "[" * 100_000},
    ],
)
def test_damaged_metadata_is_refused(tmp_path, parts, change):
    path = tmp_path / "model.safetensors"
    tensors, metadata = parts
    save_file(tensors, path, {key: value for key, value in (metadata | change).items() if value is not None})
    assert "damaged" in refusal(path)


def test_tensors_that_do_not_fit_the_architecture_are_refused(tmp_path, parts):
    tensors, metadata = parts
    path, name = tmp_path / "model.safetensors", "params/start/conv_0/kernel"
    spoilt = {
        "missing": {key: value for key, value in tensors.items() if key != name},
        "strange": tensors | {"params/extra": np.zeros(1, np.float32)},
        "of another shape": tensors | {name: tensors[name][..., :2].copy()},
        "of another type": tensors | {name: tensors[name].astype(np.float16)},
    }
    for tensor in spoilt.values():
        save_file(tensor, path, metadata)
        refusal(path)


def test_values_that_are_no_numbers_are_refused(tmp_path, parts):
    tensors, metadata = parts
    path, name = tmp_path / "model.safetensors", "params/start/conv_0/kernel"
    spoilt = tensors[name].copy()
    spoilt.flat[5] = np.nan
    save_file(tensors | {name: spoilt}, path, metadata)
    assert f"tensor {name} holds values that are no numbers" in refusal(path)


def header_of(length, header=b""):
    return length.to_bytes(8, "little") + header


@pytest.mark.parametrize("length", [0, 1, 2**24 + 1, 10**12, 2**64 - 1])
def test_a_header_that_claims_too_much_is_refused_unread(tmp_path, length):
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(header_of(length))
        file.truncate(10**10)  # sparse: takes no room
    assert "not a model file" in refusal(path)


@pytest.mark.parametrize(
    "claim",
    [
        {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
        {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 64]},
        {"dtype": "F32", "shape": [], "data_offsets": [2**63, 2**64 - 1]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [64, 0]},
    ],
)
def test_tensors_of_terabytes_are_refused_before_memory_is_taken(tmp_path, parts, claim):
    header = json.dumps({"__metadata__": parts[1], "params/start/conv_0/kernel": claim}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(header_of(len(header), header) + bytes(64))
    assert "not a model file" in refusal(path)


def test_an_architecture_larger_than_the_file_is_refused_before_its_network_is_traced(tmp_path, parts, monkeypatch):
    tensors, metadata = parts
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, metadata | {"architecture": dataclasses.replace(ARCHITECTURE, base_width=2000).to_json()})
    monkeypatch.setattr(modelfile, "_shapes", None)
    assert "not those of its architecture" in refusal(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    assert "a device or a pipe" in refusal(tmp_path / "model.safetensors")


def test_an_architecture_of_another_width_is_refused(tmp_path, parts):
    tensors, metadata = parts
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, metadata | {"architecture": ARCHITECTURE.scaled(2).to_json()})
    refusal(path)


def test_the_file_holds_data_that_any_reader_of_safetensors_understands(parts):
    tensors, metadata = parts
    flat = traverse_util.flatten_dict(random_variables(), sep="/")
    assert tensors.keys() == flat.keys()
    assert json.loads(metadata["architecture"])["task"] == "super_resolve"
    assert json.loads(metadata["card"]) == CARD
