"""The largest batch that fits, by a line through two measurements, and what is measured."""

import dataclasses

import jax
import pytest

from hinas_jax import batching
from hinas_jax.batching import MULTIPLE, largest_batch, step_bytes, with_largest_batch
from hinas_jax.compiling import MemoryNeedError
from hinas_jax.searching import make_searcher

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
def step(tiny_config, quick_compiling):
    del quick_compiling
    searcher = make_searcher(tiny_config, 10)
    return searcher.weight_step, jax.eval_shape(searcher.init, jax.random.key(0)), tiny_config.task.build()


def test_a_steps_memory_grows_in_a_straight_line(step):
    few, middle, many = (step_bytes(*step, batch, 12) for batch in (8, 16, 32))
    assert many - middle == pytest.approx(2 * (middle - few), rel=0.15)
    assert middle > few


@pytest.mark.parametrize("held", [0, 2**20])
def test_the_batch_of_a_config_is_what_fits_beside_the_pictures(step, held, tiny_config, monkeypatch):
    there = int((step_bytes(*step, 40, 12) + 2**20) / batching.USED)
    monkeypatch.setattr(batching, "device_bytes", lambda: there)
    lines = []
    config = with_largest_batch(tiny_config, "search", *step, most=1000, held=held, say=lines.append)
    batch = config.search.batch_size
    assert step_bytes(*step, batch, 12) <= batching.USED * there - held < step_bytes(*step, batch + 2 * MULTIPLE, 12)
    assert config == dataclasses.replace(tiny_config, search=dataclasses.replace(tiny_config.search, batch_size=batch))
    assert f"{batch} patches a step fit" in lines[-1]


def test_a_device_that_does_not_tell_its_memory_leaves_the_batch(step, tiny_config, monkeypatch):
    monkeypatch.setattr(batching, "device_bytes", lambda: 0)
    lines = []
    assert with_largest_batch(tiny_config, "search", *step, 10, 0, lines.append) == tiny_config
    assert "does not tell" in lines[-1]
