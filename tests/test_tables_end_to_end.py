"""Tables end to end on a tiny space: what is written, that work is done once, and that test pictures choose nothing."""

import csv
import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from left_by_runs import quiet
from picture_files import write_pictures

from hinas_jax.config import TaskConfig
from hinas_jax.divergence import DivergenceError
from hinas_jax.ink import save_figure
from hinas_jax.modelfile import Model
from hinas_jax.random_search import draw, random_search
from hinas_jax.tables import budget, correlation, store
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.correlation import correlate, make_correlation
from hinas_jax.tables.definition import Table, Variant, load_table, with_fields
from hinas_jax.tables.making import make_table
from hinas_jax.tables.pictures import Roots

TOY = Budget(0.001)
COINS_ARE_V = 23


def content(path):
    """What a file says, whatever the order in which it says it."""
    if path.suffix == ".json":
        return path.read_text()
    model = Model.load(path)
    return model.card, [(leaf.shape, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(model.variables)]


def runs_of(told):
    """What a store did, as (name of the run's folder, what became of it)."""
    lines = [line.partition(": ") for line in told]
    return [(name, what) for name, _, what in lines if what in ("runs now", "done before")]


def table_rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def smaller(config):
    """The tiny config with one width level, and a seed that makes the smallest bundled picture V, in few tiles."""
    fields = {
        "seed": COINS_ARE_V,
        "space.width_factors": (1,),
        "search.patch": 32,
        "search.batch_size": 4,
        "train.patch": 32,
        "train.batch_size": 4,
    }
    return with_fields(config, fields)


@pytest.fixture(scope="module")
def one_test_picture():
    """A toy tests on three pictures; their three sizes cost a compilation of each network for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget, "TOY_TEST_PICTURES", 1)
        yield


@pytest.fixture(scope="module")
def made(tiny_config, tmp_path_factory, quick_compiling, one_test_picture):
    """Table 10 at one noise level, as a toy on the bundled pictures: its definition, folder, rows and lines."""
    del quick_compiling, one_test_picture
    table = dataclasses.replace(load_table(10), bases=(smaller(tiny_config),), sigmas=(50.0,))
    work, told = tmp_path_factory.mktemp("tables"), []
    rows = make_table(table, work, budget=TOY, seeds=1, roots=Roots(), say=told.append)
    return table, work, rows, told


def test_a_table_on_bundled_pictures_is_written_whole(made):
    _, work, rows, told = made
    assert [what for _, what in runs_of(told)] == ["runs now"] * 3  # a search; what it found and what was drawn
    ours = [row for row in rows if row.origin == "ours"]
    assert [row.method for row in ours[::2]] == ["noisy picture", "HiNAS", "drawn at random"]
    assert [row.protocol for row in ours] == ["standard", "released"] * 3
    assert all(row.protocol for row in rows)
    assert all("tested on bundled test (first 1 of 3)" in row.data for row in ours)
    assert all(row.seconds.mean > 0 for row in ours[2:])
    written = table_rows(work / "table_10.csv")
    assert [row["protocol"] for row in written] == [row.protocol for row in rows]
    assert [row["method"] for row in written] == [row.method for row in rows]
    assert [float(row["sigma 50 psnr"]) for row in written[-6:]] == [row.scores["sigma 50"].psnr.mean for row in ours]
    markdown = (work / "table_10.md").read_text()
    assert "**A toy.**" in markdown
    assert "- search.epochs: 2 instead of 5" in markdown
    for figure in work.glob("*.png"):
        assert f"({figure.name})" in markdown
    assert {path.name for path in work.glob("*.png")} == {"table_10_trade_off.png", "table_10_restored_0.png"}
    manifest = json.loads((work / "table_10.json").read_text())
    assert {"versions", "device", "git_revision", "budget", "seeds", "data", "seconds"} <= manifest.keys()
    assert list(manifest["runs"]) == [name for name, _ in runs_of(told)]


def test_the_same_table_again_runs_nothing(made, monkeypatch):
    table, work, rows, told = made

    def unwanted(*_, **__):
        raise AssertionError("ran again")

    for name in ("search", "train", "evaluate", "time_inference"):
        monkeypatch.setattr(store, name, unwanted)
    again = []
    assert make_table(table, work, budget=TOY, seeds=1, roots=Roots(), say=again.append) == rows
    assert runs_of(again) == [(name, "done before") for name, _ in runs_of(told)]


def test_a_correlation_takes_the_tables_runs_and_no_divergence_ends_it(made, monkeypatch):
    """Of the second seed the search diverges, of the first one training of five: four have their coefficient.

    Three of the networks are the table's or are lost; the others are the table's last one over again with other scores.
    """
    table, work, _, told = made
    base, finished = table.bases[0], work / "runs" / runs_of(told)[-1][0]
    drawn = {draw(TOY.apply(base), number): number for number in range(4)}

    def search(*_, **__):
        raise DivergenceError("the search diverged")

    def train(_, architecture, folder, **__):
        number = drawn[architecture]
        if number == 1:
            raise DivergenceError("the training diverged")
        shutil.copytree(finished, folder)
        model = Model.load(folder / "model.safetensors")
        card = dict(model.card) | {"validation": {"psnr": 20.0 + number, "ssim": 0.5}}
        dataclasses.replace(model, card=card).save(folder / "model.safetensors")

    figures = []
    monkeypatch.setattr(correlation, "save_figure", lambda figure, path: figures.append((figure, path)))
    monkeypatch.setattr(store, "search", search)  # that of the first seed is there
    monkeypatch.setattr(store, "train", train)
    told = []
    path = make_correlation(work, budget=TOY, count=4, seeds=2, roots=Roots(), base=base, say=told.append)
    assert [what for _, what in runs_of(told)] == ["done before"] * 3 + ["runs now"] * 4
    assert [line for line in told if line.endswith("diverged")] == ["the training diverged", "the search diverged"]
    rows = table_rows(work / "correlation.csv")
    assert [row["architecture"] for row in rows] == ["searched", "drawn 1", "drawn 2", "drawn 3", "drawn 4"]
    assert [row["psnr"] == "" for row in rows] == [False, False, True, False, False]
    scored = [row for row in rows if row["psnr"]]
    one, other = ([float(row[f"{x}psnr"]) / 100 + float(row[f"{x}ssim"]) for row in scored] for x in ("supernet_", ""))
    results = json.loads((work / "correlation.json").read_text())["correlations"]
    assert results[str(base.seed)]["spearman"] == correlate(one, other).spearman
    assert results[str(base.seed + 1)] is None
    lines = path.read_text().splitlines()
    assert lines[4].startswith(f"| {base.seed} | 4 (1 more diverged) | ")
    assert lines[5] == f"| {base.seed + 1} | the search diverged | - | - | - | - |"
    assert next(line for line in lines if "| drawn 2 |" in line).endswith("| diverged |")
    assert "So few architectures" in path.read_text()
    name = "validation (joined patches)"
    assert f"Protocol: {name}" in path.read_text()
    assert {row["protocol"] for row in rows} == {name}
    assert json.loads((work / "correlation.json").read_text())["protocol"] == name
    ((figure, file),) = figures
    assert [name in label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())] == [True] * 4
    save_figure(figure, file)
    assert file == work / "correlation.png"
    assert file.exists()


@pytest.mark.usefixtures("quick_compiling", "one_test_picture")
def test_a_table_of_super_resolution_names_its_protocols(tiny_config, tmp_path):
    """Without a search: what is drawn alone is trained."""
    base = dataclasses.replace(smaller(tiny_config), task=TaskConfig("super_resolve", scale=2, channels=3))
    table = dataclasses.replace(load_table(12), bases=(base,), variants=())
    rows = make_table(table, tmp_path, budget=TOY, seeds=1, roots=Roots(), say=quiet)
    ours = [row for row in rows if row.origin == "ours"]
    assert [row.method for row in ours[::2]] == ["bicubic", "drawn at random"]
    assert [row.protocol for row in ours] == ["standard", "released"] * 2
    assert all(row["protocol"] for row in table_rows(tmp_path / "table_12.csv"))
    assert {path.name for path in tmp_path.glob("*.png")} == {"table_12_restored_0.png"}
    assert all(20 < row.scores["bundled test"].psnr.mean < 40 for row in ours)


@pytest.mark.usefixtures("quick_compiling")
def test_test_pictures_choose_nothing(tiny_config, root, tmp_path):
    """Other test pictures: the same architectures, the same steps kept, the same weights to the bit; other scores."""
    table = Table(number=10, title="", bases=(tiny_config,), variants=(Variant("HiNAS"),), sigmas=(50.0,))
    kept, scores = [], []
    for seed, seeds in ((1, 2), (2, 1)):
        write_pictures(root / "test", seed)
        work = tmp_path / f"tables_{seed}"
        rows = make_table(table, work, budget=Budget(0.5), seeds=seeds, roots=Roots(root=str(root)), say=quiet)
        found = [*work.rglob("architecture.json"), *work.rglob("model.safetensors")]
        kept.append({path.relative_to(work): content(path) for path in found})
        rows = [row for row in rows if row.method == "HiNAS" and row.protocol == "standard" and row.seeds]
        scores.append(rows[0].scores["sigma 50"].psnr)
    assert len(kept[1]) == 1 + 2 * 2  # a search's architecture; two networks, searched and drawn, with theirs
    assert len(kept[0]) == 2 * len(kept[1])
    assert all(kept[0][path] == what for path, what in kept[1].items())
    assert scores[0].spread is not None  # two seeds
    assert scores[1].spread is None
    assert scores[0].mean != scores[1].mean


@pytest.mark.usefixtures("quick_compiling")
def test_random_search_trains_what_the_seed_draws(tiny_config, tmp_path):
    models = random_search(tiny_config, tmp_path / "random", 2, say=quiet)
    assert [model.architecture for model in models] == [draw(tiny_config, 0), draw(tiny_config, 1)]
    document = json.loads((tmp_path / "random" / "random.json").read_text())
    assert document["protocol"] == "validation (joined patches)"
    psnrs = [model.card["validation"]["psnr"] for model in models]
    np.testing.assert_allclose(
        [document["psnr_mean"], document["psnr_spread"]], [np.mean(psnrs), np.std(psnrs, ddof=1)]
    )
    assert document["best_on_v"] in ("000", "001")
