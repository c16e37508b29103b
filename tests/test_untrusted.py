"""A stranger's model, architecture and config run nothing and touch nothing: Python's audit watches their loading."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save as pack
from tiny import SMALLEST, random_variables

from hinas_jax.config import Config
from hinas_jax.modelfile import Model
from hinas_jax.space.network import Network

ROOT = Path(__file__).resolve().parents[1]
CODE = "__import__('os').system('touch run')"

#: Loads the good files first, so that every module is there, then the strange ones under watch; prints what happened.
WATCH = """
import json, sys, warnings
from pathlib import Path
from hinas_jax.architecture import Architecture
from hinas_jax.config import load_config
from hinas_jax.modelfile import Model

LOADERS = {"model": Model.load, "architecture": Architecture.load, "config": lambda path: load_config(str(path))}
# to execute anything it must be compiled or unmarshalled first
EFFECTS = {"open", "compile", "marshal", "import", "pickle", "os", "subprocess", "shutil", "socket", "ctypes"}
READING = {"os.listdir", "os.scandir"}
seen, hints, watching = [], set(), False

def watch(event, arguments):
    reads = event in READING or (event == "open" and arguments[1] in ("r", "rb", None) and arguments[2] & 3 == 0)
    if event == "compile":  # our own annotations are, by typing.get_type_hints
        if not watching:
            hints.add(arguments[0])
        reads = arguments[0] in hints
    if watching and event.split(".")[0] in EFFECTS and not reads:
        seen.append([event, repr(arguments)[:200]])

def load(folder):
    told = {}
    for path in sorted(Path(folder).iterdir()):
        try:
            LOADERS[path.name.split("_")[0]](path)
            told[path.name] = "loaded"
        except ValueError as error:
            told[path.name] = f"{type(error).__name__}: {error}"
    return told

sys.addaudithook(watch)
good = load("good")
watching = True
strange = load("strange")
strange_seen = list(seen)
load_config("program.py")
watching = False
print(json.dumps({"good": good, "strange": strange, "seen": strange_seen, "seen_with_program": seen}))
"""


class Payload:
    """Unpickled, it leaves a file called `run`."""

    def __reduce__(self):
        return os.system, ("touch run",)


def zipped(name):
    """As PyTorch writes a model: a zip file with a pickle in it, here under a name that leads out of any folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, pickle.dumps(Payload()))
    return buffer.getvalue()


def array_of_objects():
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def strange_models(good: Path):
    with safe_open(good, "numpy") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    architecture = json.loads(metadata["architecture"])
    yield "pickle", pickle.dumps(Payload()), "not a model file"
    yield "torch", zipped("../../run/data.pkl"), "not a model file"
    yield "npy", array_of_objects(), "not a model file"
    yield "card", pack(tensors, metadata | {"card": json.dumps({"__reduce__": CODE, "task": CODE})}), "loaded"
    yield "name", pack(tensors | {"../../run": np.ones(1, np.float32)}, metadata), "not those of its architecture"
    yield "format", pack(tensors, metadata | {"format": CODE}), "not a model file of hinas_jax"
    text = json.dumps(architecture | {"task": "../../run"})
    yield "task", pack(tensors, metadata | {"architecture": text}), "not '../../run'"


def strange_texts(good: str):
    document = json.loads(good)
    yield "pickle", pickle.dumps(Payload()), ""
    yield "code", CODE.encode(), "not JSON"
    yield "class", json.dumps(document | {"__class__": "os.system"}).encode(), "unknown field '__class__'"
    yield "reduce", json.dumps(document | {"__reduce__": ["os.system", "touch run"]}).encode(), "unknown field"
    yield "object", json.dumps({"py/object": "os.system", "py/reduce": CODE}).encode(), ""
    yield "nested", b"[" * 100_000, "not JSON"


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """What each strange file was told to be, what was to be told, and what happened meanwhile."""
    folder = tmp_path_factory.mktemp("untrusted")
    for name in ("good", "strange"):
        (folder / name).mkdir()
    variables = random_variables(Network(SMALLEST), np.zeros((1, 8, 8, 1), np.float32), train=False)
    Model(SMALLEST, variables, {}).save(folder / "good" / "model_.safetensors")
    SMALLEST.save(folder / "good" / "architecture_.json")
    (folder / "good" / "config_.json").write_text(Config().to_json())
    files = {f"model_{n}.safetensors": rest for n, *rest in strange_models(folder / "good" / "model_.safetensors")}
    for kind, text in (("architecture", SMALLEST.to_json()), ("config", Config().to_json())):
        files |= {f"{kind}_{n}.json": rest for n, *rest in strange_texts(text)}
    root = json.loads(Config().to_json()) | {"data": {"root": "../../../run; touch run"}}
    files["config_root.json"] = [json.dumps(root).encode(), "loaded"]  # a path to read, when somebody searches with it
    for name, (content, _) in files.items():
        (folder / "strange" / name).write_bytes(content)
    (folder / "program.py").write_text("from hinas_jax.config import Config\n\nconfig = Config()\n")
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
    return {name: words for name, (_, words) in files.items()}, json.loads(done.stdout)


def test_the_payload_would_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Payload()))
    assert (tmp_path / "run").exists()


def test_each_is_told_to_be_what_it_is(watched):
    expected, done = watched
    assert set(done["good"].values()) == {"loaded"}
    for name, words in expected.items():
        assert words in done["strange"][name], name
        assert done["strange"][name] == "loaded" or "Error: strange/" in done["strange"][name]


def test_nothing_is_run_imported_unpickled_or_written(watched):
    assert watched[1]["seen"] == []


def test_the_watch_sees_what_a_config_that_is_a_program_does(watched):
    assert "compile" in {event for event, _ in watched[1]["seen_with_program"]}
