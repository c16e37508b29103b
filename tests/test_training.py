"""Training: one step by hand, the best is kept, a resume changes nothing, a warm start takes the supernet's kernels."""

import dataclasses
import errno
import itertools
import json
import math
import os
import re
import shutil
import signal
import time

import jax
import numpy as np
import optax
import pytest
from left_by_runs import leaves_equal, quiet, rows, with_train
from tiny import quick_jit, random_variables

from hinas_jax import training
from hinas_jax.architecture import Architecture
from hinas_jax.checkpoints import Checkpoints
from hinas_jax.config import Config, LossConfig
from hinas_jax.config_forms import ConfigError
from hinas_jax.data.sources import load_pictures, split
from hinas_jax.interruption import Interrupted
from hinas_jax.losses import restoration_loss
from hinas_jax.modelfile import Model
from hinas_jax.runs import RunFolder
from hinas_jax.space.network import Network
from hinas_jax.tasks import Denoise
from hinas_jax.trainer import Trainer
from hinas_jax.training import train
from hinas_jax.validation import Score, Validation
from hinas_jax.writing import partial_name

#: Losses of the three stretches of two steps, from seeds alone. To refresh them after a change that is meant to change
#: the training: run this file with -k golden and copy what it prints.
GOLDEN = (0.0983965, 0.0971977, 0.0881577)


@pytest.fixture(scope="module")
def trained(tiny_config, architecture, tmp_path_factory, quick_compiling):
    """The folder of a finished training, and the model that it returned."""
    del quick_compiling
    workdir = tmp_path_factory.mktemp("trained")
    return workdir, train(tiny_config, architecture, workdir, say=quiet)


# --- one step


def test_a_step_is_the_optimisers_along_the_gradient_of_eq_7(architecture):
    net = Network(architecture)
    rng = np.random.default_rng(0)
    clean = rng.random((2, 12, 12, 1), np.float32)
    degraded = clean + rng.normal(0, 0.2, clean.shape).astype(np.float32)
    trainer = Trainer(net, Denoise((50.0,)), LossConfig(ssim_weight=0.3, pixel_loss="l1"), optax.sgd(0.1))
    before = jax.device_get(trainer.init(random_variables(net, degraded, train=False)))

    def by_hand(params):
        variables = {"params": params, "batch_stats": before.batch_stats}
        residual, moved = net.apply(variables, degraded, train=True, mutable=["batch_stats"])
        return restoration_loss(degraded + residual, clean, ssim_weight=0.3, pixel_loss="l1"), moved["batch_stats"]

    @quick_jit
    def both(state):
        return trainer.step(state, degraded, clean), jax.value_and_grad(by_hand, has_aux=True)(state.params)

    (after, told), ((expected_loss, statistics), grads) = jax.device_get(both(before))
    assert float(told.loss) == pytest.approx(float(expected_loss), rel=1e-5)
    expected = jax.tree.map(lambda param, gradient: param - 0.1 * gradient, before.params, grads)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=1e-6), after.params, expected)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=1e-6), after.batch_stats, statistics)
    assert not leaves_equal(after.batch_stats, before.batch_stats)
    assert int(after.step) == 1


# --- a whole training


def test_the_metrics_tell_every_validation(trained):
    metrics = rows(trained[0])
    assert [row["step"] for row in metrics] == [2, 4, 6]
    assert [row["epoch"] for row in metrics] == [round(step * 2 / 6, 2) for step in (2, 4, 6)]  # 6 of 7 pictures
    assert all({"loss", "psnr", "ssim", "seconds"} <= row.keys() for row in metrics)
    assert all(math.isfinite(row["loss"]) for row in metrics)


def test_the_losses_are_golden(trained):
    losses = [row["loss"] for row in rows(trained[0])]
    print("GOLDEN =", tuple(round(loss, 7) for loss in losses))  # noqa: T201
    assert losses == pytest.approx(GOLDEN, rel=1e-4)


def test_the_folder_holds_what_was_promised(trained, architecture):
    workdir, model = trained
    promised = {
        "config.json",
        "manifest.json",
        "metrics.jsonl",
        "architecture.json",
        "model.safetensors",
        "checkpoints",
    }
    assert promised <= {path.name for path in workdir.iterdir()}
    assert Architecture.load(workdir / "architecture.json") == architecture == model.architecture
    assert leaves_equal(Model.load(workdir / "model.safetensors").variables, model.variables)


@pytest.mark.usefixtures("usual_fusions")
def test_a_training_fed_from_the_host_is_the_same_bit_for_bit(tiny_config, architecture, tmp_path):
    models = []
    for residence in ("device", "host"):
        config = dataclasses.replace(tiny_config, data=dataclasses.replace(tiny_config.data, residence=residence))
        models.append(train(config, architecture, tmp_path / residence, say=quiet))
    assert leaves_equal(*(model.variables for model in models))


def test_the_manifest_tells_what_was_trained_on_and_what_was_held_back(trained, tiny_config):
    manifest = json.loads((trained[0] / "manifest.json").read_text())
    w, a, v = split(load_pictures(tiny_config.data.root, "train", 1), tiny_config.seed, 0.1)
    assert manifest["kind"] == "train"
    assert manifest["splits"] == {"train": w.joined(a).digest(), "V": v.digest()}
    assert manifest["seconds"] > 0


def test_the_card_tells_how_the_model_was_made(trained, tiny_config):
    card, metrics = trained[1].card, rows(trained[0])
    config = json.loads(tiny_config.to_json())
    assert {name: card[name] for name in ("task", "data", "train", "seed")} == {
        name: config[name] for name in ("task", "data", "train", "seed")
    }
    best = max(metrics, key=lambda row: row["ssim"] + row["psnr"] / 100)
    assert card["step"] == best["step"]
    assert card["validation"] == {"psnr": best["psnr"], "ssim": best["ssim"]}


def test_a_wider_training_starts_from_the_widened_architecture(tiny_config, architecture, tmp_path, monkeypatch):
    class Stopped(Exception):  # noqa: N818
        pass

    def stop(*_, **__):
        raise Stopped

    monkeypatch.setattr(training, "compile_step", stop)
    with pytest.raises(Stopped):
        train(with_train(tiny_config, width_scale=2), architecture, tmp_path, say=quiet)
    assert Architecture.load(tmp_path / "architecture.json") == architecture.scaled(2)


def test_the_best_by_validation_is_kept_and_not_the_last(
    tiny_config, architecture, tmp_path, monkeypatch, quick_compiling
):
    del quick_compiling
    scores, seen = iter([0.5, 0.9, math.nan]), []

    def score(_, restore_tiles, variables):
        del restore_tiles
        seen.append(jax.device_get(variables))
        return Score(psnr=20.0, ssim=next(scores))

    monkeypatch.setattr(Validation, "score", score)
    monkeypatch.setattr(Validation, "skip_score", lambda _: Score(psnr=14.0, ssim=0.1))
    model = train(tiny_config, architecture, tmp_path, say=quiet)
    assert leaves_equal(model.variables, seen[1])
    assert not leaves_equal(model.variables, seen[2])
    assert (model.card["step"], model.card["validation"]["ssim"]) == (4, 0.9)


def test_a_killed_training_goes_on_to_the_same_bits(
    trained, tiny_config, architecture, tmp_path, monkeypatch, quick_compiling
):
    append = RunFolder.append_metrics

    class Killed(BaseException):
        pass

    def append_and_fail(folder, row):
        append(folder, row)
        if row["step"] == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append_metrics", append_and_fail)
        with pytest.raises(Killed):
            train(tiny_config, architecture, tmp_path, say=quiet)
    programs = len(list(quick_compiling.rglob("*-cache")))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"python": "3.0.1"}))
    said = []
    model = train(tiny_config, architecture, tmp_path, say=said.append)
    assert "going on after step 2 of 6" in said
    assert sum("goes on under another environment (python 3.0.1 -> " in line for line in said) == 1
    (before,) = json.loads((tmp_path / "manifest.json").read_text())["environments"]
    assert (before["until_step"], before["python"]) == (2, "3.0.1")
    assert len(list(quick_compiling.rglob("*-cache"))) == programs  # nothing was compiled anew
    assert leaves_equal(model.variables, trained[1].variables)
    assert model.card == trained[1].card
    for one, other in zip(rows(tmp_path), rows(trained[0]), strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


# --- faults


def test_a_signal_within_a_stretch_saves_that_very_step(
    trained, tiny_config, architecture, tmp_path, monkeypatch, quick_compiling
):
    del quick_compiling
    call = training._Training.call
    for number, step in ((signal.SIGTERM, 2), (signal.SIGINT, 4)):

        def call_and_signal(work, state, done, number=number, step=step):
            if done == step:
                os.kill(os.getpid(), number)
            return call(work, state, done)

        with monkeypatch.context() as patch:
            patch.setattr(training._Training, "call", call_and_signal)
            with pytest.raises(Interrupted):
                train(tiny_config, architecture, tmp_path, say=quiet)
    said = []
    model = train(tiny_config, architecture, tmp_path, say=said.append)
    assert "going on after step 5 of 6" in said
    assert leaves_equal(model.variables, trained[1].variables)
    for one, other in zip(rows(tmp_path), rows(trained[0]), strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


def test_a_damaged_model_file_is_written_anew_from_the_checkpoint_of_the_best(
    trained, tiny_config, architecture, tmp_path
):
    shutil.copytree(trained[0], tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").write_bytes(b"damaged")
    model = train(tiny_config, architecture, tmp_path / "run", say=quiet)
    assert leaves_equal(model.variables, trained[1].variables)
    assert model.card == trained[1].card


def test_an_architecture_that_cannot_be_written_leaves_no_part_of_it(tiny_config, architecture, tmp_path, monkeypatch):
    replace = type(tmp_path).replace

    def full(path, target):
        if path.name == partial_name("architecture.json"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(type(tmp_path), "replace", full)
    with pytest.raises(ConfigError, match="cannot be written"):
        train(tiny_config, architecture, tmp_path, say=quiet)
    assert not list(tmp_path.glob(".*.part"))


def test_checkpoints_within_a_stretch_change_nothing(trained, tiny_config, architecture, tmp_path, quick_compiling):
    del quick_compiling
    compute = dataclasses.replace(tiny_config.compute, checkpoint_seconds=1e-6)
    model = train(dataclasses.replace(tiny_config, compute=compute), architecture, tmp_path, say=quiet)
    assert leaves_equal(model.variables, trained[1].variables)
    with Checkpoints(tmp_path / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.numbers()[-1] == 6  # one after every step


def test_a_clock_that_goes_backwards_changes_nothing(
    trained, tiny_config, architecture, tmp_path, monkeypatch, quick_compiling
):
    del quick_compiling
    clock = itertools.count(2_000_000_000, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 10**9)
    model = train(tiny_config, architecture, tmp_path, say=quiet)
    assert leaves_equal(model.variables, trained[1].variables)
    seconds = [row["seconds"] for row in rows(tmp_path)]
    assert 0 < seconds[0] <= seconds[1] <= seconds[2]
    assert 0 < json.loads((tmp_path / "manifest.json").read_text())["seconds"] < 1000


@pytest.mark.parametrize(("psnr", "told"), [(5.0, True), (30.0, False)])
def test_a_network_worse_than_doing_nothing_is_told(
    tiny_config, architecture, tmp_path, monkeypatch, quick_compiling, psnr, told
):
    """Noise of sigma 50 is 14.15 dB."""
    del quick_compiling
    score = Validation.score

    def scripted(validation, restore, variables):
        return score(validation, restore, variables) if variables is None else Score(psnr, 0.5)

    monkeypatch.setattr(Validation, "score", scripted)
    said = []
    train(tiny_config, architecture, tmp_path, say=said.append)
    assert any(re.search(r"worse than f_skip alone \(1[34]\.\d\d dB\)", line) for line in said) == told


# --- refusals


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "super_resolve", "scale": 2}, "task.name = super_resolve"),
        ({"channels": 3}, "task.channels = 3"),
        ({"residual": False}, "task.residual = False"),
    ],
)
def test_an_architecture_of_another_task_is_refused(tiny_config, architecture, tmp_path, change, words):
    with pytest.raises(ConfigError, match=words):
        train(tiny_config, dataclasses.replace(architecture, **change), tmp_path / "run", say=quiet)
    assert not (tmp_path / "run").exists()


def test_an_architecture_of_another_scale_is_refused(tiny_config, architecture, tmp_path):
    task = dataclasses.replace(tiny_config.task, name="super_resolve", scale=3)
    other = dataclasses.replace(architecture, task="super_resolve", scale=2)
    with pytest.raises(ConfigError, match=r"task\.scale = 2, the config says 3"):
        train(dataclasses.replace(tiny_config, task=task), other, tmp_path / "run", say=quiet)


def test_the_folder_of_another_architecture_or_config_is_refused(trained, tiny_config, architecture):
    workdir, _ = trained
    with pytest.raises(ConfigError, match="another architecture"):
        train(tiny_config, dataclasses.replace(architecture, levels=(0,)), workdir, say=quiet)
    with pytest.raises(ConfigError, match=r"differing: train\.steps"):
        train(with_train(tiny_config, steps=8), architecture, workdir, say=quiet)
    assert Architecture.load(workdir / "architecture.json") == architecture
    assert isinstance(Config.from_json((workdir / "config.json").read_text()), Config)
