"""What a table looks like: no number without its protocol, no toy without a warning, CSV that keeps every digit."""

import csv

import pytest

from hinas_jax.tables.budget import Budget, changes
from hinas_jax.tables.definition import NUMBERS, load_table
from hinas_jax.tables.rows import Row, Score, SearchCost, Value, published_rows
from hinas_jax.tables.writing import columns, write_csv, write_markdown

OWN = Row(
    method="HiNAS*",
    origin="ours",
    protocol="standard",
    scores={"sigma 30": Score(Value(28.123456, 0.05, 3), Value(0.81, None, 1)), "elsewhere": Score(Value(20.0), None)},
    parameters=Value(341_234.0),
    seconds=Value(1.5),
    timed="the 3 pictures of BSDS500 test",
    device="CPU",
    search=SearchCost(Value(612.0, 36.0, 3), "CPU", "gradient", 300_000_000),
    seeds=3,
    steps=200,
    budget=0.002,
    data="trained on BSDS500 (300), tested on BSDS500 test (first 3 of 200)",
)


def lines_of(number, tmp_path, fraction=0.002):
    table, budget = load_table(number), Budget(fraction)
    told = changes(table.bases[0], budget.apply(table.bases[0]))
    path = tmp_path / "table.md"
    write_markdown(table, [*published_rows(table), OWN], path, budget=budget, shrunk=told)
    return path.read_text().splitlines()


@pytest.mark.parametrize("number", NUMBERS)
def test_every_row_names_its_protocol_and_fills_every_column(number, tmp_path):
    rows = [line for line in lines_of(number, tmp_path) if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len({len(row) for row in cells}) == 1
    protocol = cells[0].index("Protocol")
    assert all(row[protocol] for row in cells[2:])
    assert len(cells) - 2 == len(published_rows(load_table(number))) + 1


def test_an_own_row_tells_how_it_was_made(tmp_path):
    row = next(line for line in lines_of(10, tmp_path) if "**ours**" in line)
    for words in (
        r"HiNAS\*",
        "standard",
        "0.34",
        "28.12 ± 0.05 / 0.8100",
        "20.00",
        "1.50 of the 3 pictures of BSDS500 test (CPU)",
        "| 3 | 200 | 0.002 |",
    ):
        assert words in row
    assert OWN.data in row


def test_toys_say_so_and_what_is_shrunk(tmp_path):
    toy, longer = lines_of(1, tmp_path), lines_of(1, tmp_path, 0.5)
    assert toy[2].startswith("**A toy.**")
    assert "- train.steps: 200 instead of 400000" in toy
    assert "- 3 pictures of each test set at most, the first by name" in toy
    assert not any("toy" in line for line in longer)
    assert "- train.steps: 200000 instead of 400000" in longer


def test_columns_are_the_papers_then_others():
    assert columns(load_table(1), [OWN]) == ["sigma 30", "sigma 50", "sigma 70", "elsewhere"]
    assert columns(load_table(2), published_rows(load_table(2))) == ["Set5", "Set14", "B100", "Urban100"]


def test_csv_keeps_every_digit(tmp_path):
    table = load_table(8)
    write_csv(table, [*published_rows(table), OWN], tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        *printed, own = csv.DictReader(file)
    assert (float(own["sigma 30 psnr"]), float(own["sigma 30 psnr_spread"])) == (28.123456, 0.05)
    assert (own["whose"], own["protocol"], own["seeds"], own["budget"]) == ("ours", "standard", "3", "0.002")
    assert own["sigma 50 psnr"] == ""
    cost = [own[f"search_{name}"] for name in ("seconds", "seconds_spread", "temp_bytes", "device", "method")]
    assert cost == ["612.0", "36.0", "300000000", "CPU", "gradient"]
    cost = [printed[-1][f"search_{name}"] for name in ("seconds", "temp_bytes", "device", "method")]
    assert cost == ["3600.0", "", "1 GTX 1080 Ti", "gradient"]


def test_the_cost_of_a_search_is_in_hours_with_two_digits_at_least(tmp_path):
    lines = lines_of(8, tmp_path)
    assert any("| 44.0 h on 4 V100 | EA |" in line for line in lines)
    assert any("| 3.6 h on 1 GTX 1080 Ti | gradient |" in line for line in lines)
    assert any("| 0.17 ± 0.01 h on CPU, 286 MiB | gradient |" in line for line in lines)
    assert any("is what the compiler says" in line for line in lines)
    assert not any("is what the compiler says" in line for line in lines_of(1, tmp_path))
