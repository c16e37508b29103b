"""The patch sampler: which part of which picture a step takes, and how it is turned, drawn inside the jitted step.

A data set lies on the device as one uint8 buffer: pictures of any sizes one after another, so nothing is padded and
nothing leaves the device. It may hold more pixels than the 32-bit indices of a device can count (DIV2K: 2.2e9), so the
buffer is cut into pages and a pixel's place is (page, place in the page). A set too large for the device stays in the
host's memory (``streaming``), which makes the same draws and sends what they show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, Int64, PRNGKeyArray, Shaped, UInt8

from hinas_jax.data.sources import PictureSet

PAGE: Final = 2**20  #: pixels of a page; only the last one is padded

Put = Callable[[Shaped[np.ndarray, "..."]], Array]  #: lays an array on the devices


@struct.dataclass
class Sizes:
    """Heights and widths of a set's pictures, in pixels."""

    heights: Int32[Array, " picture"]
    widths: Int32[Array, " picture"]

    @property
    def count(self) -> int:
        """How many pictures."""
        return int(self.heights.shape[0])


@struct.dataclass
class Draws:
    """What a batch takes: a square of each of these pictures, and how it is turned."""

    indices: Int32[Array, "*step batch"]
    tops: Int32[Array, "*step batch"]
    lefts: Int32[Array, "*step batch"]
    turns: Bool[Array, "*step batch 3"]


class PatchSource(Protocol):
    """Where the steps of one call find their patches; a tree of arrays."""

    @property
    def sizes(self) -> Sizes:
        """Of the pictures."""

    def crops(self, step: Int32[Array, ""], draws: Draws, side: int) -> UInt8[Array, "batch side side channel"]:
        """The squares of ``side`` pixels that step ``step`` of the call takes, not turned yet."""


@struct.dataclass
class ResidentPictures:
    """A picture set on the device.

    Attributes:
        buffer: all pixels, picture after picture, row after row.
        pages: the page in which each picture starts.
        offsets: where in that page.
        sizes: of the pictures.
    """

    buffer: UInt8[Array, "page pixel channel"]
    pages: Int32[Array, " picture"]
    offsets: Int32[Array, " picture"]
    sizes: Sizes

    def crops(self, step: Int32[Array, ""], draws: Draws, side: int) -> UInt8[Array, "batch side side channel"]:
        """The squares that ``draws`` names; the step is not needed."""
        del step
        return jax.vmap(lambda index, top, left: self._crop(index, top, left, side))(
            draws.indices, draws.tops, draws.lefts
        )

    def _crop(
        self, index: Int32[Array, ""], top: Int32[Array, ""], left: Int32[Array, ""], side: int
    ) -> UInt8[Array, "side side channel"]:
        rows = (top + jnp.arange(side, dtype=jnp.int32)) * self.sizes.widths[index]
        columns = left + jnp.arange(side, dtype=jnp.int32)
        places = self.offsets[index] + rows[:, None] + columns[None, :]  # a picture has fewer than 2^31 - PAGE pixels
        page = self.buffer.shape[1]
        return self.buffer[self.pages[index] + places // page, places % page]


def sizes_of(pictures: PictureSet, put: Put = jnp.asarray) -> Sizes:
    """The sizes of a set's pictures; ``put`` lays them on the devices."""
    heights, widths = np.array([pixels.shape[:2] for pixels in pictures.pixels], np.int32).T
    return Sizes(put(heights), put(widths))


def to_device(pictures: PictureSet, page: int = PAGE, put: Put = jnp.asarray) -> ResidentPictures:
    """Lay the pictures out as one buffer of pages of ``page`` pixels; ``put`` lays arrays on the devices."""
    counts = np.array([pixels.shape[0] * pixels.shape[1] for pixels in pictures.pixels], np.int64)
    pages, offsets = page_starts(counts, page)
    buffer = np.zeros((-(-int(counts.sum()) // page), page, pictures.pixels[0].shape[-1]), np.uint8)
    flat = buffer.reshape(-1, buffer.shape[-1])
    start = 0
    for pixels, count in zip(pictures.pixels, counts, strict=True):
        flat[start : start + count] = pixels.reshape(count, -1)
        start += count
    places = put(pages.astype(np.int32)), put(offsets.astype(np.int32))
    return ResidentPictures(put(buffer), *places, sizes_of(pictures, put))


def page_starts(
    counts: Int64[np.ndarray, " picture"], page: int
) -> tuple[Int64[np.ndarray, " picture"], Int64[np.ndarray, " picture"]]:
    """Page and place in it at which each picture starts, of pictures of ``counts`` pixels one after another."""
    return np.divmod(np.concatenate([[0], np.cumsum(counts)[:-1]]), page)


def draw_patches(key: PRNGKeyArray, indices: Int32[Array, " batch"], sizes: Sizes, side: int) -> Draws:
    """Draw a square of ``side`` pixels in each of the pictures at ``indices``, and how it is turned.

    Args:
        key: one key for the batch.
        indices: which pictures; none may be smaller than ``side`` (see ``sources.large_enough``).
        sizes: of all pictures.
        side: side of the squares in pixels.
    """

    def draw(key: PRNGKeyArray, index: Int32[Array, ""]) -> tuple[Array, Array, Array]:
        place, turn = jax.random.split(key)
        limits = jnp.stack([sizes.heights[index], sizes.widths[index]]) - side + 1
        top, left = jax.random.randint(place, (2,), 0, limits)
        return top, left, jax.random.bernoulli(turn, shape=(3,))

    return Draws(indices, *jax.vmap(draw)(jax.random.split(key, indices.shape[0]), indices))


def sample(
    source: PatchSource, step: Int32[Array, ""], draws: Draws, side: int
) -> Float[Array, "batch side side channel"]:
    """The patches that ``draws`` names for step ``step`` of a call, turned, as floats in [0, 1]."""
    crops = jax.vmap(_turn)(source.crops(step, draws, side), draws.turns)
    return crops.astype(jnp.float32) / 255


def epoch_order(key: PRNGKeyArray, pictures: int, steps: int, batch: int) -> Int32[Array, "steps batch"]:
    """Which pictures each step takes: every picture equally often, to within one, in a random order."""
    repeats = -(-steps * batch // pictures)
    orders = [jax.random.permutation(k, pictures) for k in jax.random.split(key, repeats)]
    return jnp.concatenate(orders)[: steps * batch].reshape(steps, batch).astype(jnp.int32)


def _turn(crop: UInt8[Array, "side side channel"], turns: Bool[Array, "3"]) -> UInt8[Array, "side side channel"]:
    """Rotations by multiples of 90 degrees, horizontal and vertical flips (section 4.1): the square's 8 symmetries."""
    rows, columns, transpose = turns
    crop = jnp.where(rows, crop[::-1], crop)
    crop = jnp.where(columns, crop[:, ::-1], crop)
    return jnp.where(transpose, crop.transpose(1, 0, 2), crop)
