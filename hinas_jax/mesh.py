"""The mesh: all devices in one row. Batches are cut along it, everything else lies whole on each device.

One device is the mesh of size 1. Several processes make one mesh of all their devices, and each feeds its own ones.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")

DATA: Final = "data"  #: the one axis, along which batches are cut


class MeshError(ValueError):
    """The devices there are cannot share the work. The message is one line for people."""


def make_mesh(batch: int) -> Mesh:
    """As many devices as share a batch of ``batch`` evenly, the same number of each process.

    Eight devices and a batch of 12 make a mesh of 6: a batch cut unevenly would have them wait for the largest part.

    Raises:
        MeshError: the batch does not divide by the number of processes.
    """
    each = devices_each(batch, jax.process_count(), jax.local_device_count())
    devices = [
        device
        for process in range(jax.process_count())
        for device in [one for one in jax.devices() if one.process_index == process][:each]
    ]
    if len(devices) < jax.device_count():  # jax.make_mesh wants all of a TPU slice, or a cuboid of it
        return Mesh(np.array(devices), (DATA,), axis_types=(AxisType.Auto,))
    return jax.make_mesh((len(devices),), (DATA,), axis_types=(AxisType.Auto,), devices=devices)


def devices_each(batch: int, processes: int, local: int) -> int:
    """How many of its ``local`` devices each of ``processes`` uses: the most that divide its part of the batch.

    Raises:
        MeshError: the batch does not divide by the number of processes.
    """
    if batch % processes:
        raise MeshError(
            f"a batch of {batch} cannot be shared by {processes} processes;"
            f" make it a multiple of {processes} (--search.batch-size, --train.batch-size)"
        )
    return max(count for count in range(1, local + 1) if batch // processes % count == 0)


def describe_mesh(mesh: Mesh, batch: int) -> str:
    """One line for people: how many devices share a batch, and how many are left idle."""
    there, each = jax.device_count(), batch // mesh.size
    kind = mesh.devices.flat[0].device_kind
    told = f"devices: {mesh.size} ({kind}) of {jax.process_count()} processes, {each} patches of a batch each"
    return told if mesh.size == there else f"{told}; {there - mesh.size} idle, for they do not divide {batch}"


def whole(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """How an array lies that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def rows(mesh: Mesh | AbstractMesh, axis: int = 0) -> NamedSharding:
    """How an array lies whose first axis, or another one, is cut along the mesh."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA))


def spread(tree: Tree, mesh: Mesh | AbstractMesh) -> Tree:
    """Inside a jitted function: have each device compute its part of the first axis of these arrays."""
    return jax.lax.with_sharding_constraint(tree, rows(mesh))  # type: ignore[no-any-return]


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """Lay the arrays of ``tree`` whole on every device; all processes give the same values."""
    return _place(tree, whole(mesh))


def cut(tree: Tree, mesh: Mesh) -> Tree:
    """Lay a part of the first axis of these arrays on each device; all processes give the same whole arrays."""
    return _place(tree, rows(mesh))


def own_rows(batch: int) -> slice:
    """The rows of a batch that lie on the devices of this process, of a mesh of ``make_mesh``."""
    each = batch // jax.process_count()
    return slice(jax.process_index() * each, (jax.process_index() + 1) * each)


def assemble(own: Any, mesh: Mesh, axis: int = 0) -> jax.Array:
    """One array cut along an axis, of which each process gives only what lies on its own devices (``own_rows``)."""
    array: jax.Array = jax.make_array_from_process_local_data(rows(mesh, axis), np.asarray(own))
    return array


def _place(tree: Tree, sharding: NamedSharding) -> Tree:

    def one(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            key: jax.Array = jax.random.wrap_key_data(one(jax.random.key_data(leaf)))
            return key
        value = np.asarray(leaf)
        return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])

    placed: Tree = jax.tree.map(one, tree)
    return placed
