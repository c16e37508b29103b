"""docs/fidelity.md against the project: what it names exists, and every statement is held by a file and a test."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from hinas_jax.config import Config, load_config

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "fidelity.md").read_text().splitlines()
    if re.match(r"\| \d", line)
]
CODE = re.compile(r"`([^`]+)`")


def row(number):
    return ROWS[number - 1]


def fields(part, prefix=""):
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        yield from fields(value, f"{field.name}.") if dataclasses.is_dataclass(value) else [prefix + field.name]


def functions_of(path):
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_statements_are_numbered_and_of_one_form():
    assert [cells[0] for cells in ROWS] == [str(number) for number in range(1, len(ROWS) + 1)]
    assert all(len(cells) == 6 for cells in ROWS)
    assert len(ROWS) >= 50


@pytest.mark.parametrize("number", range(1, len(ROWS) + 1))
def test_every_file_exists(number):
    named = CODE.findall(row(number)[2])
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("number", range(1, len(ROWS) + 1))
def test_every_field_exists(number):
    known = set(fields(Config()))
    in_table, in_words = CODE.findall(row(number)[3]), CODE.findall(row(number)[5])
    parts = {field.partition(".")[0] for field in known if "." in field}
    named = in_table + [word for word in in_words if word.partition(".")[0] in parts and "." in word]
    assert [field for field in named if field not in known] == []


@pytest.mark.parametrize("number", range(1, len(ROWS) + 1))
def test_every_test_exists(number):
    named = [word.split("::") for word in CODE.findall(row(number)[4])]
    assert named
    assert [name for file, name in named if name not in functions_of(ROOT / "tests" / file)] == []


@pytest.mark.parametrize("number", range(1, len(ROWS) + 1))
def test_every_statement_says_how_we_stand_to_it(number):
    assert re.match("as it says|as Fig. 1 says|left open|differs|watched", row(number)[5])


def test_the_readme_leads_there():
    assert "(docs/fidelity.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "layers", "nodes"),
    [("denoise_bsd500", 3, 4), ("sr_div2k_x2", 2, 3), ("sr_div2k_x3", 2, 3), ("sr_div2k_x4", 2, 3)],
)
def test_the_papers_supernets_stand_in_its_configs(name, layers, nodes):
    space = load_config(name).space
    assert (space.layers, space.nodes) == (layers, nodes)
    assert space.layerwise
    assert space.cell_sharing
