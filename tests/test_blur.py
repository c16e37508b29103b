"""Gaussian blur against SciPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hinas_jax.data.blur import gaussian_blur


@pytest.mark.parametrize(("sigma", "radius"), [(0.4, 3), (1.6, 5), (2.5, 8)])
def test_equals_scipys_with_the_same_radius(sigma, radius, x64):
    image = np.random.default_rng(0).random((13, 17, 3))
    expected = gaussian_filter(image, (sigma, sigma, 0), mode="reflect", radius=(radius, radius, 0))
    np.testing.assert_allclose(gaussian_blur(jnp.asarray(image), sigma, radius), expected, atol=1e-12)
    traced = jax.jit(jax.vmap(lambda s: gaussian_blur(jnp.asarray(image), s, radius)))(jnp.asarray([sigma]))
    np.testing.assert_allclose(traced[0], expected, atol=1e-12)


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match="height, a width and channels"):
        gaussian_blur(jnp.zeros((3, 3)), 1.0, 2)
