"""The paper's tables as configs/tables defines them, as toys: which runs they ask for, and what is written of these.

Searches and trainings leave what they would, made up in a moment: an architecture, a manifest, and a network without a
convolution in its cells, whatever the architecture, which is read and compiled once though many runs hold it. All else
is real: rows, scores, figures, files.
"""

import csv
import dataclasses
import functools
import json

import numpy as np
import pytest
from tiny import SMALLEST, random_variables

from hinas_jax import evaluation
from hinas_jax.modelfile import Model
from hinas_jax.random_search import draw
from hinas_jax.space.network import Network
from hinas_jax.space.perturbation import changed_edges
from hinas_jax.tables import figures, side_by_side, store
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.definition import load_table
from hinas_jax.tables.making import make_table
from hinas_jax.tables.pictures import Roots

pytestmark = pytest.mark.usefixtures("quick_compiling")

TOY = Budget(0.001)
FOUND = 5  #: the number of the architecture that a search finds, of those that its seed draws
MEBIBYTE = 2**20


@functools.cache
def network(gain):
    """A network whose residual is the larger, the larger ``gain``."""
    made = random_variables(Network(SMALLEST), np.zeros((1, 8, 8, 1), np.float32), train=False)
    end = made["params"]["end"]
    residual = {name: leaf * gain for name, leaf in end["residual"].items()}
    return made | {"params": made["params"] | {"end": end | {"residual": residual}}}


def found_by(config):
    """The architecture that a search finds: another one with cells shared than without."""
    return draw(config, FOUND + config.space.cell_sharing)


def leave(folder, config, kind, **manifest):
    folder.mkdir(parents=True)
    said = {"kind": kind, "seconds": 720.0, "device": "cpu"} | manifest
    (folder / "manifest.json").write_text(json.dumps(said))
    return config


read = Model.load
restorer = functools.cache(evaluation.network_restorer)


models = {}  #: by the content of their files


def read_once(path):
    content = path.read_bytes()
    if content not in models:
        models[content] = read(path)
    return models[content]


@pytest.fixture
def make(root, tmp_path, monkeypatch):
    """Make a table; gives its rows, those written, and the configs of the searches and of the trainings."""
    searches, trainings = [], []

    def search(config, folder, say):
        del say
        shared = config.space.cell_sharing
        searches.append(leave(folder, config, "search", temp_bytes=(3 if shared else 7) * MEBIBYTE))
        found_by(config).save(folder / "architecture.json")

    def train(config, architecture, folder, say):
        del say
        trainings.append((leave(folder, config, "train"), architecture))
        architecture.scaled(config.train.width_scale).save(folder / "architecture.json")
        card = {"task": {"sigmas": list(config.task.sigmas)}}
        Model(SMALLEST, network(0.02 if config.loss.ssim_weight else 0.05), card).save(folder / "model.safetensors")

    monkeypatch.setattr(store, "search", search)
    monkeypatch.setattr(store, "train", train)
    monkeypatch.setattr(Model, "load", read_once)
    monkeypatch.setattr(evaluation, "network_restorer", restorer)
    monkeypatch.setattr(side_by_side, "network_restorer", restorer)

    def made(number):
        work = tmp_path / "tables"
        rows = make_table(
            load_table(number), work, budget=TOY, seeds=1, roots=Roots(root=str(root)), say=lambda _: None
        )
        with (work / f"table_{number}.csv").open() as file:
            written = list(csv.DictReader(file))
        assert [row["method"] for row in written] == [row.method for row in rows]
        ours = [row for row in rows if row.origin == "ours"]
        assert [row.protocol for row in ours] == ["standard", "released"] * (len(ours) // 2)
        for row in ours:
            assert not row.without
            assert set(row.scores) == {f"sigma {sigma:g}" for sigma in load_table(number).sigmas}
            assert all(np.isfinite(score.psnr.mean) for score in row.scores.values())
        return work, ours[::2], searches, trainings

    return made


def names(rows):
    return [row.method for row in rows]


def test_table_1_searches_and_trains_with_and_without_lwas_and_residual_learning(make):
    work, rows, searches, trainings = make(1)
    variants = ["LWAS no, residual no", "LWAS yes, residual no", "LWAS no, residual yes", "LWAS yes, residual yes"]
    assert names(rows) == ["noisy picture", *(f"HiNAS, {name}" for name in variants), "drawn at random"]
    switched = [(config.space.layerwise, config.task.residual) for config in searches]
    assert switched == [(False, False), (True, False), (False, True), (True, True)]
    assert [config.task.residual for config, _ in trainings] == [False] * 6 + [True] * 9
    assert [architecture.residual for _, architecture in trainings] == [False] * 6 + [True] * 9
    assert {path.name for path in work.glob("*.png")} == {"table_1_restored_0.png"}


def test_table_3_trains_one_architecture_with_three_widths_and_draws_them(make, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: (drawn.append(figure), path.touch()))
    work, rows, searches, trainings = make(3)
    variants = ["HiNAS-ws, widths searched", "HiNAS-w40, all widths 40", "HiNAS-wm, widths 20, 40, 80"]
    assert names(rows) == ["noisy picture", *variants, "drawn at random"]
    assert len(searches) == 1
    found = found_by(searches[0])
    levels = [found.levels, (1, 1), (0, 1)]
    assert [architecture for _, architecture in trainings[:3]] == [
        dataclasses.replace(found, levels=level) for level in levels
    ]
    assert {path.name for path in work.glob("*.png")} == {"table_3_widths.png"}
    scale = trainings[0][0].train.width_scale
    widths = [list(dataclasses.replace(found, levels=level).scaled(scale).widths) for level in levels]
    assert [[bar.get_height() for bar in axes.patches] for axes in drawn[0].axes] == widths


def test_table_4_trains_with_and_without_the_ssim_term_and_compares(make):
    work, rows, searches, trainings = make(4)
    compared = ["HiNAS*, MSE alone", "HiNAS**, MSE and SSIM", "drawn at random", "Comparison, HiNAS** over HiNAS*"]
    assert names(rows) == ["noisy picture", *compared]
    assert len(searches) == 1
    weights = [config.loss.ssim_weight for config, _ in trainings]
    assert weights == [0.0] * 3 + [searches[0].loss.ssim_weight] * 6
    alone, both, comparison = rows[1].scores, rows[2].scores, rows[4].scores
    for sigma, score in comparison.items():
        np.testing.assert_allclose(score.psnr.mean, both[sigma].psnr.mean - alone[sigma].psnr.mean)
        assert score.psnr.mean != 0
    assert {path.name for path in work.glob("*.png")} == {"table_4_restored_0.png"}


def test_table_6_trains_what_it_changed_and_draws_the_cells(make, monkeypatch):
    marks, draw_well = [], figures.draw_architecture

    def draw_and_note(architecture, path, **look):
        marks.append((architecture, look["marked"]))
        draw_well(architecture, path, **look)

    monkeypatch.setattr(figures, "draw_architecture", draw_and_note)
    work, rows, searches, trainings = make(6)
    changed = ["HiNAS, R1 (2 draws a seed)", "HiNAS, R2 (2 draws a seed)"]
    assert names(rows) == ["noisy picture", "HiNAS", *changed, "drawn at random"]
    assert [row.scores["sigma 30"].psnr.count for row in rows] == [1, 1, 2, 2, 1]
    found = found_by(searches[0])
    trained = [architecture for _, architecture in trainings]
    assert trained[0] == found
    assert len(set(trained)) == len(trained) == 1 + 2 + 2 + 1
    assert {path.name for path in work.glob("*.png")} == {f"table_6_cells_{number}.png" for number in range(3)}
    for (_, marked), architecture in zip(marks, (found, trained[1], trained[3]), strict=True):
        assert marked == changed_edges(found, architecture)
    assert [bool(marked) for _, marked in marks] == [False, True, True]


def test_table_8_searches_with_and_without_cell_sharing_and_tells_what_it_took(make):
    work, rows, searches, trainings = make(8)
    assert names(rows) == ["noisy picture", "HiNAS, cells not shared", "HiNAS, cells shared", "drawn at random"]
    assert [config.space.cell_sharing for config in searches] == [False, True]
    assert len(trainings) == 9
    assert [row.search and row.search.temp_bytes for row in rows] == [None, 7 * MEBIBYTE, 3 * MEBIBYTE, None]
    lines = (work / "table_8.md").read_text().splitlines()
    cells = [line.split(" | ")[7:9] for line in lines if "**ours** | standard" in line]
    assert cells[1:] == [
        ["0.20 h on CPU, 7.00 MiB", "gradient"],
        ["0.20 h on CPU, 3.00 MiB", "gradient"],
        ["-", "-"],
    ]
