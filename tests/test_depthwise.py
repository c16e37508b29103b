"""Depthwise convolutions as sums of shifts against XLA's grouped convolution, value and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import picture, quick_jit

from hinas_jax.space.convolution import DIMENSIONS
from hinas_jax.space.depthwise import depthwise

CHANNELS = 4


def grouped(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel[:, :, None], (1, 1), "SAME", dimension_numbers=DIMENSIONS, feature_group_count=CHANNELS,
        precision="highest",
    )  # fmt: skip


def value_and_gradients(function, x, kernel, gradient):
    def run(x, kernel):
        y, pullback = jax.vjp(function, x, kernel)
        return y, *pullback(gradient.astype(y.dtype))

    return quick_jit(run)(x, kernel)


def example(height, size, dtype="float32"):
    x = jnp.asarray(picture(2, height, 6, CHANNELS) - 0.5, dtype)
    kernel = jnp.asarray(np.random.default_rng(1).uniform(-0.5, 0.5, (size, size, CHANNELS)), jnp.float32)
    gradient = jnp.asarray(picture(2, height, 6, CHANNELS, seed=2) - 0.5, dtype)
    return x, kernel, gradient


@pytest.mark.parametrize("height", [2, 7, 11, 16], ids=lambda height: f"{height}-rows")  # 2, 7, 1, 8 pieces
@pytest.mark.parametrize("size", [1, 3, 5])
def test_value_and_gradients_are_the_grouped_convolutions(size, height):
    x, kernel, gradient = example(height, size)
    found = value_and_gradients(depthwise, x, kernel, gradient)
    expected = value_and_gradients(grouped, x, kernel, gradient)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * float(jnp.abs(other).max()))


def test_in_bfloat16_only_features_are_rounded():
    """Sums are float32: the result is the nearest bfloat16 of it, and the kernel's gradient is not rounded at all."""
    x, kernel, gradient = example(8, 5, "bfloat16")
    y, by_x, by_kernel = value_and_gradients(depthwise, x, kernel, gradient)
    expected = value_and_gradients(grouped, x.astype(jnp.float32), kernel, gradient.astype(jnp.float32))
    assert (y.dtype, by_x.dtype, by_kernel.dtype) == (jnp.bfloat16, jnp.bfloat16, jnp.float32)
    half_a_step = 2**-8
    np.testing.assert_allclose(y.astype(jnp.float32), expected[0], rtol=half_a_step, atol=1e-5)
    np.testing.assert_allclose(by_x.astype(jnp.float32), expected[1], rtol=half_a_step, atol=1e-5)
    np.testing.assert_allclose(by_kernel, expected[2], rtol=0, atol=1e-5 * float(jnp.abs(expected[2]).max()))
