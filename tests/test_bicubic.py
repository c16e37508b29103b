"""MATLAB's answers for ``imresize``, and the properties that any resize has."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
from jax import export
from PIL import Image

from hinas_jax.data.bicubic import downsample, resize, upsample


def sequence(size):
    return np.arange(size * size, dtype=np.float64).reshape(size, size)


def sparse(values):
    image = np.zeros((4, 4))
    for position, value in values.items():
        image[position] = value
    return image


TOP_LEFT = sparse({(0, 0): 100, (1, 0): 10, (0, 1): 1, (0, 3): 100})
BOTTOM_RIGHT = sparse({(3, 3): 100, (2, 3): 10, (3, 2): 1, (3, 0): 100})

# name of MATLAB's answer: input, output size
MATLAB_CASES = {
    "down_down_small_aa": (sequence(4), (3, 3)),
    "down_down_small_noaa": (sequence(4), (3, 3)),
    "down_down_aa": (sequence(8), (3, 4)),
    "down_down_noaa": (sequence(8), (3, 4)),
    "down_down_irregular_aa": (sequence(8), (5, 7)),
    "down_down_irregular_noaa": (sequence(8), (5, 7)),
    "down_down_x2_aa": (sequence(8), (4, 4)),
    "down_down_x3_aa": (sequence(15), (5, 5)),
    "down_down_x4_aa": (sequence(8), (2, 2)),
    "down_down_x5_aa": (sequence(15), (3, 3)),
    "up_up_irregular_aa": (sequence(8), (11, 13)),
    "up_up_irregular_noaa": (sequence(8), (11, 13)),
    "up_up_topleft_noaa": (TOP_LEFT, (5, 5)),
    "up_up_bottomright_noaa": (BOTTOM_RIGHT, (5, 5)),
    "down_down_butterfly_irregular_aa": (None, (123, 234)),
    "down_down_butterfly_irregular_noaa": (None, (123, 234)),
}

SET5 = ("baby", "bird", "butterfly", "head", "woman")


def read_levels(path: Path):
    """The uint8 levels of a PNG, as height, width, channel."""
    with Image.open(path) as picture:
        levels = np.asarray(picture)
    return levels if levels.ndim == 3 else levels[..., None]


def cropped(levels, scale):
    height, width = (size - size % scale for size in levels.shape[:2])
    return levels[:height, :width]


def as_image(levels, dtype=np.float32):
    return jnp.asarray(levels, dtype) / dtype(255)


def as_levels(image):
    """The uint8 levels of an image, which must hold nothing between two levels."""
    levels = np.asarray(image, np.float64) * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    return np.rint(levels).astype(np.uint8)


def random_image(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).random(shape).astype(dtype)


def random_levels_image(*shape, seed=0):
    return as_image(np.random.default_rng(seed).integers(0, 256, shape))


@pytest.mark.parametrize("name", MATLAB_CASES)
def test_equals_the_answer_of_matlab(name, shared_data, x64):
    image, out_size = MATLAB_CASES[name]
    answer = scipy.io.loadmat(shared_data / "matlab_imresize" / f"{name}.mat")[name]
    if image is None:
        image = read_levels(shared_data / "matlab_imresize" / "example" / "butterfly.png") / 255.0
    image = np.atleast_3d(image)

    def resized(image):
        return resize(image, *out_size, antialias=name.endswith("_aa"))

    for result in (resized(jnp.asarray(image)), jax.jit(resized)(image)):
        assert result.dtype == jnp.float64
        np.testing.assert_allclose(result, np.atleast_3d(answer), rtol=0, atol=1e-12)


def test_every_answer_of_matlab_is_tested(shared_data):
    assert {path.stem for path in (shared_data / "matlab_imresize").glob("*.mat")} == set(MATLAB_CASES)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", SET5)
def test_downsample_makes_the_pictures_of_set5_bit_for_bit(name, scale, shared_data):
    high = cropped(read_levels(shared_data / "Set5" / "HR" / f"{name}.png"), scale)
    low = read_levels(shared_data / "Set5" / "LR_bicubic" / f"X{scale}" / f"{name}x{scale}.png")

    np.testing.assert_array_equal(as_levels(downsample(as_image(high), scale)), low)


def test_the_pictures_of_set5_at_an_eighth_were_rounded_once(shared_data):
    """Unlike those at a half, a third and a quarter: they were made of floats, and only the result is of 8 bits."""
    for name in SET5:
        high = as_image(cropped(read_levels(shared_data / "Set5" / "HR" / f"{name}.png"), 8))
        low = read_levels(shared_data / "Set5" / "LR_bicubic" / "X8" / f"{name}x8.png")
        levels = 255 * np.asarray(resize(high, *low.shape[:2], scale=1 / 8))
        np.testing.assert_array_equal(np.floor(levels.clip(0, 255) + 0.5), low)
        assert np.abs(as_levels(downsample(high, 8)).astype(int) - low).max() <= 2


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downsample_makes_the_pictures_of_set14_bit_for_bit(scale, shared_data):
    folder = shared_data / "Set14"
    names = [line.split() for line in (folder / "hr_map.tsv").read_text().splitlines()[1:]]
    assert len(names) == 14
    for number, high_file in names:
        high = cropped(read_levels(shared_data / high_file), scale)
        low = read_levels(folder / f"image_SRF_{scale}" / f"{number}_SRF_{scale}_LR.png")
        result = downsample(as_image(high), scale, border="replicate")
        np.testing.assert_array_equal(as_levels(result), low, err_msg=high_file)


def test_downsample_is_exact_in_float64_too(shared_data, x64):
    high = cropped(read_levels(shared_data / "Set5" / "HR" / "woman.png"), 3)
    low = read_levels(shared_data / "Set5" / "LR_bicubic" / "X3" / "womanx3.png")
    np.testing.assert_array_equal(as_levels(downsample(as_image(high, np.float64), 3)), low)


def test_downsample_takes_the_kernel_from_the_scale_when_sizes_do_not_divide():
    image = random_levels_image(50, 31, 1)
    low = downsample(image, 4)
    assert low.shape == (13, 8, 1)
    # Far from the cut-off border the pictures of the cropped image are the same.
    np.testing.assert_array_equal(low[:9, :5], downsample(image[:48, :28], 4)[:9, :5])


def test_quantising_rounds_after_the_first_pass_too():
    image = random_levels_image(12, 12, 1)
    rows_only = resize(image, 6, 12, quantise=True)
    np.testing.assert_array_equal(resize(rows_only, 6, 6, quantise=True), resize(image, 6, 6, quantise=True))
    assert np.any(as_levels(resize(image, 6, 6, quantise=True)) != np.rint(resize(image, 6, 6) * 255))


def test_quantising_starts_with_the_axis_that_shrinks_most():
    image = random_levels_image(24, 24, 3)
    columns_first = resize(resize(image, 24, 6, quantise=True), 12, 6, quantise=True)
    rows_first = resize(resize(image, 12, 24, quantise=True), 12, 6, quantise=True)
    assert np.any(rows_first != columns_first)
    np.testing.assert_array_equal(resize(image, 12, 6, quantise=True), columns_first)
    np.testing.assert_array_equal(resize(image.swapaxes(0, 1), 6, 12, quantise=True), columns_first.swapaxes(0, 1))


def test_quantised_overshoot_is_clipped():
    edge = jnp.zeros((8, 8, 1)).at[:, 4:].set(1.0)
    plain = resize(edge, 16, 16)
    assert plain.min() < 0 and plain.max() > 1
    quantised = resize(edge, 16, 16, quantise=True)
    assert quantised.min() == 0 and quantised.max() == 1


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
@pytest.mark.parametrize("out_size", [(3, 5), (40, 33), (7, 20)])
def test_a_constant_image_stays_constant(out_size, border):
    result = resize(jnp.full((12, 11, 3), 0.3), *out_size, border=border)
    np.testing.assert_allclose(result, np.full((*out_size, 3), 0.3), rtol=1e-6)


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
def test_resizing_to_the_own_size_changes_nothing(border):
    image = random_image(2, 9, 7, 3)
    np.testing.assert_array_equal(resize(image, 9, 7, border=border), image)
    np.testing.assert_array_equal(upsample(image, 1), image)


@pytest.mark.parametrize("height", [1, 2, 3])
def test_borders_wrap_where_the_kernel_is_wider_than_the_image(height, x64):
    """An image narrower than the kernel resizes like a part of what its border says lies around it."""
    image = random_image(height, 8, 1, dtype=np.float64)
    for border, mode in (("symmetric", "symmetric"), ("replicate", "edge")):
        around = np.pad(image, ((8 * height, 8 * height), (0, 0), (0, 0)), mode=mode)
        expected = resize(
            around,
            17 * height * 2,
            8,
        )[16 * height : 18 * height]
        np.testing.assert_allclose(resize(image, 2 * height, 8, border=border), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 6)])
def test_upsample_equals_resize(size, scale, x64):
    image = random_image(2, *size, 3, dtype=np.float64)
    result = upsample(image, scale)
    assert result.dtype == jnp.float64
    expected = resize(image, size[0] * scale, size[1] * scale, scale=scale)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13)


FUNCTIONS = {
    "resize": lambda image: resize(image, 5, 13),
    "quantised": lambda image: resize(image, 5, 13, quantise=True),
    "downsample": lambda image: downsample(image, 3),
    "upsample": lambda image: upsample(image, 3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_plain_batched_jitted_and_mapped_agree(name):
    function = FUNCTIONS[name]
    images = random_levels_image(4, 9, 10, 3)
    one_by_one = np.stack([function(image) for image in images])
    assert one_by_one.dtype == np.float32
    for variant in (function, jax.jit(function), jax.vmap(function), jax.jit(jax.vmap(function))):
        np.testing.assert_allclose(variant(images), one_by_one, rtol=0, atol=5e-7)


def test_no_product_is_left_to_the_default_precision():
    """On a CPU the default is full precision, so the result would not tell."""
    image = random_image(8, 8, 3)
    products = str(jax.make_jaxpr(lambda image: resize(image, 4, 4))(image))
    assert products.count("dot_general[") == products.count("(Precision.HIGHEST, Precision.HIGHEST)") == 2
    assert "dot_general" not in str(jax.make_jaxpr(lambda image: upsample(image, 2))(image))


@pytest.mark.parametrize("scale", [2, 3])
def test_the_gradient_of_upsample_is_the_transposed_map(scale, x64):
    shape = (3, 4, 1)
    size = int(np.prod(shape))
    columns = [upsample(unit.reshape(shape), scale).ravel() for unit in np.eye(size)]
    weights = random_image(shape[0] * scale, shape[1] * scale, 1, dtype=np.float64)

    gradient = jax.grad(lambda image: jnp.sum(weights * upsample(image, scale)))(jnp.ones(shape))

    np.testing.assert_allclose(gradient.ravel(), np.stack(columns) @ weights.ravel(), atol=1e-12)


def test_upsample_traces_with_symbolic_sizes():
    height, width = export.symbolic_shape("h, w", constraints=["h >= 2", "w >= 2"])
    any_size = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    exported = export.export(jax.jit(lambda image: upsample(image, 2)))(any_size)
    for size in itertools.product((2, 5), (3, 7)):
        image = random_image(1, *size, 3)
        np.testing.assert_allclose(exported.call(image), upsample(image, 2), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: resize(np.zeros((4, 4, 1), np.uint8), 2, 2), TypeError, "floating, not uint8"),
        (lambda: downsample(np.zeros((4, 4, 1), np.uint8), 2), TypeError, "floating, not uint8"),
        (lambda: upsample(np.zeros((4, 4, 1), np.uint8), 2), TypeError, "floating, not uint8"),
        (lambda: resize(np.zeros((4, 4)), 2, 2), ValueError, "channels"),
        (lambda: resize(np.zeros((0, 4, 1)), 2, 2), ValueError, "channels"),
        (lambda: resize(np.zeros((4, 4, 1)), 0, 2), ValueError, "at least one pixel, not 0 x 2"),
        (lambda: resize(np.zeros((4, 4, 1)), 2, -1), ValueError, "at least one pixel, not 2 x -1"),
        (lambda: resize(np.zeros((4, 4, 1)), 2, 2, scale=0), ValueError, "positive number, not 0"),
        (lambda: resize(np.zeros((4, 4, 1)), 2, 2, scale=np.nan), ValueError, "positive number, not nan"),
        (lambda: resize(np.zeros((4, 4, 1)), 2, 2, border="wrap"), ValueError, "not 'wrap'"),
        (lambda: downsample(np.zeros((4, 4, 1)), 0), ValueError, "1 or more, not 0"),
        (lambda: upsample(np.zeros((4, 4, 1)), -2), ValueError, "1 or more, not -2"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
