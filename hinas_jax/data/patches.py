"""The on-device patch sampler: a data set as one uint8 buffer, crops and augmentation inside the jitted step.

Pictures of any sizes lie one after another in one buffer, so nothing is padded and nothing leaves the device. A data
set may hold more pixels than the 32-bit indices of a device can count (DIV2K: 2.2e9), so the buffer is cut into pages
and a pixel's place is (page, place in the page).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32, Int64, PRNGKeyArray, Shaped, UInt8

from hinas_jax.data.sources import PictureSet

PAGE: Final = 2**20  #: pixels of a page; only the last one is padded


@struct.dataclass
class PatchSource:
    """A picture set on the device.

    Attributes:
        buffer: all pixels, picture after picture, row after row.
        pages: the page in which each picture starts.
        offsets: where in that page.
        heights: in pixels.
        widths: in pixels.
    """

    buffer: UInt8[Array, "page pixel channel"]
    pages: Int32[Array, " picture"]
    offsets: Int32[Array, " picture"]
    heights: Int32[Array, " picture"]
    widths: Int32[Array, " picture"]

    @property
    def count(self) -> int:
        """How many pictures."""
        return int(self.pages.shape[0])


def to_device(
    pictures: PictureSet, page: int = PAGE, put: Callable[[Shaped[np.ndarray, "..."]], Array] = jnp.asarray
) -> PatchSource:
    """Lay the pictures out as one buffer of pages of ``page`` pixels; ``put`` lays arrays on the devices."""
    sizes = np.array([pixels.shape[:2] for pixels in pictures.pixels], np.int64)
    pages, offsets = page_starts(sizes.prod(axis=1), page)
    total = int(sizes.prod(axis=1).sum())
    buffer = np.zeros((-(-total // page), page, pictures.pixels[0].shape[-1]), np.uint8)
    flat = buffer.reshape(-1, buffer.shape[-1])
    start = 0
    for pixels in pictures.pixels:
        count = pixels.shape[0] * pixels.shape[1]
        flat[start : start + count] = pixels.reshape(count, -1)
        start += count
    return PatchSource(
        buffer=put(buffer),
        pages=put(pages.astype(np.int32)),
        offsets=put(offsets.astype(np.int32)),
        heights=put(sizes[:, 0].astype(np.int32)),
        widths=put(sizes[:, 1].astype(np.int32)),
    )


def page_starts(
    counts: Int64[np.ndarray, " picture"], page: int
) -> tuple[Int64[np.ndarray, " picture"], Int64[np.ndarray, " picture"]]:
    """Page and place in it at which each picture starts, of pictures of ``counts`` pixels one after another."""
    return np.divmod(np.concatenate([[0], np.cumsum(counts)[:-1]]), page)


def sample_crops(
    source: PatchSource, key: PRNGKeyArray, indices: Int32[Array, " batch"], side: int
) -> Float[Array, "batch side side channel"]:
    """Random crops of the pictures at ``indices``, rotated and flipped at random, as floats in [0, 1].

    Args:
        source: the data set; no picture may be smaller than ``side`` (see ``sources.large_enough``).
        key: one key for the batch.
        indices: which pictures.
        side: side of the crop in pixels.
    """
    keys = jax.random.split(key, indices.shape[0])
    crops = jax.vmap(lambda k, i: _augment(*_crop(source, k, i, side)))(keys, indices)
    return crops.astype(jnp.float32) / 255


def epoch_order(key: PRNGKeyArray, pictures: int, steps: int, batch: int) -> Int32[Array, "steps batch"]:
    """Which pictures each step takes: every picture equally often, to within one, in a random order."""
    repeats = -(-steps * batch // pictures)
    orders = [jax.random.permutation(k, pictures) for k in jax.random.split(key, repeats)]
    return jnp.concatenate(orders)[: steps * batch].reshape(steps, batch).astype(jnp.int32)


def _crop(
    source: PatchSource, key: PRNGKeyArray, index: Int32[Array, ""], side: int
) -> tuple[PRNGKeyArray, UInt8[Array, "side side channel"]]:
    place, turn = jax.random.split(key)
    height, width = source.heights[index], source.widths[index]
    top, left = jax.random.randint(place, (2,), 0, jnp.stack([height, width]) - side + 1)
    rows = (top + jnp.arange(side, dtype=jnp.int32)) * width
    columns = left + jnp.arange(side, dtype=jnp.int32)
    places = source.offsets[index] + rows[:, None] + columns[None, :]  # a picture has fewer than 2^31 - PAGE pixels
    page = source.buffer.shape[1]
    return turn, source.buffer[source.pages[index] + places // page, places % page]


def _augment(key: PRNGKeyArray, crop: UInt8[Array, "side side channel"]) -> UInt8[Array, "side side channel"]:
    """Rotations by multiples of 90 degrees, horizontal and vertical flips (section 4.1): the square's 8 symmetries."""
    rows, columns, transpose = jax.random.bernoulli(key, shape=(3,))
    crop = jnp.where(rows, crop[::-1], crop)
    crop = jnp.where(columns, crop[:, ::-1], crop)
    return jnp.where(transpose, crop.transpose(1, 0, 2), crop)
