"""The patch sampler: every patch is a true crop, every crop and every symmetry occurs, no picture is favoured."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hinas_jax.data.patches import PAGE, draw_patches, epoch_order, page_starts, sample, to_device
from hinas_jax.data.sources import PictureSet

SIDE = 4
SIZES = [(7, 9), (4, 6), (10, 8)]  # unequal both ways; the second is just as high as a patch
DRAWS = 6000


def all_unique(channels):
    """Pictures of all different pixels, in one counting."""
    pictures, start = [], 0
    for height, width in SIZES:
        levels = np.arange(start, start + height * width, dtype=np.uint8).reshape(height, width, 1)
        pictures.append(np.concatenate([levels + 80 * c for c in range(channels)], axis=-1))
        start += height * width
    assert start < 256
    return PictureSet(tuple("abc"), tuple(pictures))


def symmetries(square):
    """The eight symmetries of a square by NumPy's own turns, numbered."""
    turned = [np.rot90(square, k) for k in range(4)]
    return turned + [t[:, ::-1] for t in turned]


def sample_crops(source, key, indices, side):
    return sample(source, jnp.int32(0), draw_patches(key, indices, source.sizes, side), side)


def every_possible_crop(pictures):
    return {
        crop.tobytes(): (i, y, x, symmetry)
        for i, pixels in enumerate(pictures.pixels)
        for y in range(pixels.shape[0] - SIDE + 1)
        for x in range(pixels.shape[1] - SIDE + 1)
        for symmetry, crop in enumerate(symmetries(pixels[y : y + SIDE, x : x + SIDE]))
    }


@functools.cache
def drawn(channels):
    """(picture, top, left, symmetry) of many patches, found by comparing with all possible crops."""
    pictures = all_unique(channels)
    indices = jnp.arange(DRAWS, dtype=jnp.int32) % len(SIZES)
    crops = jax.jit(sample_crops, static_argnums=3)(to_device(pictures), jax.random.key(0), indices, SIDE)
    assert crops.shape == (DRAWS, SIDE, SIDE, channels)
    levels = np.rint(np.asarray(crops) * 255).astype(np.uint8)
    np.testing.assert_allclose(crops, levels / 255, atol=1e-7)
    known = every_possible_crop(pictures)
    found = [known[crop.tobytes()] for crop in levels]  # a KeyError here is a patch that is no crop
    assert [where[0] for where in found] == indices.tolist()
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_every_patch_is_a_crop_of_its_own_picture_up_to_symmetry(channels):
    assert len(drawn(channels)) == DRAWS


def test_all_places_of_all_pictures_are_drawn_about_equally_often():
    counts = collections.Counter(where[:3] for where in drawn(1))
    for i, (height, width) in enumerate(SIZES):
        places = [(i, y, x) for y in range(height - SIDE + 1) for x in range(width - SIDE + 1)]
        expected = DRAWS / len(SIZES) / len(places)
        assert all(abs(counts[place] - expected) < 5 * np.sqrt(expected) for place in places)


def test_all_eight_symmetries_are_drawn_about_equally_often():
    counts = collections.Counter(where[3] for where in drawn(1))
    assert sorted(counts) == list(range(8))
    assert all(abs(count - DRAWS / 8) < 5 * np.sqrt(DRAWS / 8) for count in counts.values())


def test_the_same_key_draws_the_same_patches():
    source, indices = to_device(all_unique(1)), jnp.arange(3, dtype=jnp.int32)
    one, same, other = (sample_crops(source, jax.random.key(seed), indices, SIDE) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (np.asarray(one) != np.asarray(other)).any()


def test_the_pictures_lie_on_the_device_as_bytes_padded_to_whole_pages_only():
    pixels = sum(h * w for h, w in SIZES)
    for page, pages in ((pixels, 1), (pixels - 1, 2), (10, -(-pixels // 10))):
        source = to_device(all_unique(3), page)
        assert source.buffer.dtype == jnp.uint8
        assert source.buffer.shape == (pages, page, 3)
        assert source.sizes.count == len(SIZES)


@pytest.mark.parametrize("page", [1, 7, 30, 64])
def test_pages_change_no_patch(page):
    """Pictures and rows that straddle pages are cropped like any other."""
    indices = jnp.arange(200, dtype=jnp.int32) % len(SIZES)
    whole, paged = (
        sample_crops(to_device(all_unique(3), size), jax.random.key(0), indices, SIDE) for size in (2**20, page)
    )
    np.testing.assert_array_equal(paged, whole)


def test_places_beyond_what_32_bits_count():
    """DIV2K has about 2.2e9 pixels in W and A."""
    counts = np.full(900, 2040 * 1356, np.int64)
    pages, offsets = page_starts(counts, PAGE)
    assert [int(p) * PAGE + int(o) for p, o in zip(pages, offsets, strict=True)] == [
        i * 2040 * 1356 for i in range(900)
    ]
    assert counts.sum() > 2**31 > pages.max()
    assert 0 <= offsets.min() <= offsets.max() < PAGE


@pytest.mark.parametrize(("pictures", "steps", "batch"), [(7, 7, 2), (7, 3, 2), (3, 5, 4), (1, 2, 3), (5, 1, 5)])
def test_an_epoch_takes_every_picture_equally_often_to_within_one(pictures, steps, batch):
    order = np.asarray(epoch_order(jax.random.key(0), pictures, steps, batch))
    assert order.shape == (steps, batch)
    counts = np.bincount(order.ravel(), minlength=pictures)
    assert len(counts) == pictures
    assert counts.max() - counts.min() <= 1
    for start in range(0, steps * batch - pictures + 1, pictures):  # none comes again before all have come
        assert len(set(order.ravel()[start : start + pictures])) == pictures


def test_every_epoch_and_every_round_of_it_has_its_own_order():
    one, other = (np.asarray(epoch_order(jax.random.key(seed), 50, 2, 50)) for seed in (0, 1))
    assert (one != other).any()
    assert (one[0] != one[1]).any()
    assert (one[0] != np.arange(50)).any()
