"""Tables end to end on a tiny space: what is written, that work is done once, and that test pictures choose nothing."""

import json

import jax
import numpy as np
import pytest
from picture_files import write_pictures

from hinas_jax.modelfile import Model
from hinas_jax.random_search import draw, random_search
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.definition import Table, Variant
from hinas_jax.tables.making import make_table
from hinas_jax.tables.pictures import Roots


def quiet(_):
    pass


def content(path):
    """What a file says, whatever the order in which it says it."""
    if path.suffix == ".json":
        return path.read_text()
    model = Model.load(path)
    return model.card, [(leaf.shape, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(model.variables)]


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
    psnrs = [model.card["validation"]["psnr"] for model in models]
    np.testing.assert_allclose(
        [document["psnr_mean"], document["psnr_spread"]], [np.mean(psnrs), np.std(psnrs, ddof=1)]
    )
    assert document["best_on_v"] in ("000", "001")
