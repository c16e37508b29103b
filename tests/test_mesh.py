"""How many devices share a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hinas_jax.cli.mistakes import mistakes
from hinas_jax.mesh import MeshError, cut, describe_mesh, devices_each, make_mesh, replicate, rows, whole


@pytest.mark.parametrize(
    ("batch", "processes", "local", "each"),
    [(8, 1, 8, 8), (8, 1, 3, 2), (12, 1, 8, 6), (7, 1, 8, 7), (7, 1, 6, 1), (24, 2, 8, 6), (2, 2, 4, 1), (9, 3, 2, 1)],
)
def test_the_most_devices_that_share_evenly_are_used(batch, processes, local, each):
    assert devices_each(batch, processes, local) == each


def test_a_batch_that_processes_cannot_share_is_refused_in_one_line():
    with pytest.raises(
        MeshError, match=r"batch of 9 cannot be shared by 2 processes; make it a multiple of 2"
    ) as caught:
        devices_each(9, 2, 4)
    assert "\n" not in str(caught.value)
    assert MeshError in mistakes()


def test_values_and_keys_keep_what_they_are_on_the_devices():
    mesh = make_mesh(4)
    tree = {"values": np.arange(6, dtype=np.int32), "key": jax.random.key(3), "one": jnp.float32(2.5)}
    placed = replicate(tree, mesh)
    np.testing.assert_array_equal(placed["values"], tree["values"])
    assert float(jax.random.normal(placed["key"])) == float(jax.random.normal(tree["key"]))
    assert placed["values"].sharding == placed["one"].sharding == whole(mesh)
    batch = cut(np.ones((4, 2), np.float32), mesh)
    assert batch.sharding == rows(mesh)


def test_a_part_of_the_devices_needs_no_shape_of_its_own(monkeypatch):
    whole_mesh = make_mesh(4)

    def wants_a_cuboid(*_, **__):
        raise AssertionError

    monkeypatch.setattr(jax, "make_mesh", wants_a_cuboid)  # as it does for 6 devices of a TPU slice of 8
    monkeypatch.setattr(jax, "device_count", lambda: 3)
    assert make_mesh(4) == whole_mesh


def test_idle_devices_are_told(monkeypatch):
    mesh = make_mesh(4)
    monkeypatch.setattr(jax, "device_count", lambda: 3)
    assert describe_mesh(mesh, 4).endswith("; 2 idle, for they do not divide 4")
