"""Cutting and joining lose nothing, and with enough overlap tiles see what the whole picture sees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from hinas_jax.tiling import cut_tiles, join_tiles, tile_starts

SIDES = st.integers(1, 30)


def picture(height, width, channels=1):
    return np.random.default_rng(height * width).random((height, width, channels), np.float32)


@st.composite
def tiles_and_overlaps(draw):
    tile = draw(st.integers(1, 12))
    return tile, draw(st.integers(0, tile - 1))


@given(SIDES, SIDES, tiles_and_overlaps(), st.integers(1, 3), st.sampled_from([1, 3]))
def test_cut_tiles_joined_again_are_the_picture_enlarged_by_any_factor(height, width, tiling, scale, channels):
    tile, overlap = tiling
    clean = picture(height, width, channels)
    tiles = cut_tiles(clean, tile, overlap)
    assert tiles.shape[1:3] == (min(tile, height), min(tile, width))
    enlarged = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    joined = join_tiles(enlarged, height, width, tile, overlap)
    np.testing.assert_array_equal(joined, clean.repeat(scale, axis=0).repeat(scale, axis=1))


@given(SIDES, tiles_and_overlaps())
def test_tiles_cover_the_side_step_evenly_and_end_at_the_border(size, tiling):
    tile, overlap = tiling
    starts = tile_starts(size, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + tile == max(size, tile)
    steps = np.diff(starts)
    assert (steps[:-1] == tile - overlap).all()
    assert (steps > 0).all()
    assert (steps <= tile - overlap).all()


def test_tiles_without_an_overlap_are_adjacent_and_the_last_is_flush():
    assert tile_starts(64, 16) == [0, 16, 32, 48]
    assert tile_starts(70, 16) == [0, 16, 32, 48, 54]
    assert tile_starts(16, 16) == tile_starts(9, 16) == [0]


def test_tiles_go_row_by_row():
    clean = np.arange(16.0, dtype=np.float32).reshape(4, 4, 1)
    np.testing.assert_array_equal(cut_tiles(clean, 2)[:, 0, 0, 0], [0, 2, 8, 10])


def blurred(pixels, radius):
    """A filter that sees ``radius`` pixels to each side, and zeros beyond the border, like a convolution."""
    return uniform_filter(pixels, 2 * radius + 1, mode="constant", axes=(0, 1))


def blurred_by_tiles(clean, tile, overlap, radius):
    tiles = [blurred(part, radius) for part in cut_tiles(clean, tile, overlap)]
    return join_tiles(np.stack(tiles), *clean.shape[:2], tile, overlap)


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize(("height", "width", "tile"), [(37, 29, 11), (24, 24, 12), (9, 40, 13), (8, 8, 16)])
def test_a_local_filter_by_tiles_equals_the_whole_with_an_overlap_of_twice_its_radius(height, width, tile, radius):
    clean = picture(height, width)
    whole = blurred(clean, radius)
    np.testing.assert_allclose(blurred_by_tiles(clean, tile, 2 * radius, radius), whole, atol=1e-6)


def test_without_an_overlap_the_seams_show():
    clean = picture(24, 24)
    assert np.abs(blurred_by_tiles(clean, 12, 0, 2) - blurred(clean, 2)).max() > 0.01


@pytest.mark.parametrize("overlap", [4, 5])
def test_an_overlap_that_leaves_no_step_is_refused(overlap):
    with pytest.raises(ValueError, match=f"tiles of 4 pixels cannot overlap by {overlap}"):
        tile_starts(10, 4, overlap)


def test_tiles_of_another_picture_are_refused():
    tiles = cut_tiles(picture(10, 10), 4)
    with pytest.raises(ValueError, match="zip"):
        join_tiles(tiles, 10, 14, 4)
