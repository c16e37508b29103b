"""A search or a training that diverges: where it stops, what it tells, what it keeps, and how it goes on."""

import dataclasses
import json
import math
import re
import shutil

import jax
import numpy as np
import pytest
from left_by_runs import quiet, rows, with_train

from hinas_jax import searching, training
from hinas_jax.checkpoints import Checkpoints
from hinas_jax.config import Config
from hinas_jax.config_forms import ConfigError
from hinas_jax.divergence import DivergenceError
from hinas_jax.searching import search
from hinas_jax.training import train
from hinas_jax.validation import Score, Validation


def saving_every_step(config):
    return dataclasses.replace(config, compute=dataclasses.replace(config.compute, checkpoint_seconds=1e-6))


def steps_saved(workdir):
    """Step, state and facts of the checkpoints, by their order."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        read = [checkpoints.read(number) for number in checkpoints.numbers()]
    return [(one.facts["step"], one.state) for one in read]


def test_a_training_that_diverges_stops_there_and_keeps_no_state_that_exploded(
    tiny_config, architecture, tmp_path, quick_compiling
):
    """The first update leaves kernels that are finite and worthless: what is saved of them goes."""
    del quick_compiling
    config = with_train(tiny_config, recipe="paper", learning_rate=1e9, gradient_clip=0, steps=200)
    with pytest.raises(DivergenceError) as caught:
        train(saving_every_step(config), architecture, tmp_path, say=quiet)
    message = str(caught.value)
    found = re.match(
        r"the training diverged at step (\d+): loss is \S+, and the gradient is not finite in [a-z]\S.*?; ", message
    )
    assert found, message
    assert "lower train.learning_rate (1e+09), or set train.gradient_clip" in message
    assert "\n" not in message
    assert all(step < int(found[1]) - 1 for step, _ in steps_saved(tmp_path))


@pytest.fixture(scope="module")
def diverged(tiny_config, architecture, tmp_path_factory, quick_compiling):
    """The folder of a training, saved at every step, whose kernels are NaN after step 3; and what it told."""
    del quick_compiling
    workdir, call = tmp_path_factory.mktemp("diverged") / "run", training._Training.call

    def call_and_spoil(work, state, done):
        state, outcomes = call(work, state, done)
        if done == 2:
            params = state.params | {"start": jax.tree.map(lambda leaf: leaf * np.nan, state.params["start"])}
            state = dataclasses.replace(state, params=params)
        return state, outcomes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Training, "call", call_and_spoil)
        with pytest.raises(DivergenceError) as caught:
            train(saving_every_step(tiny_config), architecture, workdir, say=quiet)
    return workdir, str(caught.value)


def test_a_training_that_diverges_keeps_the_last_good_state(diverged):
    workdir, message = diverged
    assert message.startswith("the training diverged at step 4: loss is nan, and the gradient is not finite in ")
    assert "; the checkpoint of step 2, whose loss was finite, stays; " in message
    saved = steps_saved(workdir)
    assert [step for step, _ in saved] == [1, 2]  # that of step 3 was saved before its loss was known
    assert all(np.isfinite(leaf).all() for _, state in saved for leaf in jax.tree.leaves(state))


def test_a_training_that_diverged_goes_on_from_there_with_a_lower_rate(
    diverged, tiny_config, architecture, tmp_path, quick_compiling
):
    del quick_compiling
    assert diverged[1].endswith(", and give the same command: it goes on after step 2")
    workdir, before = shutil.copytree(diverged[0], tmp_path / "run"), steps_saved(diverged[0])
    config = with_train(saving_every_step(tiny_config), learning_rate=1e-12)
    with pytest.raises(ConfigError, match=r"differing: seed, train\.learning_rate"):
        train(dataclasses.replace(config, seed=9), architecture, workdir, say=quiet)
    said = []
    train(config, architecture, workdir, say=said.append)
    rate = tiny_config.train.learning_rate
    told = f"the run diverged at step 4; from here on train.learning_rate 1e-12 (before: {rate:g})"
    assert said.index(told) < said.index("going on after step 2 of 6")
    step, after = steps_saved(workdir)[-1]
    assert step == 6
    for one, other in zip(
        jax.tree.leaves(after["params"]), jax.tree.leaves(before[-1][1]["params"]), strict=True
    ):  # at such a rate they stay where the checkpoint had them
        np.testing.assert_allclose(one, other, atol=1e-6)
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert manifest["mended"] == [{"step": 4, "kept": 2, "changed": {"train.learning_rate": [rate, 1e-12]}}]
    assert "diverged" not in manifest
    assert Config.from_json((workdir / "config.json").read_text()) == config
    with pytest.raises(ConfigError, match=r"differing: train\.learning_rate"):  # it has diverged no more
        train(with_train(config, learning_rate=1e-6), architecture, workdir, say=quiet)


def test_a_training_without_any_finite_score_says_so(tiny_config, architecture, tmp_path, monkeypatch, quick_compiling):
    del quick_compiling
    monkeypatch.setattr(Validation, "score", lambda *_: Score(math.nan, math.nan))
    with pytest.raises(DivergenceError, match=r"diverged; lower train\.learning_rate \(0\.002\)") as caught:
        train(tiny_config, architecture, tmp_path, say=quiet)
    assert "\n" not in str(caught.value)
    assert [row["psnr"] for row in rows(tmp_path)] == [None] * 3
    assert "seconds" not in json.loads((tmp_path / "manifest.json").read_text())  # which tells of a finished one


def test_a_search_without_any_finite_score_says_so(tiny_config, tmp_path, monkeypatch, quick_compiling):
    del quick_compiling
    monkeypatch.setattr(Validation, "score", lambda *_: Score(math.nan, math.nan))
    with pytest.raises(DivergenceError, match=r"the search diverged; lower search\.learning_rate \(0\.025\)") as caught:
        search(tiny_config, tmp_path, say=quiet)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def diverged_search(tiny_config, tmp_path_factory, quick_compiling):
    """The folder of a search, saved at every step, whose alpha is NaN after step 4; and what it told."""
    del quick_compiling
    workdir, call = tmp_path_factory.mktemp("diverged") / "run", searching._Search.call

    def call_and_spoil(work, state, done):
        state, outcomes = call(work, state, done)
        if done == 3:  # the first step that moves alpha and beta
            state = dataclasses.replace(state, arch=state.arch | {"alpha": state.arch["alpha"] * np.nan})
        return state, outcomes

    compute = dataclasses.replace(tiny_config.compute, checkpoint_seconds=1e-6)
    config = dataclasses.replace(tiny_config, compute=compute)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching._Search, "call", call_and_spoil)
        with pytest.raises(DivergenceError) as caught:
            search(config, workdir, say=quiet)
    return config, workdir, str(caught.value)


def test_a_search_that_diverges_tells_step_and_group_and_keeps_the_last_good_state(diverged_search):
    _, workdir, message = diverged_search
    assert message.startswith(
        "the search diverged at step 5: arch_loss is nan, and the gradient is not finite in alpha, beta;"
        " the checkpoint of step 3, whose loss was finite, stays; "
    )
    assert "\n" not in message
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        read = [checkpoints.read(number) for number in checkpoints.numbers()]
    assert [one.facts["step"] for one in read][-1] == 3
    assert all(np.isfinite(leaf).all() for one in read for leaf in jax.tree.leaves(one.state))
    assert "lower search.learning_rate (0.025), search.arch_learning_rate (0.5) or search.gradient_clip " in message
    assert message.endswith(", and give the same command: it goes on after step 3")
