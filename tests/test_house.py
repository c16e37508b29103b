"""The house itself: imports go down only, importing computes nothing, no room is a lumber room."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tiny import SMALLEST

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hinas_jax"


def modules():
    return [path.relative_to(ROOT).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py")]


def lint(pyproject):
    """Exit code and words of import-linter, by the contracts in ``pyproject``."""
    program = (
        "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(sys.argv[1], no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, pyproject], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_imports_only_ever_go_down():
    code, words = lint(ROOT / "pyproject.toml")
    assert code == 0, words


@pytest.mark.parametrize(
    ("floor", "broken"),
    [
        ('"searching | training | ', '"training | '),  # a module without a floor
        ('"metrics | mesh', '"metrics | losses | mesh'),  # two that are said to stand apart
    ],
)
def test_the_contract_can_break(tmp_path, floor, broken):
    contracts = (ROOT / "pyproject.toml").read_text()
    assert floor in contracts
    (tmp_path / "pyproject.toml").write_text(contracts.replace('"losses | ', '"').replace(floor, broken))
    code, words = lint(tmp_path / "pyproject.toml")
    assert code != 0
    assert "BROKEN" in words


def test_the_contracts_name_the_rules_of_the_house():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rules = {contract["id"]: contract for contract in contracts}
    assert rules["floors"]["exhaustive"]
    assert {"hinas_jax.data", "hinas_jax.config", "hinas_jax.searching"} <= set(rules["space"]["forbidden_modules"])
    assert "hinas_jax.space" in rules["data"]["forbidden_modules"]
    assert {"hinas_jax.config", "hinas_jax.runs", "tqdm"} <= set(rules["mathematics"]["forbidden_modules"])


def test_architecture_imports_nothing_of_ours_but_how_files_are_written():
    lines = (PACKAGE / "architecture.py").read_text().splitlines()
    assert [line for line in lines if "hinas_jax" in line] == ["from hinas_jax.writing import write_whole"]


def test_importing_all_commands_starts_no_backend_and_loads_no_tensorflow():
    program = (
        "import sys, warnings, importlib; warnings.simplefilter('error'); from hinas_jax.cli import COMMANDS;"
        " [importlib.import_module('hinas_jax.cli.' + name) for name in COMMANDS]; from jax._src import xla_bridge;"
        " heavy = {'tensorflow', 'tensorflow_datasets', 'matplotlib.pyplot', 'torch'} & set(sys.modules);"
        " sys.exit(str(heavy or 'a backend was started' if heavy or xla_bridge._backends else ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    ("words", "foreign"),
    [
        ("--help", {"jax", "orbax", "numpy", "matplotlib", "skimage", "scipy"}),
        ("serach", {"jax", "orbax", "numpy", "matplotlib", "skimage", "scipy"}),
        ("models", {"jax", "flax", "orbax", "matplotlib", "skimage", "scipy"}),
        ("draw architecture.json --output drawn.svg", {"jax", "flax", "orbax", "skimage", "scipy"}),
        ("report --help", {"jax", "flax", "orbax", "skimage"}),
    ],
)
def test_a_command_imports_nothing_that_only_others_need(words, foreign, tmp_path):
    (tmp_path / "architecture.json").write_text(SMALLEST.to_json())
    program = (
        "import sys; from hinas_jax.__main__ import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words.split()],
        cwd=tmp_path,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == (2 if words == "serach" else 0)
    imported = set(done.stderr.splitlines())
    assert "hinas_jax.cli" in imported
    assert not foreign & imported


def test_the_public_names_are_all_there_and_come_with_their_first_use():
    program = (
        "import sys, hinas_jax, hinas_jax.interruption; early = {'jax', 'numpy'} & set(sys.modules);"
        " lost = [name for name in hinas_jax.__all__ if not callable(getattr(hinas_jax, name))];"
        " sys.exit(str(early or lost) if early or lost or hasattr(hinas_jax, 'nothing') else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_module_is_named_after_nothing():
    nothing = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "base", "core"}
    assert not [name for name in modules() if nothing & set(name.split("/"))]
    assert len(modules()) > 20


def test_every_module_says_what_it_is_for():
    silent = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if path.read_text().strip() and not path.read_text().startswith(('"""', 'r"""'))
    ]
    assert not silent
