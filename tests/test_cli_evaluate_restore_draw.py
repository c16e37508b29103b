"""The commands `evaluate`, `restore` and `draw`: one line with exit code 2 for every mistake, and nothing lost."""

import json
import os

import numpy as np
import pytest
from commands import mistake, run
from PIL import Image
from tiny import SMALLEST, random_variables

from hinas_jax.modelfile import Model
from hinas_jax.space.network import Network


@pytest.fixture(autouse=True)
def caches_here(tmp_path, monkeypatch, keep_jax_settings):
    del keep_jax_settings
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path):
    """A model file whose card does not say what it was trained for, as one made by hand."""
    variables = random_variables(Network(SMALLEST), np.zeros((1, 12, 12, 1), np.float32), train=False)
    Model(SMALLEST, variables, {}).save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a/x.png", "b/x.png", "b/small.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        side = 9 if "small" in name else 20
        Image.fromarray(rng.integers(0, 256, (side, side + 1), np.uint8)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--images", "{pictures}/a"], "give --sigma"),
        (["--images", "{pictures}/a", "--sigma", "50", "--seed", "9" * 30], "--seed must lie in 0..4294967295"),
        (["--images", "{pictures}/a", "--sigma", "50", "--seed", "-1"], "--seed must lie in 0..4294967295"),
        (["--images", "{pictures}/b", "--sigma", "50"], "small: 10x9 pixels is too small for the protocol standard"),
        (["--images", "{pictures}/a", "--sigma", "50", "--protocol", "released"], "x: 21x20 pixels is too small"),
        (["--images", "{pictures}/a", "--data", "bundled"], "give one of them"),
        (["--images", "{pictures}/missing", "--sigma", "50"], "no such folder"),
        (["--images", "{pictures}/a", "--sigmas", "50"], "--sigma"),
    ],
)
def test_what_cannot_be_evaluated(capsys, model, pictures, words, told):
    words = [word.format(pictures=pictures) for word in words]
    assert told in mistake(capsys, "evaluate", model, *words, "--json", pictures / "r.json").replace(" | ", " ")
    assert not (pictures / "r.json").exists()


def test_a_result_that_cannot_be_written_is_told_before_the_work(capsys, model, pictures):
    (pictures / "file").write_text("mine")
    words = ["evaluate", model, "--images", pictures / "a", "--sigma", "50", "--json"]
    assert "cannot be written" in mistake(capsys, *words, pictures / "file" / "r.json")
    assert "cannot be written" in mistake(capsys, *words, pictures / "a")
    assert (pictures / "file").read_text() == "mine"


def test_a_result_names_the_folder_and_its_parent(capsys, model, pictures):
    words = ["evaluate", model, "--images", pictures / "a" / ".", "--sigma", "50", "--json", pictures / "r.json"]
    assert run(capsys, *words)[0] == 0
    (row,) = json.loads((pictures / "r.json").read_text())["results"]
    assert row["set"] == f"{pictures.name}/a"


@pytest.mark.parametrize("command", ["evaluate", "restore"])
def test_a_model_that_is_none(capsys, pictures, command):
    rest = ["--json", pictures / "r.json", "--sigma", "5"] if command == "evaluate" else ["a", "--output", pictures]
    assert "is a folder; give the model file" in mistake(capsys, command, pictures, *rest)
    assert "not a model file" in mistake(capsys, command, pictures / "a" / "x.png", *rest)
    assert "missing.safetensors" in mistake(capsys, command, pictures / "missing.safetensors", *rest)


def test_what_cannot_be_restored(capsys, model, pictures):
    words = ["restore", model, pictures / "a", "--output", pictures / "out"]
    assert "--tile must be 1 or more" in mistake(capsys, *words, "--tile", "0")
    assert "name a picture" in mistake(capsys, "restore", model, "--output", pictures / "out")
    assert not (pictures / "out").exists()


def test_of_two_pictures_of_one_name_the_second_is_told_and_the_first_is_kept(capsys, model, pictures):
    sources = [pictures / "a" / "x.png", pictures / "b" / "x.png"]
    code, _, err = run(capsys, "restore", model, *sources, "--output", pictures / "out")
    assert code == 2
    assert f"{sources[1]}: its result would replace that of {sources[0]}" in err[1]
    assert err[-1] == "hinas: 1 of the pictures could not be restored (see above)"
    run(capsys, "restore", model, sources[0], "--output", pictures / "alone")
    assert (pictures / "out" / "x.png").read_bytes() == (pictures / "alone" / "x.png").read_bytes()


def test_what_cannot_be_drawn(capsys, pictures):
    SMALLEST.save(pictures / "architecture.json")
    assert ".svg" in mistake(capsys, "draw", pictures / "architecture.json", "--output", pictures / "a.gif")
    assert "missing.json" in mistake(capsys, "draw", pictures / "missing.json", "--output", pictures / "a.svg")
    (pictures / "damaged.json").write_text("{")
    assert "not JSON" in mistake(capsys, "draw", pictures / "damaged.json", "--output", pictures / "a.svg")


def test_results_that_are_there_can_be_kept(capsys, model, pictures):
    (pictures / "out").mkdir()
    (pictures / "out" / "x.png").write_bytes(b"mine")
    words = ["restore", model, pictures / "a" / "x.png", "--output", pictures / "out"]
    code, _, err = run(capsys, *words, "--keep")
    assert (code, err) == (0, [f"{pictures}/a/x.png: {pictures}/out/x.png is there already"])
    assert (pictures / "out" / "x.png").read_bytes() == b"mine"


def test_a_path_of_any_bytes_is_told_in_one_line(capsys, pictures):
    SMALLEST.save(pictures / "architecture.json")
    drawing = pictures / os.fsdecode(b"caf\xe9.svg")
    code, out, _ = run(capsys, "draw", pictures / "architecture.json", "--output", drawing)
    assert (code, out) == (0, [rf"{pictures}/caf\udce9.svg"])
    assert drawing.exists()
    message = mistake(capsys, "draw", os.fsdecode(b"\x1b[2Jcaf\xe9.json"), "--output", drawing)
    assert message.startswith(r"hinas: \x1b[2Jcaf\xe9.json: cannot be read")


LONG = "a" * 300


@pytest.mark.parametrize(
    "words",
    [
        ["search", LONG, "--workdir", "{pictures}/run"],
        ["search", "debug", "--workdir", "{pictures}/run", "--data.root", f"/tmp/{LONG}"],
        ["search", "debug", "--workdir", f"{{pictures}}/{LONG}"],
        ["train", "debug", "--workdir", "{pictures}/run", "--architecture", LONG],
        ["restore", LONG, "{pictures}/a", "--output", "{pictures}/out"],
        ["restore", "{model}", "{pictures}/a", "--output", f"{{pictures}}/{LONG}"],
        ["evaluate", LONG, "--images", "{pictures}/a", "--json", "{pictures}/r.json"],
        ["evaluate", "{model}", "--sigma", "50", "--images", LONG, "--json", "{pictures}/r.json"],
        ["evaluate", "{model}", "--sigma", "50", "--images", "{pictures}/a", "--json", LONG],
        ["evaluate", "{model}", "--sigma", "50", "--data", f"/tmp/{LONG}", "--json", "{pictures}/r.json"],
        ["export", LONG, "--format", "stablehlo", "--output", "{pictures}/e"],
        ["export", "{model}", "--format", "stablehlo", "--output", LONG],
        ["draw", LONG, "--output", "{pictures}/a.svg"],
        ["draw", "{pictures}/architecture.json", "--output", f"{LONG}.svg"],
        ["report", LONG],
        ["report", "{pictures}", "--output", f"{LONG}.html"],
        ["data", "prepare", "image_folder/mine", "--from", LONG],
        ["table", "1", "--workdir", LONG],
    ],
    ids=lambda words: " ".join(words).replace(LONG, "LONG"),
)
def test_a_name_that_is_too_long_is_told_in_one_line(capsys, model, pictures, words):
    SMALLEST.save(pictures / "architecture.json")
    code, _, err = run(capsys, *(word.format(pictures=pictures, model=model) for word in words))
    assert code == 2
    assert err[-1].startswith("hinas: ")
    assert not [line for line in err if "Traceback" in line]


def test_a_name_that_is_too_long_costs_the_other_pictures_nothing(capsys, model, pictures):
    longest = pictures / ("n" * 255)
    os.link(pictures / "a" / "x.png", longest)  # its result would be called .png
    given = [LONG, longest, pictures / "a" / "x.png"]
    code, _, err = run(capsys, "restore", model, *given, "--output", pictures / "out", "--keep")
    assert code == 2
    told = [line for line in err if "File name too long" in line]
    assert [line.split(": ")[0] for line in told] == [LONG, f"[1/2] {longest}"]
    assert err[-1] == "hinas: 2 of the pictures could not be restored (see above)"
    assert [path.name for path in (pictures / "out").iterdir()] == ["x.png"]


def test_a_path_that_nobody_expected_to_fail_is_told_in_one_line(capsys, monkeypatch):
    def locked(_):
        raise PermissionError(13, "Permission denied", b"/locked/\xe9")

    monkeypatch.setattr("hinas_jax.cli.models.run", locked)
    assert mistake(capsys, "models") == r"hinas: /locked/\xe9: Permission denied; give another path"
