"""Eq. 7 by hand, and finite where the logarithm of the paper is not."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from hinas_jax.losses import SSIM_FLOOR, restoration_loss, ssim_loss
from hinas_jax.metrics import ssim

RNG = np.random.default_rng(0)
PICTURE = RNG.random((2, 16, 15, 1)).astype(np.float32)
BLACK, WHITE, GREY = (np.full_like(PICTURE, level) for level in (0.0, 1.0, 0.5))

HARD = {  # restored, clean
    "negative": (1 - PICTURE, PICTURE),
    "black for white": (BLACK, WHITE),
    "grey for noise": (GREY, PICTURE),
    "black for noise": (BLACK, PICTURE),
    "far out of range": (-40 * PICTURE, PICTURE),
}
EQUAL = {"noise": PICTURE, "black": BLACK, "white": WHITE}


def valid_ssim(restored, clean):
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, values = structural_similarity(
        restored.astype(np.float64), clean.astype(np.float64), channel_axis=-1, full=True, **settings
    )
    return values[5:-5, 5:-5].mean()


value_and_gradient = jax.jit(jax.value_and_grad(restoration_loss))
compiled_loss = jax.jit(restoration_loss, static_argnames=("ssim_weight", "pixel_loss"))


@pytest.mark.parametrize(("channels", "ssim_weight", "pixel_loss"), [(1, 0.6, "l2"), (3, 0.6, "l2"), (1, 1.7, "l1")])
def test_the_loss_is_eq_7_with_the_mean_over_the_batch(channels, ssim_weight, pixel_loss):
    clean = RNG.random((3, 20, 18, channels)).astype(np.float32)
    deviation = np.array([0.02, 0.1, 0.3])[:, None, None, None]  # unequal, so that a log of the mean would show
    restored = (clean + deviation * RNG.normal(size=clean.shape)).astype(np.float32)
    difference = restored.astype(np.float64) - clean
    pixels = np.mean(difference**2 if pixel_loss == "l2" else abs(difference))
    similarity = [valid_ssim(r, c) for r, c in zip(restored, clean, strict=True)]
    expected = pixels + ssim_weight * np.mean([math.log10(1 / s) for s in similarity])
    actual = compiled_loss(restored, clean, ssim_weight=ssim_weight, pixel_loss=pixel_loss)
    assert float(actual) == pytest.approx(expected, rel=1e-4)


def test_the_papers_lambda_and_norm_are_the_defaults():
    restored, clean = PICTURE + 0.1, PICTURE
    expected = compiled_loss(restored, clean, ssim_weight=0.6, pixel_loss="l2")
    assert float(value_and_gradient(restored, clean)[0]) == pytest.approx(float(expected), rel=1e-5)


def test_without_lambda_the_ssim_is_not_computed():
    tiny = PICTURE[:, :3, :3]  # too small for the window
    assert float(restoration_loss(tiny + 0.5, tiny, ssim_weight=0)) == pytest.approx(0.25)
    assert float(restoration_loss(tiny - 0.5, tiny, ssim_weight=0, pixel_loss="l1")) == pytest.approx(0.5)


@pytest.mark.parametrize("name", HARD)
def test_value_and_gradient_stay_finite_and_lead_downhill(name):
    restored, clean = HARD[name]
    loss, gradient = value_and_gradient(restored, clean)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    step = 1e-4 * np.asarray(gradient) / np.linalg.norm(gradient)
    assert value_and_gradient(restored - step, clean)[0] < loss


@pytest.mark.parametrize("name", EQUAL)
def test_equal_pictures_cost_nothing(name):
    loss, gradient = value_and_gradient(EQUAL[name], EQUAL[name])
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert np.abs(gradient).max() < 1e-4


def test_the_hard_cases_reach_below_the_floor():
    assert float(ssim(*HARD["negative"]).max()) < 0
    assert abs(float(ssim(*HARD["black for white"]).max())) < SSIM_FLOOR


@pytest.mark.parametrize("similarity", [1.0, 0.5, 0.0101])
def test_above_the_floor_the_ssim_loss_is_the_papers_logarithm(similarity):
    assert float(ssim_loss(jnp.float32(similarity))) == pytest.approx(math.log10(1 / similarity), rel=1e-5)


@pytest.mark.parametrize("similarity", [0.0, -0.3, -1.0])
def test_below_the_floor_the_ssim_loss_is_the_tangent_there(similarity):
    slope = -1 / (SSIM_FLOOR * math.log(10))
    expected = math.log10(1 / SSIM_FLOOR) + slope * (similarity - SSIM_FLOOR)
    value, gradient = jax.value_and_grad(ssim_loss)(jnp.float32(similarity))
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert float(gradient) == pytest.approx(slope, rel=1e-5)


def test_the_ssim_loss_falls_all_along_without_a_jump():
    similarity = np.linspace(-1, 1, 20_001, dtype=np.float32)
    steps = np.diff(ssim_loss(similarity))
    assert (steps < 0).all()
    assert np.abs(steps).max() < 1.01 * 1e-4 / (SSIM_FLOOR * math.log(10))
