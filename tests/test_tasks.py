"""Tasks: the noise is what its sigma says, and a reduced crop is a crop of the reduced picture."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.data import bicubic
from hinas_jax.tasks import Denoise, SuperResolve, crop_side, degrade_crops, restore, task_of

SIGMAS = (30.0, 50.0, 70.0)


reduce_by = jax.jit(bicubic.downsample, static_argnums=1)
take_patches = jax.jit(degrade_crops, static_argnums=0)


def picture(*shape, seed=0):
    """Random 8-bit levels as floats in [0, 1]."""
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, shape) / 255, jnp.float32)


@pytest.fixture(scope="module")
def noise_of_many():
    """The noise of 600 pictures of 32 x 32, one of three sigmas for each."""
    clean = jnp.full((32, 32, 1), 0.5)
    degrade = jax.jit(jax.vmap(lambda key: Denoise(SIGMAS).degrade(key, clean)))
    return np.asarray(degrade(jax.random.split(jax.random.key(1), 600)) - clean)


# --- denoising


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_noise_has_mean_zero_and_the_deviation_asked_for_and_is_not_clipped(sigma, level):
    clean = jnp.full((200, 200, 1), level)
    noise = np.asarray(Denoise((sigma,)).degrade(jax.random.key(0), clean) - clean, np.float64)
    assert noise.std() == pytest.approx(sigma / 255, rel=0.015)
    assert abs(noise.mean()) < 4 * sigma / 255 / 200
    assert (noise < 0).mean() == pytest.approx(0.5, abs=0.01)


def test_of_several_sigmas_one_is_drawn_for_each_picture_and_all_occur_as_often(noise_of_many):
    deviations = 255 * noise_of_many.std(axis=(1, 2, 3))
    nearest = np.abs(deviations[:, None] - SIGMAS).argmin(axis=1)
    np.testing.assert_allclose(deviations, np.asarray(SIGMAS)[nearest], rtol=0.1)
    counts = np.bincount(nearest, minlength=3)
    assert (abs(counts - 200) < 5 * np.sqrt(600 * 2 / 9)).all()


def test_pictures_and_pixels_do_not_share_noise(noise_of_many):
    one, other = noise_of_many[0].ravel(), noise_of_many[1].ravel()
    for a, b in ((one, other), (one[:-1], one[1:]), (one[:-32], one[32:])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(len(a))


def test_the_same_key_gives_the_same_noise_and_another_key_other_noise():
    clean, task = picture(16, 16, 1), Denoise(SIGMAS)
    one, same, other = (task.degrade(jax.random.key(seed), clean) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (np.asarray(one) != np.asarray(other)).all()


def test_denoising_takes_crops_without_a_margin():
    crops = picture(4, 12, 12, 1)
    degraded, clean = take_patches(Denoise((50.0,)), jax.random.key(0), crops)
    assert crop_side(Denoise(), 12) == 12
    np.testing.assert_array_equal(clean, crops)
    noise = np.asarray(degraded - crops)
    assert (noise[0] != noise[1]).all()  # each by itself


# --- super-resolution


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_reduced_crops_are_crops_of_the_reduced_picture(scale):
    task, patch = SuperResolve(scale), 6
    side = crop_side(task, patch)
    whole = picture(side + 5 * scale, side + 4 * scale, 3, seed=scale)
    reduced = reduce_by(whole, scale)
    corners = [(0, 0), (1, 2), (5, 4)]  # in degraded pixels
    crops = jnp.stack([whole[y * scale :, x * scale :][:side, :side] for y, x in corners])
    degraded, clean = take_patches(task, jax.random.key(0), crops)
    assert degraded.shape == (3, patch, patch, 3)
    assert clean.shape == (3, patch * scale, patch * scale, 3)
    for i, (y, x) in enumerate(corners):
        top, left = y + task.margin, x + task.margin
        np.testing.assert_allclose(degraded[i], reduced[top:, left:][:patch, :patch], atol=1e-6)
        np.testing.assert_array_equal(clean[i], whole[top * scale :, left * scale :][: patch * scale, : patch * scale])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_one_margin_pixel_less_would_not_do(scale):
    whole = picture(10 * scale, 10 * scale, 1)
    cut = reduce_by(whole[4 * scale :, 4 * scale :], scale)
    difference = np.abs(cut - reduce_by(whole, scale)[4:, 4:])
    assert difference[1].max() > 1e-3
    assert difference[SuperResolve.margin :, SuperResolve.margin :].max() < 1e-6


def test_reducing_ignores_the_key():
    crops, task = picture(1, 24, 24, 3), SuperResolve(2)
    one, other = (take_patches(task, jax.random.key(seed), crops)[0] for seed in (0, 1))
    np.testing.assert_array_equal(one, other)


# --- skip and residual


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize(("task", "scale"), [(Denoise(), 1), (SuperResolve(2), 2), (SuperResolve(3), 3)])
def test_the_skip_has_the_clean_size(task, scale, batch):
    degraded = picture(*batch, 8, 9, task.channels)
    assert task.skip(degraded).shape == (*batch, 8 * scale, 9 * scale, task.channels)


@pytest.mark.parametrize("task", [Denoise(), SuperResolve(2)])
def test_residual_learning_adds_the_skip_and_else_the_output_stands_alone(task):
    degraded = picture(1, 8, 8, task.channels)
    output = picture(1, 8 * task.scale, 8 * task.scale, task.channels, seed=1)
    skip = degraded if task.scale == 1 else bicubic.upsample(degraded, task.scale)
    np.testing.assert_array_equal(restore(task, output, degraded), output + skip)
    alone = dataclasses.replace(task, residual=False)
    np.testing.assert_array_equal(restore(alone, output, degraded), output)


@pytest.mark.parametrize("residual", [True, False])
def test_the_task_of_an_architecture(residual):
    cells = (CellArchitecture(((Edge(0, "skip"),),)),)
    common = {"cells": cells, "levels": (0,), "base_width": 2, "width_factors": (1,), "residual": residual}
    assert task_of(Architecture(**common), (30.0,)) == Denoise((30.0,), 1, residual)
    architecture = Architecture(**common, task="super_resolve", scale=3, channels=3)
    assert task_of(architecture) == SuperResolve(3, 3, residual)
