"""Streamed patches are those that a set on the device gives, in any order of calls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hinas_jax.data.patches import draw_patches, sample, sizes_of, to_device
from hinas_jax.data.sources import PictureSet
from hinas_jax.data.streaming import PatchStream

SIDE, STEPS, BATCH, CALLS = 5, 3, 4, 6


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    shapes = [(9, 7, 3), (5, 12, 3), (8, 8, 3)]
    return PictureSet(tuple("abc"), tuple(rng.integers(0, 256, shape, np.uint8) for shape in shapes))


@pytest.fixture(scope="module")
def draw(pictures):
    sizes = sizes_of(pictures)

    @jax.jit
    def draws(number):
        def step(place):
            choose, crop = jax.random.split(jax.random.fold_in(jax.random.key(7), number * STEPS + place))
            return draw_patches(crop, jax.random.randint(choose, (BATCH,), 0, 3), sizes, SIDE)

        return jax.vmap(step)(jnp.arange(STEPS))

    return draws


def patches(source, draws):
    steps = [jax.tree.map(lambda leaf, s=step: leaf[s], draws) for step in range(STEPS)]
    return np.stack([sample(source, jnp.int32(number), step, SIDE) for number, step in enumerate(steps)])


@pytest.mark.parametrize("order", [range(CALLS), (4, 5), (2, 3, 0, 1, 1, 5)])
def test_every_call_has_the_patches_of_a_set_on_the_device(pictures, draw, order):
    stream, resident = PatchStream(pictures, draw, SIDE, CALLS), to_device(pictures)
    for number in order:
        np.testing.assert_array_equal(
            patches(stream.call(number), draw(number)), patches(resident, draw(number)), err_msg=str(number)
        )


def test_the_calls_end(pictures, draw):
    stream = PatchStream(pictures, draw, SIDE, CALLS)
    stream.call(CALLS - 1)
    with pytest.raises(StopIteration):
        stream.call(CALLS)
