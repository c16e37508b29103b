"""Tables without running any network: pictures, names of runs, correlations, the command line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli_search_train import mistake, run

from hinas_jax.data.pictures import PictureError
from hinas_jax.random_search import draw
from hinas_jax.tables.correlation import correlate
from hinas_jax.tables.definition import with_fields
from hinas_jax.tables.pictures import load_test_sets, training_pictures
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


def test_correlations_of_known_orders():
    same = correlate([1, 2, 3, 4, 5], [2, 4, 6, 8, 9])
    np.testing.assert_allclose([same.spearman, same.kendall], 1, atol=1e-12)
    assert same.count == 5
    np.testing.assert_allclose([same.spearman_p, same.kendall_p], 2 / 120, atol=1e-9)  # 2 of the 5! orders
    np.testing.assert_allclose(correlate([1, 2, 3, 4], [4, 3, 2, 1]).kendall, -1, atol=1e-12)
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
