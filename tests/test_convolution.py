"""The gradient by the kernel that CPUs compute against XLA's own, and where which one is used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import picture

from hinas_jax.space import convolution
from hinas_jax.space.convolution import FEWEST_CHANNELS_OF_TAPS, convolve, kernel_gradient_by_taps


def reference(x, kernel, gradient, dilation):
    """Correlate by hand, in float64: every tap sees the picture shifted by its place, zero outside."""
    size, margin = kernel.shape[0], dilation * (kernel.shape[0] // 2)
    padded = np.pad(np.float64(x), ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    height, width = x.shape[1:3]
    result = np.zeros(kernel.shape)
    for i in range(size):
        for j in range(size):
            seen = padded[:, i * dilation : i * dilation + height, j * dilation : j * dilation + width]
            result[i, j] = np.einsum("bhwc,bhwo->co", seen, np.float64(gradient))
    return result


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_the_gradient_by_taps_is_the_correlation_of_picture_and_gradient(size, dilation):
    x, gradient = picture(2, 9, 6, 3) - 0.5, picture(2, 9, 6, 4, seed=1) - 0.5
    taps = kernel_gradient_by_taps(jnp.asarray(x), jnp.asarray(gradient), size=size, dilation=dilation)
    np.testing.assert_allclose(taps, reference(x, np.zeros((size, size, 3, 4)), gradient, dilation), atol=1e-5)


@pytest.mark.parametrize("channels", [FEWEST_CHANNELS_OF_TAPS - 1, FEWEST_CHANNELS_OF_TAPS])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_both_gradients_of_a_convolution_are_xlas(channels, dtype):
    x = jnp.asarray(picture(2, 8, 7, channels) - 0.5, dtype)
    kernel = jnp.asarray(picture(3, 3, channels, 5, seed=1) - 0.5)
    gradient = jnp.asarray(picture(2, 8, 7, 5, seed=2) - 0.5, dtype)
    plain = jax.vjp(lambda x, kernel: convolution._convolve(x, kernel, 2), x, kernel)[1](gradient)
    ours = jax.vjp(lambda x, kernel: convolve(x, kernel, 2), x, kernel)[1](gradient)
    for one, other in zip(ours, plain, strict=True):
        assert one.dtype == other.dtype
        # bfloat16: XLA rounds the sums of its own form to 8 bits, ours are float32
        np.testing.assert_allclose(np.float32(one), np.float32(other), **tolerance(dtype))


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 2e-2, "atol": 2e-2}


def test_depthwise_kernels_have_gradients_too():
    x, kernel = picture(1, 6, 6, 32), picture(3, 3, 1, 32, seed=1)
    ours = jax.grad(lambda kernel: (convolve(x, kernel, 1) ** 2).sum())(kernel)
    plain = jax.grad(lambda kernel: (convolution._convolve(x, kernel, 1) ** 2).sum())(kernel)
    np.testing.assert_allclose(ours, plain, rtol=1e-5)


@pytest.mark.parametrize(("platform", "convolutions"), [("cpu", 1), ("cuda", 2), ("tpu", 2)])
def test_only_cpus_take_the_gradient_by_taps(platform, convolutions):
    x, kernel = picture(1, 8, 8, 16), picture(3, 3, 16, 16, seed=1)
    gradient = jax.jit(jax.grad(lambda x, kernel: (convolve(x, kernel, 1) ** 2).sum(), 1))
    module = jax.export.export(gradient, platforms=[platform])(x, kernel).mlir_module()
    assert module.count("stablehlo.convolution") == convolutions
