"""The search: who moves when, what is kept, and that an interrupted search ends where an uninterrupted one does."""

import dataclasses
import json
import math
import types

import jax
import numpy as np
import pytest
from left_by_runs import leaves_equal, quiet, rows, without_seconds
from tiny import quick_jit

from hinas_jax import searching
from hinas_jax.architecture import Architecture
from hinas_jax.checkpoints import Checkpoints
from hinas_jax.config_forms import ConfigError
from hinas_jax.data.pictures import PictureError
from hinas_jax.data.sources import load_pictures, split
from hinas_jax.losses import restoration_loss
from hinas_jax.runs import RunFolder
from hinas_jax.searcher import make_searcher
from hinas_jax.searching import search
from hinas_jax.validation import Score, Validation
from hinas_jax.watching import decode_for

STEPS = 3  # an epoch of the config `tiny_config`
EPOCHS = 5

#: Mean losses on W of the first two epochs, from seeds alone. To refresh them after a change that is meant to change
#: the search (initial kernels, sampling, loss, optimisers): run this file with -k golden and copy what it prints.
GOLDEN = (0.1027787, 0.0864823)

#: Loss of the first step from the state of ``stepped``, in which every kernel takes part.
FIRST = 0.2476902


def saved_state(workdir, which="latest"):
    """The newest state in a search's folder, or that of the best epoch, as it lies there."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        newest = checkpoints.read(checkpoints.numbers()[-1])
        if which == "latest":
            return newest.state
        return checkpoints.read(newest.facts["best"]["checkpoint"]).state


# --- one step


@pytest.fixture(scope="module")
def stepped(tiny_config):
    """A state with all leaves in motion, what both steps make of it, and the loss and gradients by hand."""
    searcher = make_searcher(tiny_config, STEPS)
    rng = np.random.default_rng(0)

    def moved(tree):
        return jax.tree.map(lambda leaf: np.asarray(leaf) + 0.1 * rng.normal(size=leaf.shape).astype(np.float32), tree)

    state = jax.device_get(searcher.init(jax.random.key(0)))
    state = dataclasses.replace(state, params=moved(state.params), arch=moved(state.arch))
    clean = rng.random((2, 12, 12, 1), np.float32)
    degraded = clean + rng.normal(0, 0.2, clean.shape).astype(np.float32)

    def by_hand(params, arch):
        variables = {"params": params, "arch": arch, "batch_stats": state.batch_stats}
        residual, moved = searcher.net.apply(variables, degraded, train=True, mutable=["batch_stats"])
        return restoration_loss(degraded + residual, clean, ssim_weight=0.6, pixel_loss="l2"), moved["batch_stats"]

    @quick_jit
    def everything(state):
        return (
            searcher.weight_step(state, degraded, clean),
            searcher.arch_step(state, degraded, clean),
            jax.value_and_grad(by_hand, argnums=(0, 1), has_aux=True)(state.params, state.arch),
        )

    weights, arch, ((loss, statistics), grads) = jax.device_get(everything(state))
    return types.SimpleNamespace(
        before=state, weights=weights, arch=arch, loss=loss, statistics=statistics, grads=grads
    )


def test_a_weight_step_leaves_alpha_and_beta_bit_for_bit_alone(stepped):
    before, (after, _) = stepped.before, stepped.weights
    assert leaves_equal(after.arch, before.arch)
    assert leaves_equal(after.arch_optimiser, before.arch_optimiser)
    assert int(after.step) == int(before.step) + 1


def test_an_architecture_step_leaves_kernels_and_statistics_bit_for_bit_alone(stepped):
    before, (after, _) = stepped.before, stepped.arch
    assert leaves_equal(after.params, before.params)
    assert leaves_equal(after.batch_stats, before.batch_stats)
    assert leaves_equal(after.weight_optimiser, before.weight_optimiser)
    assert int(after.step) == int(before.step)


def test_both_steps_tell_the_loss_of_eq_7(stepped):
    assert float(stepped.weights[1].loss) == pytest.approx(float(stepped.loss), rel=1e-5)
    assert float(stepped.arch[1].loss) == pytest.approx(float(stepped.loss), rel=1e-5)


def test_the_loss_of_the_first_step_is_golden(stepped):
    print("FIRST =", round(float(stepped.loss), 7))  # noqa: T201
    assert float(stepped.loss) == pytest.approx(FIRST, rel=1e-4)


def test_a_weight_step_is_sgd_along_the_gradient_of_the_kernels(stepped, tiny_config):
    (after, _), config, (grads, _) = stepped.weights, tiny_config.search, stepped.grads
    norm = math.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads)))
    shrink = min(1.0, config.gradient_clip / norm)

    def check(after, param, gradient):
        rate = config.learning_rate  # the first update is at the start of the cosine, with no momentum yet
        expected = param - rate * (shrink * gradient + config.weight_decay * param)
        np.testing.assert_allclose(after, expected, atol=1e-7)
        assert not np.array_equal(after, param)

    jax.tree.map(check, after.params, stepped.before.params, grads)


def test_a_weight_step_moves_the_running_statistics_with_the_batch(stepped):
    after, _ = stepped.weights
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.batch_stats, stepped.statistics)
    assert not leaves_equal(after.batch_stats, stepped.before.batch_stats)


def test_an_architecture_step_is_adam_along_the_gradient_of_alpha_and_beta(stepped, tiny_config):
    (after, _), config, (_, grads) = stepped.arch, tiny_config.search, stepped.grads

    def check(after, param, gradient):
        coupled = np.asarray(gradient + config.arch_weight_decay * param, np.float64)
        expected = param - config.arch_learning_rate * coupled / (abs(coupled) + 1e-8)
        np.testing.assert_allclose(after, expected, atol=1e-5)
        assert not np.array_equal(after, param)

    jax.tree.map(check, after.arch, stepped.before.arch, grads)


# --- a whole search


def test_the_metrics_tell_every_epoch_in_the_papers_words(searched):
    metrics = rows(searched)
    assert [row["epoch"] for row in metrics] == list(range(1, EPOCHS + 1))
    assert [row["step"] for row in metrics] == [STEPS * epoch for epoch in range(1, EPOCHS + 1)]
    assert [row["phase"] for row in metrics] == ["warmup"] + ["alternate"] * 4
    always = {"loss", "skip_count", "alpha_entropy", "beta_entropy", "levels", "parameters", "architecture"}
    assert all(always <= row.keys() for row in metrics)
    assert [{"psnr", "ssim"} <= row.keys() for row in metrics] == [False] + [True] * 4
    assert ["arch_loss" in row for row in metrics] == [False] + [True] * 4
    seconds = [row["seconds"] for row in metrics]
    assert seconds == sorted(seconds)
    assert all(math.isfinite(row["loss"]) and row["loss"] > 0 for row in metrics)


def test_the_losses_of_the_first_epochs_are_golden(searched):
    losses = [row["loss"] for row in rows(searched)[:2]]
    print("GOLDEN =", tuple(round(loss, 7) for loss in losses))  # noqa: T201
    assert losses == pytest.approx(GOLDEN, rel=1e-4)


def test_warm_up_leaves_alpha_and_beta_at_their_start(searched):
    warm, *alternate = rows(searched)
    assert warm["alpha_entropy"] == pytest.approx(math.log(7), abs=1e-6)
    assert warm["beta_entropy"] == pytest.approx(math.log(2), abs=1e-6)
    assert all(row["alpha_entropy"] < warm["alpha_entropy"] - 1e-3 for row in alternate)
    assert len({row["alpha_entropy"] for row in alternate}) == len(alternate)


def test_a_whole_epoch_in_one_call_equals_one_call_a_step(
    searched, tiny_config, tmp_path, monkeypatch, quick_compiling
):
    del quick_compiling
    monkeypatch.setattr(searching, "steps_per_call", lambda steps, most: steps)  # as on any device but a CPU
    search(tiny_config, tmp_path, say=quiet)
    numbers = ("step", "epoch", "loss", "alpha_entropy", "beta_entropy", "psnr", "ssim", "arch_loss")
    for one, other in zip(rows(tmp_path), rows(searched), strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() & set(numbers):
            assert one[name] == pytest.approx(other[name], rel=1e-3), name
    states = (saved_state(path) for path in (tmp_path, searched))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3), *states)


@pytest.mark.usefixtures("usual_fusions")
def test_a_search_fed_from_the_host_is_the_same_bit_for_bit(tiny_config, tmp_path):
    # where patches lie is all that differs: one width will do
    space, lines = dataclasses.replace(tiny_config.space, width_factors=(1,)), []
    for residence in ("device", "host"):
        data = dataclasses.replace(tiny_config.data, residence=residence)
        search(dataclasses.replace(tiny_config, data=data, space=space), tmp_path / residence, say=lines.append)
        assert any("streamed" in line for line in lines) == (residence == "host")
    assert without_seconds(tmp_path / "host") == without_seconds(tmp_path / "device")
    assert leaves_equal(saved_state(tmp_path / "host"), saved_state(tmp_path / "device"))


def test_the_manifest_tells_the_seed_and_the_digests_of_the_splits(searched, tiny_config):
    manifest = json.loads((searched / "manifest.json").read_text())
    assert manifest["kind"] == "search"
    assert manifest["seed"] == tiny_config.seed
    assert manifest["seconds"] > 0
    pictures = load_pictures(tiny_config.data.root, "train", 1)
    parts = split(pictures, tiny_config.seed, tiny_config.data.validation_fraction)
    assert manifest["splits"] == {name: part.digest() for name, part in zip("WAV", parts, strict=True)}


def test_the_folder_holds_what_was_promised(searched, tiny_config):
    promised = {"config.json", "manifest.json", "metrics.jsonl", "architecture.json", "architecture.svg", "checkpoints",
                ".lock"}  # fmt: skip
    assert {path.name for path in searched.iterdir()} == promised
    architecture = Architecture.load(searched / "architecture.json")
    assert architecture.task == "denoise"
    assert architecture.base_width == tiny_config.space.base_width


def test_a_finished_search_runs_no_further_step(searched, tiny_config, monkeypatch):
    before = (searched / "metrics.jsonl").read_bytes()
    temp_bytes = json.loads((searched / "manifest.json").read_text())["temp_bytes"]
    monkeypatch.setattr(searching, "compile_step", None)  # calling it would fail
    found = search(tiny_config, searched, say=quiet)
    assert found == Architecture.load(searched / "architecture.json")
    assert (searched / "metrics.jsonl").read_bytes() == before
    assert json.loads((searched / "manifest.json").read_text())["temp_bytes"] == temp_bytes > 0


# --- the best is kept


@pytest.fixture(scope="module")
def scripted(tiny_config, tmp_path_factory, quick_compiling):
    """A search whose scores are given: none, then the best, none again, and at last a low one."""
    del quick_compiling
    scores = iter([math.nan, 0.9, math.nan, 0.1])
    seen = []

    def score(_, restore_tiles, variables):
        del restore_tiles
        seen.append(jax.device_get(variables))
        return Score(psnr=20.0, ssim=next(scores))

    workdir = tmp_path_factory.mktemp("scripted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validation, "score", score)
        found = search(tiny_config, workdir, say=quiet)
    return workdir, found, seen


def test_the_architecture_of_the_best_epoch_is_returned_and_not_that_of_the_last(scripted, tiny_config):
    workdir, found, seen = scripted
    decoded = [decode_for(variables["arch"], tiny_config) for variables in seen]
    assert decoded[1] not in (decoded[0], decoded[2], decoded[3])  # so that a wrong choice shows
    assert found == decoded[1]
    assert Architecture.load(workdir / "architecture.json") == decoded[1]


def test_the_best_supernet_is_saved_and_not_the_last(scripted):
    workdir, _, seen = scripted
    best = saved_state(workdir, "best")
    assert leaves_equal({name: best[name] for name in seen[1]}, seen[1])
    assert leaves_equal(saved_state(workdir)["params"], seen[-1]["params"])


def test_before_the_first_evaluation_the_architecture_file_is_valid(
    tiny_config, tmp_path, monkeypatch, quick_compiling
):
    del quick_compiling

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Validation, "score", interrupt)
    with pytest.raises(KeyboardInterrupt):
        search(tiny_config, tmp_path, say=quiet)
    assert Architecture.load(tmp_path / "architecture.json").cells
    assert json.loads((tmp_path / "manifest.json").read_text())["temp_bytes"] > 0  # known when compiled, kept then
    monkeypatch.setattr(searching, "compile_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        search(dataclasses.replace(tiny_config, seed=4), tmp_path, restart=True, say=quiet)
    assert Architecture.load(tmp_path / "architecture.json").cells


# --- interruption


@pytest.fixture(scope="module")
def resumed(tiny_config, tmp_path_factory, quick_compiling):
    """A search that is killed in epoch 3, after its evaluation and before its checkpoint, and then run again."""
    workdir = tmp_path_factory.mktemp("resumed")
    append = RunFolder.append_metrics

    class Killed(BaseException):
        pass

    def append_and_fail(folder, row):
        append(folder, row)
        if row["epoch"] == 3:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "append_metrics", append_and_fail)
        with pytest.raises(Killed):
            search(tiny_config, workdir, say=quiet)
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "epo')  # torn by the kill
    said, programs = [], lambda: len(list(quick_compiling.rglob("*-cache")))
    before = programs()
    search(tiny_config, workdir, say=said.append)
    return workdir, said, programs() - before


def test_a_resumed_search_says_where_it_goes_on(resumed):
    assert "going on after step 6 of 15" in resumed[1]


def test_a_resumed_search_finds_all_its_programs_in_the_cache(resumed):
    assert resumed[2] == 0


def test_a_resumed_search_writes_the_same_metrics(resumed, searched):
    assert without_seconds(resumed[0]) == without_seconds(searched)
    seconds = [row["seconds"] for row in rows(resumed[0])]
    assert seconds == sorted(seconds)


def test_a_resumed_search_finds_the_same_architecture(resumed, searched):
    one, other = ((path / "architecture.json").read_bytes() for path in (resumed[0], searched))
    assert one == other


@pytest.mark.parametrize("which", ["latest", "best"])
def test_a_resumed_search_ends_with_the_same_bits(resumed, searched, which):
    one, other = (saved_state(path, which) for path in (resumed[0], searched))
    assert leaves_equal(one, other)


# --- the same again


def test_the_same_seed_gives_the_same_search_again(searched, tiny_config, tmp_path, quick_compiling):
    del quick_compiling
    compute = dataclasses.replace(tiny_config.compute, deterministic=True)
    search(dataclasses.replace(tiny_config, compute=compute), tmp_path, say=quiet)
    assert without_seconds(tmp_path) == without_seconds(searched)
    assert leaves_equal(saved_state(tmp_path), saved_state(searched))
    for name in ("architecture.json", "architecture.svg"):
        assert (tmp_path / name).read_bytes() == (searched / name).read_bytes()


# --- refusals


def test_the_folder_of_another_config_is_refused_and_left_as_it_is(searched, tiny_config):
    before = {path.name: path.read_bytes() for path in searched.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match="differing: seed"):
        search(dataclasses.replace(tiny_config, seed=4), searched, say=quiet)
    assert {path.name: path.read_bytes() for path in searched.iterdir() if path.is_file()} == before


def test_pictures_that_are_all_smaller_than_the_patch_are_refused_before_anything_is_written(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, search=dataclasses.replace(tiny_config.search, patch=30))
    with pytest.raises(PictureError, match="all 7 pictures are too small for the search, which takes 30x30"):
        search(config, tmp_path / "run", say=quiet)
    assert not (tmp_path / "run").exists()
