"""Tables end to end on a tiny space: what is written, that work is done once, and that test pictures choose nothing."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli_search_train import mistake, run

from hinas_jax.data.pictures import PictureError
from hinas_jax.random_search import draw, random_search
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.correlation import correlate, make_correlation
from hinas_jax.tables.definition import Table, Variant, load_table, with_fields
from hinas_jax.tables.making import make_table
from hinas_jax.tables.pictures import Roots, load_test_sets, training_pictures
from hinas_jax.tables.store import Store


def quiet(_):
    pass


def write_pictures(folder, seed):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(2):
        Image.fromarray(rng.integers(0, 256, (64, 64), np.uint8)).save(folder / f"test{i}.png")


@pytest.fixture
def root(tiny_config, tmp_path):
    """The pictures of the tiny config for training, and two more for testing."""
    folder = tmp_path / "pictures"
    shutil.copytree(tiny_config.data.root, folder / "train")
    write_pictures(folder / "test", seed=1)
    return folder


def small(number, config):
    """A table as it is defined, on another base and with one draw of each change."""
    table = load_table(number)
    variants = tuple(dataclasses.replace(variant, draws=1) for variant in table.variants)
    return dataclasses.replace(table, bases=(config,), variants=variants)


@pytest.mark.usefixtures("quick_compiling")
def test_tables_6_and_3_run_through_and_share_their_runs(tiny_config, root, tmp_path):
    space = SearchSpace(layers=1, nodes=2, base_width=2, width_factors=(1, 2), start_width=3, end_width=3)
    config = with_fields(dataclasses.replace(tiny_config, space=space), {"search.warmup": 0.0})
    work, roots = tmp_path / "tables", Roots(root=str(root))
    lines: list[str] = []
    rows = make_table(small(6, config), work, budget=Budget(0.001), seeds=1, roots=roots, say=lines.append)
    ours = [row for row in rows if row.origin == "ours"]
    assert [row.method for row in ours[::2]] == ["noisy picture", "HiNAS", "HiNAS, R1", "HiNAS, R2", "drawn at random"]
    assert [row.protocol for row in ours] == ["standard", "released"] * 5
    assert all(np.isfinite(row.scores["sigma 30"].psnr.mean) for row in ours)
    assert all("first" in row.data or "all 2" in row.data for row in ours)
    markdown = (work / "table_6.md").read_text()
    assert "**A toy.**" in markdown
    assert "search.epochs: 2 instead of 5" in markdown
    with (work / "table_6.csv").open() as file:
        numbers = list(csv.DictReader(file))
    assert len(numbers) == len(rows)
    assert float(numbers[-1]["sigma 30 psnr"]) == ours[-1].scores["sigma 30"].psnr.mean
    manifest = json.loads((work / "table_6.json").read_text())
    assert {"versions", "device", "git_revision", "budget", "seeds", "data", "seconds"} <= manifest.keys()
    assert len(manifest["runs"]) == 5  # a search and four trainings
    assert sorted(path.name for path in work.glob("*.png")) == [f"table_6_cells_{i}.png" for i in range(3)]
    assert sum("runs now" in line for line in lines) == 5

    lines.clear()
    rows = make_table(small(3, config), work, budget=Budget(0.001), seeds=1, roots=roots, say=lines.append)
    assert sum("runs now" in line for line in lines) <= 2  # the widths set by hand; all else is there
    assert (work / "table_3_widths.png").exists()
    again = [row for row in rows if row.method == "HiNAS-ws, widths searched" and row.origin == "ours"]
    assert [row.scores for row in again] == [row.scores for row in ours if row.method == "HiNAS"]


@pytest.mark.usefixtures("quick_compiling")
def test_test_pictures_choose_nothing(tiny_config, root, tmp_path):
    """Other test pictures: the same architectures, epochs and models to the byte; other scores."""
    table = Table(number=10, title="", bases=(tiny_config,), variants=(Variant("HiNAS"),), sigmas=(50.0,))
    kept, scores = [], []
    for seed in (1, 2):
        write_pictures(root / "test", seed)
        work = tmp_path / f"tables_{seed}"
        rows = make_table(table, work, budget=Budget(0.5), seeds=2, roots=Roots(root=str(root)), say=quiet)
        names = ("architecture.json", "model.safetensors")
        kept.append({p.relative_to(work): p.read_bytes() for name in names for p in work.rglob(name)})
        row = next(row for row in rows if row.method == "HiNAS" and row.protocol == "standard" and row.seeds)
        assert row.scores["sigma 50"].psnr.spread is not None  # over two seeds
        scores.append(row.scores["sigma 50"].psnr.mean)
    assert len(kept[0]) == 2 * 1 + 2 * 2 * 2  # two searches; searched and drawn networks of two seeds
    assert kept[0] == kept[1]
    assert scores[0] != scores[1]


def test_a_test_picture_that_is_trained_on_is_refused(tiny_config, root):
    config = with_fields(tiny_config, {"data.root": str(root)})
    first = sorted((root / "train").glob("*.png"))[0]
    shutil.copy(first, root / "test" / "twin.png")
    with pytest.raises(PictureError, match=r"the test picture test/twin .* is among the training pictures, as train/0"):
        load_test_sets(training_pictures(config), config, (), {}, None)


def test_the_name_of_a_run_holds_all_that_it_depends_on(tiny_config, tmp_path):
    store = Store(tmp_path, quiet)
    asked = []
    store._run = lambda folder, _: asked.append(folder)
    architecture = draw(tiny_config)
    store.search(tiny_config)
    store.search(with_fields(tiny_config, {"train.steps": 5}))  # no part of a search
    store.search(with_fields(tiny_config, {"seed": 1}))
    store.train(tiny_config, architecture)
    store.train(with_fields(tiny_config, {"search.epochs": 2}), architecture)  # no part of a training
    store.train(tiny_config, draw(tiny_config, 1))
    store.train(with_fields(tiny_config, {"loss.ssim_weight": 0.0}), architecture)
    assert asked[0] == asked[1]
    assert asked[3] == asked[4]
    assert len(set(asked)) == 5


@pytest.mark.usefixtures("quick_compiling")
def test_random_search_trains_what_the_seed_draws(tiny_config, tmp_path):
    models = random_search(tiny_config, tmp_path / "random", 2, say=quiet)
    assert [model.architecture for model in models] == [draw(tiny_config, 0), draw(tiny_config, 1)]
    document = json.loads((tmp_path / "random" / "random.json").read_text())
    psnrs = [model.card["validation"]["psnr"] for model in models]
    np.testing.assert_allclose(
        [document["psnr_mean"], document["psnr_spread"]], [np.mean(psnrs), np.std(psnrs, ddof=1)]
    )
    assert document["best_on_v"] in ("000", "001")


@pytest.mark.usefixtures("quick_compiling")
def test_the_correlation_runs_through(tiny_config, tmp_path):
    path = make_correlation(
        tmp_path,
        budget=Budget(0.5),
        count=3,
        seeds=1,
        roots=Roots(root=tiny_config.data.root),
        base=tiny_config,
        say=quiet,
    )
    assert "So few architectures" in path.read_text()
    with (tmp_path / "correlation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["architecture"] for row in rows] == ["searched", "drawn 1", "drawn 2", "drawn 3"]
    result = json.loads((tmp_path / "correlation.json").read_text())["correlations"]["3"]
    one, other = ([float(row[f"{x}psnr"]) / 100 + float(row[f"{x}ssim"]) for row in rows] for x in ("supernet_", ""))
    assert result["spearman"] == correlate(one, other).spearman
    assert (tmp_path / "correlation.png").exists()


def test_correlations_of_known_orders():
    same = correlate([1, 2, 3, 4, 5], [2, 4, 6, 8, 9])
    assert (same.spearman, same.kendall, same.count) == (1, 1, 5)
    np.testing.assert_allclose([same.spearman_p, same.kendall_p], 2 / 120, atol=1e-9)  # 2 of the 5! orders
    assert correlate([1, 2, 3, 4], [4, 3, 2, 1]).kendall == -1
    with pytest.raises(ValueError, match="4 architectures or more"):
        correlate([1, 2, 3], [1, 2, 3])


# --- the command line


def test_the_list_names_all_tables(capsys):
    code, out, _ = run(capsys, "table", "--list")
    assert code == 0
    assert [line.split()[0] for line in out] == [*map(str, range(1, 13)), "correlation"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("13", "there is no table 13"),
        ("first", "takes 1 to 12 or correlation, not 'first'"),
        ("", "takes 1 to 12 or correlation"),
        ("1 --budget 0", "--budget must be above 0 and up to 1"),
        ("1 --budget 0.5", "give --data.root DIR"),
        ("1 --seeds 0 --budget 0.001", "--seeds must be 1 or more"),
        ("2 --budget 0.001 --data.tests Set5", "--data.tests takes NAME=DIR"),
        ("correlation --count 1 --budget 0.001", "--count 3 or more"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys, tmp_path, words, told):
    assert told in mistake(capsys, "table", *words.split(), "--workdir", tmp_path)
    assert not list(Path(tmp_path).iterdir())
