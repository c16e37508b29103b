"""The pictures of a run, and where its steps find their patches: on the device, or in a stream from the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int32, PRNGKeyArray

from hinas_jax.compiling import device_bytes, gib
from hinas_jax.config import DataConfig
from hinas_jax.data.patches import Draws, PatchSource, to_device
from hinas_jax.data.sources import PictureSet, large_enough, load_pictures, split
from hinas_jax.data.streaming import LARGEST_CALL, PatchStream, host_device
from hinas_jax.mesh import assemble, own_rows, replicate
from hinas_jax.saying import Say
from hinas_jax.tasks import Task

Feed = Callable[[int], PatchSource]  #: the patches of call ``number`` of a run, counted from 0


def load_parts(config: DataConfig, task: Task, seed: int, side: int, purpose: str, say: Say) -> tuple[PictureSet, ...]:
    """W, A and V of section 4.1, without pictures smaller than ``side``.

    Args:
        config: says which pictures.
        task: says their form.
        seed: of the split.
        side: of the squares that ``purpose`` takes, in pixels.
        purpose: in a sentence, what the pictures are for.
        say: where lines for people go.

    Raises:
        PictureError: the pictures cannot be used.
    """
    pictures = load_pictures(config.root, "train", task.channels, config.exclude, say, paired=task.paired)
    assert pictures is not None  # only the test role may be absent
    return split(large_enough(pictures, side, purpose, say), seed, config.validation_fraction)


def streams(config: DataConfig, pictures: list[PictureSet], say: Say) -> bool:
    """Whether the pictures stay on the host; says so if they do."""
    held, there = sum(map(picture_bytes, pictures)), device_bytes()
    on_host = config.residence == "host" or (config.residence == "auto" and 0 < there < 2 * held)
    if on_host:
        say(f"{gib(held)} of pictures stay in the host's memory, and patches are streamed from there (data.residence)")
    return on_host


def picture_bytes(pictures: PictureSet) -> int:
    """Bytes of all pixels."""
    return sum(pixels.size for pixels in pictures.pixels)


def most_steps(streamed: bool, pictures: PictureSet, batch: int, side: int) -> int:
    """How many steps a call may have, for the patches it is sent."""
    squares = batch * side * side * pictures.pixels[0].shape[-1]
    return max(1, LARGEST_CALL // squares) if streamed else 2**31


def resident_feed(pictures: PictureSet, mesh: Mesh) -> Feed:
    """Every call finds the whole set on each device."""

    def everywhere(array: Any) -> Any:
        return replicate(array, mesh)

    source = to_device(pictures, put=everywhere)
    return lambda number: source


def streamed_feed(
    pictures: PictureSet,
    mesh: Mesh,
    key: PRNGKeyArray,
    draw: Callable[[PRNGKeyArray, Int32[Array, ""]], Draws],
    *,
    side: int,
    calls: int,
) -> Feed:
    """Every call gets its patches, each device its part of the batch; a process cuts those of its own devices alone.

    Args:
        pictures: the set.
        mesh: the devices.
        key: the run's.
        draw: what the steps of a call take, from the key and the call's number.
        side: of the squares in pixels.
        calls: of the run.
    """
    host_key = jax.device_put(key, host_device())

    @jax.jit
    def draw_own(key: PRNGKeyArray, number: Int32[Array, ""]) -> Draws:
        own: Draws = jax.tree.map(lambda leaf: leaf[:, own_rows(leaf.shape[1])], draw(key, number))
        return own

    stream = PatchStream(
        pictures,
        lambda number: draw_own(host_key, np.int32(number)),
        side,
        calls,
        put=lambda squares: assemble(squares, mesh, axis=1),
    )
    return stream.call
