"""Grey and luma against MATLAB's pictures, an independent library, and values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color
from PIL import Image

from hinas_jax.data.colour import luma, to_grey

# BSD68 is 68 pictures of BSDS500 val in the order of their names: its first ten.
BSD68_FIRST = [
    "101085",
    "101087",
    "102061",
    "103070",
    "105025",
    "106024",
    "108005",
    "108070",
    "108082",
    "109053",
]


@pytest.mark.parametrize(("number", "source"), list(enumerate(BSD68_FIRST, start=1)))
def test_grey_equals_the_pictures_of_bsd68_bit_for_bit(number, source, shared_data):
    with Image.open(shared_data / "BSDS500" / "val" / f"{source}.jpg") as picture:
        rgb = np.asarray(picture)
    with Image.open(shared_data / "BSD68_gray_first10" / f"test{number:03}.png") as picture:
        grey = np.asarray(picture)

    result = to_grey(rgb)

    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, grey[..., None])


@pytest.mark.parametrize(
    ("rgb", "grey"),
    [
        ((0, 0, 0), 0),
        ((255, 255, 255), 255),
        ((255, 0, 0), 76),  # 76.22868
        ((0, 255, 0), 150),  # 149.695965
        ((0, 0, 255), 29),  # 29.075355
        ((13, 11, 1), 10),  # 10.457
        ((1, 2, 3), 2),  # 1.815085
    ],
)
def test_grey_of_single_colours(rgb, grey):
    assert to_grey(np.array([[rgb]], np.uint8)).tolist() == [[[grey]]]


def test_grey_keeps_leading_axes():
    rgb = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
    np.testing.assert_array_equal(to_grey(rgb)[1, 2], to_grey(rgb[1, 2]))


def test_luma_by_hand():
    rgb = jnp.asarray([[[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.4, 0.6]]], jnp.float32)
    by_hand = np.array([16, 235, 81.481, 144.553, 40.966, 16 + 13.0962 + 51.4212 + 14.9796]) / 255
    assert luma(rgb).shape == (1, 6, 1)
    np.testing.assert_allclose(luma(rgb)[0, :, 0], by_hand, rtol=1e-6)


def test_luma_equals_skimage(x64):
    rgb = np.random.default_rng(0).random((2, 7, 5, 3))
    expected = skimage.color.rgb2ycbcr(rgb)[..., :1] / 255
    result = luma(jnp.asarray(rgb))
    assert result.dtype == jnp.float64
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-14)


def test_luma_in_8_bits_is_that_of_whole_numbers_bit_for_bit(x64):
    """Y of BT.601 in studio range, rounded, for 140,608 colours, black, white and all primaries among them."""
    levels = np.arange(0, 256, 5)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    parts = rgb @ np.array([65_481, 128_553, 24_966]) + 16 * 255_000  # in 255000ths of a level
    exact, half = (2 * parts + 255_000) // 510_000, 2 * parts % 510_000 == 255_000
    result = np.floor(255 * np.asarray(luma(jnp.asarray(rgb / 255)))[..., 0] + 0.5)
    np.testing.assert_array_equal(result[~half], exact[~half])
    assert half.sum() < 20  # of these, any floating sum falls to either side
    assert (exact.min(), exact.max()) == (16, 235)


def test_luma_under_jit_and_vmap_is_the_same():
    rgb = np.random.default_rng(0).random((3, 6, 5, 3), np.float32)
    for variant in (jax.jit(luma), jax.vmap(luma)):
        np.testing.assert_allclose(variant(rgb), luma(rgb), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: to_grey(np.zeros((2, 2, 3), np.float32)), TypeError, "uint8, not float32"),
        (lambda: to_grey(np.zeros((2, 2, 4), np.uint8)), ValueError, r"R, G and B.*\(2, 2, 4\)"),
        (lambda: luma(np.zeros((2, 2, 3), np.uint8)), TypeError, "floating.*not uint8"),
        (lambda: luma(np.zeros((2, 2, 1), np.float32)), ValueError, r"R, G and B.*\(2, 2, 1\)"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
