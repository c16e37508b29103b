"""Patches of a picture set too large for the device: cut in the host's memory, read ahead by grain, sent call by call.

The draws are those that a set on the device would see, so both give the same patches, and a run goes on at any step.
Only the squares that a step takes are sent, as bytes: turning, degrading and scaling happen in the step as ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Int32, UInt8

from hinas_jax.data.patches import Draws, Put, Sizes, sizes_of
from hinas_jax.data.sources import PictureSet

THREADS: Final = 2  #: that cut patches
AHEAD: Final = 4  #: calls whose patches are ready before they are asked for
LARGEST_CALL: Final = 2**28  #: bytes of patches that are sent at once


@struct.dataclass
class StreamedPatches:
    """The patches of one call, from the host.

    Attributes:
        squares: what each step of the call takes, not turned yet.
        sizes: of the pictures they come from.
    """

    squares: UInt8[Array, "step batch side side channel"]
    sizes: Sizes

    def crops(self, step: Int32[Array, ""], draws: Draws, side: int) -> UInt8[Array, "batch side side channel"]:
        """The squares of step ``step`` of the call; the draws are those that the host has followed."""
        del draws, side
        squares: Array = jax.lax.dynamic_index_in_dim(self.squares, step, keepdims=False)
        return squares


class PatchStream:
    """The patches of all calls of a run, one call after the other."""

    def __init__(
        self, pictures: PictureSet, draw: Callable[[int], Draws], side: int, calls: int, put: Put = jnp.asarray
    ) -> None:
        """Take a set; nothing is cut before the first call is asked for.

        Args:
            pictures: the set.
            draw: what the steps of call ``number`` take, with leading axes (step, batch).
            side: side of the squares in pixels.
            calls: how many calls the run has.
            put: lays the squares of a call on the devices.
        """
        self._pictures, self._draw, self._side, self._calls, self._put = pictures, draw, side, calls, put
        self._sizes = sizes_of(pictures)
        self._next, self._ready = -1, iter(())

    def call(self, number: int) -> StreamedPatches:
        """The patches of call ``number``, counted from 0. Calls in turn are read ahead; another order begins anew."""
        if number != self._next:
            self._ready = iter(self._read_ahead(number))
        self._next = number + 1
        return StreamedPatches(self._put(next(self._ready)), self._sizes)

    def _read_ahead(self, first: int) -> Any:
        import grain  # noqa: PLC0415  heavy, and only streams need it

        options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD)
        calls = grain.MapDataset.range(first, self._calls).map(lambda number: self._cut(int(number)))
        return calls.to_iter_dataset(options)

    def _cut(self, number: int) -> UInt8[np.ndarray, "step batch side side channel"]:
        draws, side = jax.tree.map(np.asarray, self._draw(number)), self._side
        squares = [
            self._pictures.pixels[index][top : top + side, left : left + side]
            for index, top, left in zip(draws.indices.flat, draws.tops.flat, draws.lefts.flat, strict=True)
        ]
        return np.stack(squares).reshape(*draws.indices.shape, *squares[0].shape)


def host_device() -> jax.Device:
    """The device that draws what to cut: the host's own, so that it need not wait for the steps on another one."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names another one only
        return jax.local_devices()[0]
