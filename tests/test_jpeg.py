"""JPEG in JAX against Pillow's own round trip, and what any JPEG has."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from PIL import Image
from tiny import quick_jit

from hinas_jax.data.jpeg import compress

compressed = quick_jit(compress)


def round_trip(levels, quality):
    """A picture saved by Pillow, with nothing but the quality asked for, and read again."""
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image)


def psnr(one, other):
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def part(height, width, channels):
    """The upper left of a photograph's middle."""
    levels = skimage.data.astronaut()[100 : 100 + height, 150 : 150 + width]
    return levels if channels == 3 else levels[..., 1]


@pytest.mark.parametrize(("channels", "apart"), [(1, 55), (3, 44)])
@pytest.mark.parametrize("size", [(96, 128), (41, 67)])  # whole blocks, and neither side a multiple of any
def test_equals_pillow_but_for_single_coefficients(size, channels, apart):
    """libjpeg's DCT in whole numbers rounds a few coefficients otherwise; what JPEG loses is the same."""
    levels = part(*size, channels)
    image = jnp.asarray(levels.reshape(*size, channels) / 255, jnp.float32)
    for quality in (5, 10, 30, 49, 50, 75, 90, 100):
        ours = np.asarray(compressed(image, quality)) * 255
        np.testing.assert_allclose(ours, np.rint(ours), atol=1e-3)
        ours = np.rint(ours).astype(np.uint8).reshape(levels.shape)
        theirs = round_trip(levels, quality)
        assert psnr(ours, theirs) > apart, quality
        assert (ours != theirs).mean() < 0.2, quality
        assert psnr(ours, levels) == pytest.approx(psnr(theirs, levels), abs=0.15)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_flat_picture_stays_as_it_is_up_to_rounding(channels):
    image = jnp.full((20, 9, channels), 100 / 255)
    np.testing.assert_allclose(255 * compressed(image, 95), 100, atol=1)


def test_blocks_are_coded_by_themselves():
    """A change in one block of 8 x 8 shows in no other."""
    image = part(32, 32, 1)[..., None].astype(np.float32) / 255
    changed = image.copy()
    changed[8:16, 16:24] = 0
    difference = np.abs(np.asarray(compressed(image, 20)) - np.asarray(compressed(changed, 20)))
    assert difference[8:16, 16:24].max() > 0.1
    difference[8:16, 16:24] = 0
    assert difference.max() == 0


def test_a_batch_under_vmap_with_a_quality_for_each_is_one_by_one():
    images = jnp.stack([jnp.asarray(part(24, 24, 3), jnp.float32) / 255] * 3)
    qualities = jnp.asarray([10.0, 40.0, 90.0])
    together = quick_jit(jax.vmap(compress))(images, qualities)
    for image, quality, result in zip(images, qualities, together, strict=True):
        np.testing.assert_allclose(result, compressed(image, float(quality)), atol=1.5 / 255)
    errors = jnp.mean(jnp.square(together - images), axis=(1, 2, 3))
    assert errors[0] > errors[1] > errors[2]
    np.testing.assert_array_equal(compressed(images, 40.0)[0], compressed(images[0], 40.0))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 2)])
def test_other_channels_are_refused(shape):
    with pytest.raises(ValueError, match="1 channel or 3"):
        compress(jnp.zeros(shape), 50)
