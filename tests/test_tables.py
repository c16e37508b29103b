"""Tables without running any network: pictures, names of runs, correlations, the command line."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from commands import mistake, run
from left_by_runs import quiet
from test_restoring import model_of
from tiny import counted

from hinas_jax import inference
from hinas_jax.cli import main
from hinas_jax.data.pictures import PictureError
from hinas_jax.random_search import draw
from hinas_jax.space.initialise import initialise
from hinas_jax.space.supernet import SuperNet
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.correlation import correlate, one_hot_scores
from hinas_jax.tables.definition import with_fields
from hinas_jax.tables.measuring import _search_cost
from hinas_jax.tables.pictures import Roots, load_test_sets, training_pictures
from hinas_jax.tables.rows import SearchCost, Value
from hinas_jax.tables.store import Run, Store, time_inference


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


def test_inference_is_timed_with_its_program_at_hand_however_many_sizes(monkeypatch):
    monkeypatch.setattr(inference, "PROGRAMS", 1)
    compiled = counted(monkeypatch)
    pictures = tuple(np.zeros((side, 12, 1), np.uint8) for side in (8, 9, 8, 9))
    assert time_inference(model_of(), pictures) > 0
    assert len(compiled) == 2  # one for each size, and none anew within the time


def test_a_search_is_told_with_the_device_it_ran_on(tmp_path):
    runs = [Run(tmp_path, seconds, {"device": device}) for seconds, device in ((10.0, "NVIDIA H100"), (20.0, "cpu"))]
    assert _search_cost(runs[:1]) == SearchCost(Value(10.0), "NVIDIA H100", "gradient")
    both = _search_cost(runs)
    assert (both.seconds.mean, both.device) == (15, "NVIDIA H100 and CPU")
    runs = [Run(tmp_path, 1.0, {"device": "cpu", "temp_bytes": number}) for number in (3, 5)]
    assert _search_cost(runs).temp_bytes == 5


def test_pictures_to_leave_out_are_left_out_for_every_task(tiny_config, root):
    shutil.copy(root / "train" / "0.png", root / "test" / "twin.png")
    config = Roots(root=str(root), exclude=("0",)).apply(tiny_config, Budget(0.001))
    assert config.task.name == "denoise"
    training = training_pictures(config)
    assert "train/0" not in training.names
    assert load_test_sets(training, config, (), {}, None)[0].of == 3
    with pytest.raises(PictureError, match=r"data\.exclude names 'none'"):
        training_pictures(Roots(root=str(root), exclude=("none",)).apply(tiny_config, Budget(0.001)))


@pytest.mark.usefixtures("quick_compiling")
def test_one_hot_scores_forget_the_mixtures_statistics(tiny_config):
    net = SuperNet(tiny_config.space, 1, 1)
    supernet = initialise(net, jax.random.key(0), 1)
    supernet["params"]["end"]["residual"]["kernel"] += 0.01  # so that the features show in the score
    other = supernet | {"batch_stats": jax.tree.map(lambda x: 100 * x + 7, supernet["batch_stats"])}
    (one,), (same,) = (one_hot_scores(tiny_config, s, [draw(tiny_config)], quiet) for s in (supernet, other))
    assert one == same


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
        ("2 --budget 0.001 --data.tests BSD100=.", "takes Set5, Set14, B100, Urban100; did you mean B100?"),
        (
            "12 --budget 0.001 --data.tests set5=.",
            "table 12 has no set 'set5'; it takes Set5, Set14, B100, Urban100;",
        ),
        ("5 --budget 0.001 --data.tests Set14=.", "table 5 has no set 'Set14'; it takes Set5, B100, Urban100"),
        ("5 --budget 0.001 --data.tests Foo=.", "table 5 has no set 'Foo'; it takes Set5, B100, Urban100"),
        ("2 --budget 0.001 --data.tests Set5=. Set5=.", "--data.tests names Set5 twice"),
        ("1 --budget 0.001 --data.tests Set5=.", "table 1 tests on the pictures that the root sets aside"),
        ("correlation --budget 0.001 --data.tests Set5=.", "correlation tests on the pictures that the root sets"),
        ("2 --budget 0.001 --data.tests Set5=nowhere", "or NAME=tfds:SET, not 'Set5=nowhere'"),
        ("correlation --count 1 --budget 0.001", "--count 3 or more"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys, tmp_path, words, told):
    assert told in mistake(capsys, "table", *words.split(), "--workdir", tmp_path)
    assert not list(Path(tmp_path).iterdir())


def test_the_line_of_a_random_search_names_its_protocol(monkeypatch, capsys, tmp_path, keep_jax_settings):
    del keep_jax_settings
    score = {"psnr": 21.5, "ssim": 0.5}
    model = SimpleNamespace(card={"validation": score}, architecture=SimpleNamespace(parameters=lambda: 7))
    monkeypatch.setattr("hinas_jax.cli.random.random_search", lambda *_, **__: [model])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    main(["random", "demo", "--workdir", str(tmp_path / "random"), "--count", "1"])
    assert capsys.readouterr().out.strip().endswith("21.50 dB on V over 1 drawn; protocol validation (joined patches)")
