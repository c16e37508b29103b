"""PSNR and SSIM against scikit-image, run plain, under jit and under vmap."""

import jax
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hinas_jax.metrics import psnr, ssim

SHAPES = [(11, 11, 1), (11, 30, 3), (40, 33, 1)]
WINDOW_RADIUS = 5
VARIANTS = {"plain": lambda f: f, "jit": jax.jit, "vmap": lambda f: jax.jit(jax.vmap(f))}


def pair(shape, batch=3, seed=0):
    """Clean pictures and noisy ones; each of the batch noisier than the one before."""
    rng = np.random.default_rng(seed)
    clean = rng.random((batch, *shape))
    clean = (clean + np.roll(clean, 1, axis=1) + np.roll(clean, 1, axis=2)) / 3
    noise = rng.normal(0, 1, clean.shape) * 0.05 * np.arange(1, batch + 1)[:, None, None, None]
    return (clean + noise).astype(np.float32), clean.astype(np.float32)


def reference_ssim(restored, clean):
    """SSIM of Wang et al. over the positions where the whole 11 x 11 window lies inside."""
    restored, clean = np.asarray(restored, np.float64), np.asarray(clean, np.float64)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, values = structural_similarity(restored, clean, channel_axis=-1, full=True, **settings)
    r = WINDOW_RADIUS
    return values[r : values.shape[0] - r, r : values.shape[1] - r].mean()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_psnr_is_that_of_scikit_image(shape, variant):
    restored, clean = pair(shape)
    expected = [peak_signal_noise_ratio(c, r, data_range=1.0) for r, c in zip(restored, clean, strict=True)]
    np.testing.assert_allclose(VARIANTS[variant](psnr)(restored, clean), expected, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_is_that_of_scikit_image_over_valid_positions(shape, variant):
    restored, clean = pair(shape)
    expected = [reference_ssim(r, c) for r, c in zip(restored, clean, strict=True)]
    np.testing.assert_allclose(VARIANTS[variant](ssim)(restored, clean), expected, atol=2e-5)


def test_one_picture_alone_gives_one_number():
    restored, clean = pair((11, 11, 1), batch=1)
    assert psnr(restored[0], clean[0]) == pytest.approx(float(psnr(restored, clean)[0]))
    assert ssim(restored[0], clean[0]) == pytest.approx(float(ssim(restored, clean)[0]), abs=1e-6)
    assert psnr(restored[0], clean[0]).shape == ssim(restored[0], clean[0]).shape == ()


def test_equal_pictures_score_infinity_and_one():
    _, clean = pair((11, 30, 3))
    np.testing.assert_array_equal(psnr(clean, clean), np.full(3, np.inf))
    np.testing.assert_allclose(ssim(clean, clean), 1, atol=1e-6)


def test_a_tenth_of_the_range_everywhere_is_20_db():
    clean = np.full((2, 12, 12, 1), 0.5, np.float32)
    np.testing.assert_allclose(psnr(clean + 0.1, clean), 20, rtol=1e-5)


def test_a_negative_has_a_negative_ssim():
    _, clean = pair((11, 11, 1))
    assert (np.asarray(ssim(1 - clean, clean)) < -0.5).all()
