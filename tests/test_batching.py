"""The largest batch that fits, by a line through two measurements, and what is measured."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from hinas_jax import batching
from hinas_jax.batching import MULTIPLE, fit_batch, largest_batch, step_bytes
from hinas_jax.compiling import MemoryNeedError
from hinas_jax.config import LossConfig, TrainConfig
from hinas_jax.optimisers import training_optimiser
from hinas_jax.random_search import draw
from hinas_jax.searcher import make_searcher
from hinas_jax.space.initialise import initialise
from hinas_jax.space.network import Network
from hinas_jax.trainer import Trainer

FIXED, EACH = 1000, 30


def line(batch):
    return FIXED + EACH * batch


@pytest.mark.parametrize("there", [FIXED + EACH, FIXED + 5 * EACH, FIXED + 16 * EACH, FIXED + 71 * EACH + 29, 10**6])
@pytest.mark.parametrize("most", [1, 7, 24, 10**9])
def test_it_fits_and_a_multiple_more_would_not(there, most):
    batch = largest_batch(line, there, most)
    assert 1 <= batch <= most
    assert line(batch) <= there
    assert batch % MULTIPLE == 0 or batch < MULTIPLE
    step = MULTIPLE if batch >= MULTIPLE else 1
    assert line(batch + step) > there or batch + step > most


def test_what_cannot_fit_is_told():
    with pytest.raises(MemoryNeedError, match="a step of one patch takes"):
        largest_batch(line, FIXED + EACH - 1, 8)


@pytest.fixture(scope="module")
def search_step(tiny_config, quick_compiling):
    del quick_compiling
    searcher = make_searcher(tiny_config, 10)
    return searcher.weight_step, jax.eval_shape(searcher.init, jax.random.key(0)), tiny_config.task.build()


@pytest.fixture(scope="module")
def step(tiny_config, quick_compiling):
    """A training's step, which compiles in a third of the time of a search's."""
    del quick_compiling
    network = Network(draw(tiny_config, 0))
    trainer = Trainer(network, tiny_config.task.build(), LossConfig(), training_optimiser(TrainConfig()))
    state = jax.eval_shape(lambda: trainer.init(initialise(network, jax.random.key(0), 1)))
    return trainer.step, state, trainer.task


@pytest.mark.parametrize("name", ["search_step", "step"])
def test_a_steps_memory_grows_in_a_straight_line(request, name):
    step = request.getfixturevalue(name)
    few, middle, many = (step_bytes(*step, batch, 12) for batch in (8, 16, 32))
    assert many - middle == pytest.approx(2 * (middle - few), rel=0.15)
    assert middle > few


@pytest.fixture
def fit(step, tiny_config, tmp_path, monkeypatch):
    """``fit_batch`` on a device of as much memory as is asked for, and the lines it said."""

    def run(there, *, held=0, restart=False):
        monkeypatch.setattr(batching, "device_bytes", lambda: there)
        lines = []
        config = fit_batch(
            tiny_config, "search", tmp_path, restart, [step[0]], *step[1:], most=1000, held=held, say=lines.append
        )
        return config, lines

    return run


@pytest.mark.parametrize("held", [0, 2**20])
def test_the_batch_of_a_config_is_what_fits_beside_the_pictures(fit, step, held, tiny_config):
    there = int((step_bytes(*step, 40, 12) + 2**20) / batching.USED) + 2
    config, lines = fit(there, held=held)
    batch = config.search.batch_size
    assert step_bytes(*step, batch, 12) <= batching.USED * there - held < step_bytes(*step, batch + 2 * MULTIPLE, 12)
    assert config == dataclasses.replace(tiny_config, search=dataclasses.replace(tiny_config.search, batch_size=batch))
    assert f"{batch} patches a step fit" in lines[-1]


def test_a_device_that_does_not_tell_its_memory_leaves_the_batch(fit, tiny_config):
    config, lines = fit(0)
    assert config == tiny_config
    assert "does not tell" in lines[-1]


def test_a_run_goes_on_with_the_batch_it_began_with(fit, tiny_config, tmp_path):
    begun = dataclasses.replace(tiny_config, search=dataclasses.replace(tiny_config.search, batch_size=5))
    (tmp_path / "config.json").write_text(begun.to_json())
    assert fit(2**33) == (begun, ["--batch auto: 5 patches a step, as this run began"])
    assert fit(2**33, restart=True)[0].search.batch_size > 5


def test_the_step_that_takes_the_most_decides(step, tiny_config, tmp_path, monkeypatch):
    """As a second-order gradient of alpha does beside the weight step."""
    one, state, task = step

    def twice(state, degraded, clean):
        return one(state, jnp.concatenate([degraded] * 2), jnp.concatenate([clean] * 2))

    there = int(step_bytes(twice, state, task, 40, 12) / batching.USED)
    monkeypatch.setattr(batching, "device_bytes", lambda: there)
    batches = [
        fit_batch(tiny_config, "search", tmp_path, False, steps, state, task, most=10**4, held=0, say=lambda _: None)
        for steps in ([one], [one, twice])
    ]
    assert batches[0].search.batch_size >= 1.8 * batches[1].search.batch_size
