"""Tasks: the noise is what its sigma says, and a reduced crop is a crop of the reduced picture."""

import dataclasses
import io
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from PIL import Image

from hinas_jax.architecture import Architecture, ArchitectureError, CellArchitecture, Edge
from hinas_jax.config import TaskConfig
from hinas_jax.data import bicubic
from hinas_jax.data.patches import draw_patches, sample, to_device
from hinas_jax.data.sources import PictureSet
from hinas_jax.tasks import (
    TASKS,
    Deblock,
    Deblur,
    Denoise,
    Paired,
    SuperResolve,
    TaskName,
    build_task,
    crop_side,
    degrade_crops,
    restore,
    task_of,
)

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


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
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
    assert task_of(Architecture(**common), {"sigmas": (30.0,)}) == Denoise((30.0,), 1, residual)
    architecture = Architecture(**common, task="super_resolve", scale=3, channels=3)
    assert task_of(architecture) == SuperResolve(3, 3, residual)


# --- what is drawn of several strengths


def test_of_a_range_any_sigma_between_its_ends_is_drawn():
    clean = jnp.full((48, 48, 1), 0.5)
    task = Denoise((10.0, 50.0), draw="range")
    noise = jax.jit(jax.vmap(lambda key: task.degrade(key, clean)))(jax.random.split(jax.random.key(0), 400)) - clean
    deviations = 255 * np.asarray(noise).std(axis=(1, 2, 3))
    assert deviations.min() > 9.5 and deviations.max() < 52
    counts, _ = np.histogram(deviations, 4, (10, 50))
    assert (abs(counts - 100) < 5 * np.sqrt(400 * 3 / 16)).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Denoise(()), "sigmas"),
        (lambda: Denoise((256.0,)), "sigmas"),
        (lambda: Denoise((5.0, 5.0), draw="range"), "sigmas must name both ends"),
        (lambda: Deblock((0,)), "qualities"),
        (lambda: Deblock((10.5,)), "qualities"),
        (lambda: Deblur((0.0,)), "blurs"),
        (lambda: SuperResolve(6), "scale"),
        (lambda: Denoise().at(-1), "sigmas"),
        (lambda: Paired().at(1), "paired has no strength"),
        (lambda: Paired().degrade(None, None), "give pairs"),
        (lambda: build_task("inpaint", {}), "'inpaint' is not one of denoise"),
    ],
)
def test_a_wrong_strength_is_refused_by_its_name(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()


@pytest.mark.parametrize("task", [Denoise(), SuperResolve(3), Deblock(), Deblur((1.0, 2.0))])
def test_a_task_at_one_of_its_strengths_has_that_one_only(task):
    for strength in task.strengths:
        assert task.at(strength).strengths == (strength,)
        assert type(task.at(strength)) is type(task)


def test_every_task_has_its_name_and_the_config_all_their_fields():
    assert tuple(TASKS) == get_args(TaskName)
    known = {field.name for field in dataclasses.fields(TaskConfig)}
    for name, kind in TASKS.items():
        assert kind.name == name
        assert {field.name for field in dataclasses.fields(kind)} <= known


# --- further tasks


@pytest.mark.parametrize("channels", [1, 3])
def test_deblocking_sees_pictures_as_pillow_leaves_them(channels):
    levels = np.asarray(skimage.data.astronaut()[100:164, 150:214, :channels])
    file = io.BytesIO()
    Image.fromarray(levels.squeeze()).save(file, "JPEG", quality=20)
    decoded = np.asarray(Image.open(file)).reshape(levels.shape) / 255
    degraded, clean = take_patches(Deblock((20,), channels), jax.random.key(0), levels[None] / np.float32(255))
    assert -10 * np.log10(np.mean((degraded[0] - decoded) ** 2)) > 44  # about 29 from the clean picture
    np.testing.assert_array_equal(clean[0], levels / np.float32(255))


def test_deblurred_crops_are_crops_of_the_blurred_picture():
    task, patch = Deblur((1.2,)), 6
    whole = picture(40, 36, 3)
    blurred = task.degrade(jax.random.key(0), whole)
    levels = np.asarray(blurred) * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)
    side = crop_side(task, patch)
    assert (task.margin, side) == (4, 14)
    degraded, clean = take_patches(task, jax.random.key(0), whole[None, 5 : 5 + side, 7 : 7 + side])
    inner = (slice(9, 9 + patch), slice(11, 11 + patch))
    np.testing.assert_allclose(degraded[0], blurred[inner], atol=1e-6)
    np.testing.assert_array_equal(clean[0], whole[inner])


def test_the_two_pictures_of_a_pair_are_cropped_and_turned_together():
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 120, (30, 33, 3), np.uint8)
    pictures = PictureSet(("a",), (np.concatenate([clean, 2 * clean + 1], axis=-1),))
    source = to_device(pictures)
    crops = sample(source, 0, draw_patches(jax.random.key(0), jnp.zeros(8, jnp.int32), source.sizes, 9), 9)
    degraded, clean_crops = take_patches(Paired(), jax.random.key(1), crops)
    assert degraded.shape == clean_crops.shape == (8, 9, 9, 3)
    np.testing.assert_allclose(degraded, 2 * clean_crops + 1 / 255, atol=1e-6)
    assert len({crop.tobytes() for crop in np.asarray(clean_crops)}) == 8


@pytest.mark.parametrize("task", ["Deblock", "deblock2", "inpaint"])
def test_the_task_of_an_architecture_must_exist(task):
    cells = (CellArchitecture(((Edge(0, "skip"),),)),)
    with pytest.raises(ArchitectureError, match="task"):
        task_of(Architecture(cells, (0,), 2, (1,), task=task))


@pytest.mark.parametrize(("task", "scale"), [("denoise", 2), ("super_resolve", 1), ("super_resolve", 5), ("paired", 2)])
def test_the_task_of_an_architecture_must_go_with_its_scale(task, scale):
    cells = (CellArchitecture(((Edge(0, "skip"),),)),)
    with pytest.raises(ArchitectureError, match="scale"):
        task_of(Architecture(cells, (0,), 2, (1,), task=task, scale=scale))
