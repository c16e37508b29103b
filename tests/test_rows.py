"""Rows: means and spreads as NumPy has them, and the printed numbers as printed."""

import csv
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import SMALLEST

from hinas_jax.config import TaskConfig
from hinas_jax.divergence import DivergenceError
from hinas_jax.random_search import draw
from hinas_jax.tables import figures
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.definition import NUMBERS, Table, Variant, load_table, with_fields
from hinas_jax.tables.figures import draw_figures
from hinas_jax.tables.measuring import Measuring
from hinas_jax.tables.networks import Lost, Trained, train_variant
from hinas_jax.tables.pictures import TestSet
from hinas_jax.tables.rows import Score, Value, published_rows
from hinas_jax.tables.store import Run, Store
from hinas_jax.tables.writing import write_csv, write_markdown


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9))
def test_mean_and_spread_are_numpys(samples):
    value = Value.of(samples)
    np.testing.assert_allclose(value.mean, np.mean(samples), atol=1e-9)
    np.testing.assert_allclose(value.spread, np.std(samples, ddof=1), atol=1e-9)
    assert value.count == len(samples)


def test_one_run_has_no_spread():
    assert Value.of([3.0]) == Value(3.0, None, 1)
    assert (Value.of([29.254]).text(2), Value.of([29.0, 29.2]).text(2)) == ("29.25", "29.10 ± 0.14")
    with pytest.raises(ValueError, match="no samples"):
        Value.of([])


def test_printed_numbers_are_in_range_and_name_their_protocol():
    for number in NUMBERS:
        rows = published_rows(load_table(number))
        assert rows
        for row in rows:
            assert row.protocol
            assert row.note
            for score in row.scores.values():
                if row.difference:
                    assert abs(score.psnr.mean) < 0.2
                    continue
                assert 20 < score.psnr.mean < 45
                assert score.ssim is None or 0.07 < score.ssim.mean < 1


def test_some_printed_numbers():
    rows = {row.method: row for row in published_rows(load_table(10)) if row.origin == "paper"}
    assert len(rows) == 10
    best = rows["HiNAS"]
    assert (best.scores["sigma 30"].psnr.mean, best.scores["sigma 70"].ssim.mean) == (29.25, 0.7076)
    assert (best.parameters.mean, best.seconds.mean) == (340_000, 18.67)
    assert best.protocol != rows["N3Net"].protocol
    x4 = [row for row in published_rows(load_table(12)) if row.scale == 4 and row.method == "IMDN"]
    assert {row.scores["Set5"].psnr.mean for row in x4} == {32.21}


@pytest.mark.parametrize("number", [4, 5])
def test_the_printed_differences_are_those_of_the_printed_rows(number):
    before, after, difference = [row for row in published_rows(load_table(number)) if row.origin == "paper"]
    assert difference.difference
    assert difference.protocol == after.protocol
    for name, score in difference.scores.items():
        printed, own = (before.scores[name], after.scores[name])
        np.testing.assert_allclose(score.psnr.mean, own.psnr.mean - printed.psnr.mean, atol=0.0091)
        if score.ssim:
            np.testing.assert_allclose(score.ssim.mean, own.ssim.mean - printed.ssim.mean, atol=1e-9)


def test_own_differences_are_of_pairs_of_one_seed(tiny_config, tmp_path):
    """Seeds 3 and 4: 0.1 and 0.3 dB better; what is lost at sigma 50 has no difference."""
    table = dataclasses.replace(load_table(4), sigmas=(30.0, 50.0))
    scores, nets, architecture = {}, [], draw(tiny_config)
    for number, variant in enumerate(table.variants):
        for seed in (3, 4):
            for sigma in table.sigmas:
                config = with_fields(tiny_config, {"seed": seed, "task.sigmas": (sigma,)})
                run = Run(tmp_path / f"{number}_{seed}_{sigma:g}", 1.0, {})
                scores[run.folder] = (10.0 * seed + number * (0.1 if seed == 3 else 0.3), 0.5 - 0.01 * number)
                lost = (number, seed, sigma) == (1, 4, 50.0)
                nets.append(
                    Lost(variant, config, "diverged", "the training diverged")
                    if lost
                    else Trained(variant, config, architecture, architecture, run, None)
                )

    class Runs(Store):
        def score(self, run, *_):
            return scores[run.folder]

    store, budget, sets = Runs(tmp_path, print), Budget(0.5), (TestSet("test", None, tmp_path, 1, 1, ""),)
    rows = Measuring(table, tiny_config, sets, store, 2, budget, "").difference_rows(nets)
    assert [row.protocol for row in rows] == ["standard", "released"]
    difference = rows[0].scores["sigma 30"]
    np.testing.assert_allclose(
        [difference.psnr.mean, difference.psnr.spread, difference.ssim.mean], [0.2, 0.2 / np.sqrt(2), -0.01]
    )
    assert rows[0].without == {"sigma 50": "diverged"}
    write_markdown(table, rows, tmp_path / "table.md", budget=budget, shrunk=[])
    line = next(line for line in (tmp_path / "table.md").read_text().splitlines() if line.startswith("| Comparison"))
    assert r"| Comparison, HiNAS\*\* over HiNAS\* |" in line
    assert "| +0.200 ± 0.141 / -0.0100 ± 0.0000 | diverged |" in line


def test_what_diverged_is_marked_and_ends_no_table(tiny_config, tmp_path):
    """One of two seeds diverges at sigma 50, and a search for both: no score there, and all else is in its place."""
    architecture = draw(tiny_config)
    architecture.save(tmp_path / "architecture.json")

    class Runs(Store):
        def search(self, config):
            if config.train.steps == 7:
                raise DivergenceError("the search diverged")
            return Run(tmp_path, 1.0, {"device": "cpu"})

        def train(self, config, _):
            if config.task.sigmas == (50.0,) and config.seed == 4:
                raise DivergenceError("the training diverged")
            return Run(tmp_path, 1.0, {"device": "cpu"})

        def score(self, *_):
            return 30.0, 0.9

    told = []
    store, budget = Runs(tmp_path, told.append), Budget(0.5)
    variants = (Variant("net"), Variant("other", fields={"train.steps": 7}))
    table = Table(10, "", (tiny_config,), variants, sigmas=(30.0, 50.0), search_cost=True)
    sets = (TestSet("test", None, tmp_path, 1, 1, ""),)
    rows, nets = [], []
    for variant in variants:
        nets.append(list(train_variant(table, variant, tiny_config, 2, budget, store)))
        rows += Measuring(table, tiny_config, sets, store, 2, budget, "").own_rows(nets[-1])
    net, _, other, _ = rows
    assert told == ["the training diverged", "the search diverged", "the search diverged"]
    assert (net.method, dict(net.scores)) == ("net", {"sigma 30": Score(Value(30.0, 0.0, 2), Value(0.9, 0.0, 2))})
    assert (net.without, net.parameters.count) == ({"sigma 50": "diverged"}, 3)
    assert net.note == "the training diverged for 1 of 4 networks"
    assert (other.method, other.scores) == ("other", {})
    assert other.without == {"sigma 30": "diverged", "sigma 50": "diverged"}
    assert other.note == "the search diverged for 4 of 4 networks"
    assert draw_figures(dataclasses.replace(table, figure="cells"), rows, [], tmp_path) == []
    write_csv(table, rows, tmp_path / "table.csv")
    write_markdown(table, rows, tmp_path / "table.md", budget=budget, shrunk=[])
    lines = [line for line in (tmp_path / "table.md").read_text().splitlines() if line.startswith(("| net", "| other"))]
    assert ["diverged" in cell for cell in lines[0].split(" | ")[4:6]] == [False, True]
    assert lines[2].split(" | ")[3:6] == ["-", "diverged", "diverged"]


def test_an_architecture_that_cannot_be_changed_ends_no_table(tiny_config, tmp_path):
    """A search that collapsed to skip connections, in a space of one width: nothing to change for R1 and widths."""
    collapsed = dataclasses.replace(SMALLEST, cells=2 * SMALLEST.cells, levels=(0, 0))

    class Runs(Store):
        def search(self, config):
            folder = tmp_path / str(config.seed)
            folder.mkdir(exist_ok=True)
            (collapsed if config.seed == 3 else draw(config)).save(folder / "architecture.json")
            return Run(folder, 1.0, {"device": "cpu"})

        def train(self, config, architecture):
            architecture.save(tmp_path / "architecture.json")
            return Run(tmp_path, 1.0, {"device": "cpu"})

        def score(self, *_):
            return 30.0, 0.9

    told, budget = [], Budget(0.5)
    store, sets = Runs(tmp_path, told.append), (TestSet("test", None, tmp_path, 1, 1, ""),)
    changes = [Variant(name, change=name, draws=3 if name == "R1" else 1) for name in ("R1", "one level", "rising")]
    table = Table(6, "", (tiny_config,), tuple(changes), sigmas=(30.0,), figure="cells")
    rows, nets = [], []
    for variant in changes:
        nets += list(train_variant(table, variant, with_fields(tiny_config, {"seed": 3}), 2, budget, store))
        own = [net for net in nets if net.variant == variant]
        rows += Measuring(table, tiny_config, sets, store, 2, budget, "").own_rows(own)
    assert rows[0].method == "R1 (3 draws a seed)"
    assert rows[0].note == "not possible: the architecture has no convolution to replace, for 1 of 4 networks"
    assert all("one width only" in row.note for row in rows[2:])
    assert [row.without for row in rows] == [{"sigma 30": "not possible"}] * 6
    assert told[0] == "R1, seed 3: not possible: the architecture has no convolution to replace"
    draw_figures(table, rows, [net for net in nets if isinstance(net, Trained)], tmp_path)
    write_markdown(table, rows, tmp_path / "table.md", budget=budget, shrunk=[])
    assert (tmp_path / "table.md").read_text().count("| not possible |") == 6


@pytest.mark.parametrize(
    ("names", "seconds", "timed"),
    [
        (("Set5", "B100"), 100.0, "the 100 pictures of B100"),
        (("Set5", "Set14"), 19.0, "the 5 pictures of Set5 and the 14 pictures of Set14"),
    ],
)
def test_inference_is_timed_on_b100_alone_where_it_is_given(tiny_config, tmp_path, names, seconds, timed):
    """A second a picture; and the row, the cell, the CSV and the figure's axis say of which pictures."""
    architecture = draw(tiny_config)
    architecture.save(tmp_path / "architecture.json")

    class Runs(Store):
        def score(self, *_):
            return 30.0, 0.9

        def inference_seconds(self, _, test):
            return float(test.pictures)

    counts = {"Set5": 5, "Set14": 14, "B100": 100}
    sets = tuple(TestSet(name, None, tmp_path, counts[name], counts[name], "") for name in names)
    base = dataclasses.replace(tiny_config, task=TaskConfig("super_resolve", scale=3, channels=3))
    table = dataclasses.replace(load_table(11), bases=(base,))
    variant = table.variants[0]
    nets = [Trained(variant, base, architecture, architecture, Run(tmp_path, 1.0, {"device": "cpu"}), None)]
    store, budget = Runs(tmp_path, print), Budget(0.5)
    rows = Measuring(table, base, sets, store, 1, budget, "").own_rows(nets)
    assert [(row.seconds.mean, row.timed) for row in rows] == [(seconds, timed)] * 2
    write_markdown(table, rows, tmp_path / "table.md", budget=budget, shrunk=[])
    assert f"| {seconds:.2f} of {timed} (" in (tmp_path / "table.md").read_text()
    write_csv(table, rows, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        assert [row["inference_of"] for row in csv.DictReader(file)] == [timed] * 2
    labels = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            figures, "save_figure", lambda figure, _: labels.extend(axes.get_xlabel() for axes in figure.axes)
        )
        draw_figures(table, [*published_rows(table), *rows], nets, tmp_path)
    assert labels[0].startswith("inference of the 100 pictures of BSD100,\n")
    assert labels[1].startswith(f"inference of {timed},\n")


def test_literature_rows_are_of_the_tables_scales_and_protocols_are_ours():
    for number in (10, 11, 12):
        table = load_table(number)
        literature = [row for row in published_rows(table) if row.origin == "literature"]
        assert literature
        assert {row.protocol for row in literature} <= {"standard", "released"}
        assert {row.scale for row in literature} <= {base.task.scale for base in table.bases}


def test_the_literature_row_of_imdn_says_what_we_measured():
    rows = [row for number in (11, 12) for row in published_rows(load_table(number))]
    imdn = {row.scale: row.scores for row in rows if row.origin == "literature" and row.method == "IMDN"}
    measured = {2: [(37.996, 0.9605), (33.632, 0.9177)], 3: [(34.36, 0.927), (30.325, 0.8417)]}
    measured[4] = [(32.21, 0.8948), (28.587, 0.7811)]
    for scale, values in measured.items():
        for name, (psnr, ssim) in zip(("Set5", "Set14"), values, strict=True):
            score = imdn[scale][name]
            np.testing.assert_allclose(score.psnr.mean, psnr, atol=0.0051)
            assert score.ssim.mean == ssim
