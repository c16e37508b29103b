"""Checkpoints: every bit comes back, damage is seen, the one before is taken, the last ones and the best stay."""

import dataclasses
import resource
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from hinas_jax.checkpoints import Checkpoint, CheckpointError, Checkpoints


@struct.dataclass
class State:
    step: Any
    params: Any
    optimiser: Any


#: After a failed read the other arrays' reads may end, in TensorStore's threads, as late as within another test.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning")

FACTS = {"losses": {"loss": 1 / 3}, "best": None, "words": ["é"]}


def state(seed=0):
    rng = np.random.default_rng(seed)
    params = {"a": {"kernel": rng.normal(size=(3, 3, 4)).astype(np.float32)}, "b": np.float32([np.nan, -0.0, 1e-40])}
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(0.1, 5)))
    return State(jnp.int32(seed), jax.tree.map(jnp.asarray, params), optimiser.init(params))


def same(one, other):
    one, other = ([np.asarray(leaf) for leaf in jax.tree.leaves(tree)] for tree in (one, other))
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.fixture
def saved(tmp_path):
    """A folder with the checkpoints 1 and 2 of the states 1 and 2."""
    with Checkpoints(tmp_path) as checkpoints:
        for number in (1, 2):
            checkpoints.save(state(number), FACTS)
    return tmp_path


def newest(folder, said=None):
    with Checkpoints(folder) as checkpoints:
        return checkpoints.newest(state(), [].append if said is None else said.append)


def data_files(folder, number):
    """The files of a checkpoint that hold its arrays."""
    files = [path for path in sorted((folder / str(number)).rglob("*")) if path.is_file() and path.parent.name == "d"]
    assert files
    return files


def test_every_bit_of_state_and_facts_comes_back(saved):
    found = newest(saved)
    assert (found.number, found.facts) == (2, FACTS)
    assert same(found.state, state(2))
    assert jax.tree.structure(found.state) == jax.tree.structure(state())


def test_an_empty_folder_holds_none(tmp_path):
    assert newest(tmp_path / "new") is None
    assert (tmp_path / "new").is_dir()


def test_without_a_form_the_state_comes_as_dicts(saved):
    with Checkpoints(saved, read_only=True) as checkpoints:
        assert checkpoints.numbers() == [1, 2]
        found = checkpoints.read(1)
    assert isinstance(found, Checkpoint)
    assert same(found.state["params"], state(1).params)


def test_a_state_may_be_donated_while_it_is_written(tmp_path):
    before, move = state(1), jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1, tree), donate_argnums=0)
    kept = jax.tree.map(np.array, before)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(before, FACTS)
        for _ in range(3):
            before = move(before)
    assert same(newest(tmp_path).state, kept)


def test_the_last_two_stay_and_the_bests_that_they_name(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for number in range(1, 6):
            assert checkpoints.next_number() == number
            checkpoints.save(state(number), FACTS, best=2)
        checkpoints.wait()
        assert checkpoints.numbers() == [2, 3, 4, 5]  # an older one goes when the next is on the disk
        checkpoints.save(state(6), FACTS, best=5)
        checkpoints.wait()
        assert checkpoints.numbers() == [2, 4, 5, 6]
    with Checkpoints(tmp_path) as checkpoints:  # another process knows too
        checkpoints.save(state(7), FACTS, best=5)
        checkpoints.wait()
        assert checkpoints.numbers() == [2, 5, 6, 7]
        checkpoints.save(state(8), FACTS, best=5)
        checkpoints.wait()
        assert checkpoints.numbers() == [5, 6, 7, 8]


class Killed(BaseException):
    """In the place of a kill."""


def test_a_kill_before_a_new_best_is_on_the_disk_leaves_the_best_before(tmp_path, monkeypatch):
    def killed(*_, **__):
        raise Killed

    with Checkpoints(tmp_path) as checkpoints:
        for number in range(1, 6):
            checkpoints.save(state(number), FACTS, best=1)
        checkpoints.wait()
        monkeypatch.setattr(checkpoints._manager, "save", killed)
        with pytest.raises(Killed):
            checkpoints.save(state(6), FACTS, best=6)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.numbers() == [1, 4, 5]
        assert same(checkpoints.read(1, state()).state, state(1))


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
def test_of_a_damaged_checkpoint_the_one_before_is_taken_with_a_warning(saved, harm):
    for file in data_files(saved, 2):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 16
        {
            "flip": lambda file=file, content=content: file.write_bytes(content),
            "cut": lambda file=file, content=content: file.write_bytes(content[: len(content) // 2]),
            "empty": lambda file=file: file.write_bytes(b""),
            "remove": lambda file=file: file.unlink(),
        }[harm]()
    said = []
    found = newest(saved, said)
    assert found.number == 1
    assert same(found.state, state(1))
    assert [line.split(" (")[0] for line in said] == [
        f"warning: {saved / '2'} is damaged",
        "warning: the checkpoint before, 1, is taken",
    ]
    assert not any("\n" in line for line in said)
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.numbers() == [1]


def test_no_flipped_bit_gives_another_state(saved):
    """Of 60 bits anywhere in a checkpoint, each is told, or makes no difference (a file that is not read)."""
    rng = np.random.default_rng(0)
    files = [path for path in sorted((saved / "2").rglob("*")) if path.is_file() and path.stat().st_size]
    told = 0
    for _ in range(60):
        file = files[rng.integers(len(files))]
        content = file.read_bytes()
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        file.write_bytes(flipped)
        with Checkpoints(saved, read_only=True) as checkpoints:
            try:
                found = checkpoints.read(2, state())
            except CheckpointError:
                told += 1
            else:
                assert same(found.state, state(2))
                assert found.facts == FACTS
        file.write_bytes(content)
    assert told > 8


def test_where_all_are_damaged_nothing_is_removed(saved):
    for number in (1, 2):
        for file in data_files(saved, number):
            file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no checkpoint can be read; --restart begins anew"):
        newest(saved)
    assert {"1", "2"} <= {path.name for path in saved.iterdir()}


def test_a_checkpoint_that_cannot_be_written_is_told_in_one_line_and_those_before_stay(saved):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with (
            pytest.raises(CheckpointError, match=r"cannot be written \(.*\); mend that") as caught,
            Checkpoints(saved) as checkpoints,
        ):
            checkpoints.save(state(3), FACTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert newest(saved).number == 2


def test_what_a_killed_process_left_of_a_checkpoint_is_none(saved):
    (saved / "3.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    assert newest(saved).number == 2
    with Checkpoints(saved) as checkpoints:
        checkpoints.save(dataclasses.replace(state(3)), FACTS)
    assert newest(saved).number == 3


@pytest.mark.parametrize("waits", [False, True])
def test_a_full_disk_leaves_the_checkpoint_before_and_takes_the_next_once_there_is_room(small_disk, fill, waits):
    folder = small_disk / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state(1), FACTS)
    other = fill(small_disk)
    with (
        pytest.raises(CheckpointError, match=r"a checkpoint cannot be written .*; mend that and give") as caught,
        Checkpoints(folder) as checkpoints,
    ):
        checkpoints.save(state(2), FACTS)
        if waits:
            checkpoints.wait()
    assert "\n" not in str(caught.value)
    said = []
    found = newest(folder, said)
    assert (found.number, said) == (1, [])
    assert same(found.state, state(1))
    other.unlink()
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state(3), FACTS)
    found = newest(folder)
    assert found.number == 2
    assert same(found.state, state(3))
