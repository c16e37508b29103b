"""Thousands of bad files: each is refused in one line by the error of its module, soon, or taken and then sound.

`make test` tries a few hundred, always the same; `make fuzz` ten thousand and more, and prints a table of them.
"""

import contextlib
import dataclasses
import faulthandler
import os
import resource
import signal
import time

import numpy as np
import pytest
from bad_files import bad_models, bad_pictures, bad_texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import random_variables

from hinas_jax.architecture import Architecture, ArchitectureError, CellArchitecture, Edge
from hinas_jax.config import Config, load_config
from hinas_jax.config_forms import ConfigError
from hinas_jax.data.pictures import PictureError, load
from hinas_jax.data.saving import path_that_holds, save
from hinas_jax.model_card import ModelError
from hinas_jax.modelfile import Model
from hinas_jax.space.network import Network

LIMIT = 60  #: seconds that one file may take: a small one may be a picture as large as is read at all
TIMES = int(os.environ.get("HINAS_FUZZ", "1"))  #: how many times as many as `make test` tries

CELL = CellArchitecture(((Edge(0, "sep3"), Edge(1, "skip")), (Edge(0, "conv3"), Edge(2, "dil3"))))
ARCHITECTURE = Architecture((CELL, CELL), (0, 1), 2, (1, 2), start_width=2, end_width=2)


class HangError(BaseException):
    """No Exception, so that nothing takes it for an error of the file."""


@dataclasses.dataclass
class Tally:
    """What became of the files of one kind."""

    refused: int = 0
    taken: int = 0
    slowest: float = 0.0


TALLIES: dict[str, Tally] = {}


def settings_for(count):
    return settings(
        max_examples=count * TIMES,
        deadline=None,  # the limit is kept below, and does not depend on how busy the machine is
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def limit():
    def hang(*_):
        raise HangError(f"took more than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    faulthandler.dump_traceback_later(2 * LIMIT, exit=True)  # where no Python runs any more that could hear the alarm
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(kind, error_class, path, content, read):
    """Read a file; any error but that of the module is a defect."""
    tally = TALLIES.setdefault(kind, Tally())
    path.write_bytes(content)
    start = time.monotonic()
    with limit():
        try:
            read(path)
            tally.taken += 1
        except error_class as error:
            tally.refused += 1
            assert str(path) in str(error)
            assert "\n" not in str(error)
    tally.slowest = max(tally.slowest, time.monotonic() - start)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bad")


@pytest.fixture(scope="module")
def model_bytes(folder):
    variables = random_variables(Network(ARCHITECTURE), np.zeros((1, 8, 8, 1), np.float32), train=False)
    Model(ARCHITECTURE, variables, {"task": {"sigmas": [50.0]}}).save(folder / "valid.safetensors")
    return (folder / "valid.safetensors").read_bytes()


def read_and_write_again(path):
    """What restoring does with a picture, less the network."""
    picture = load(path)
    for values in (picture.pixels, picture.alpha):
        assert values is None or (values.size > 0 and values.min() >= 0 and values.max() <= 1)
    with contextlib.suppress(PictureError):
        save(picture, path_that_holds(picture, path.with_stem("again")))


def read_and_tell_again(path):
    architecture = Architecture.load(path)
    assert Architecture.from_json(architecture.to_json()) == architecture


def read_config_and_tell_again(path):
    """And what training does with one before it looks at pictures."""
    config = load_config(str(path))
    assert Config.from_json(config.to_json()) == config
    with contextlib.suppress(ArchitectureError):
        ARCHITECTURE.scaled(config.train.width_scale)


@settings_for(400)
@given(file=bad_pictures())
def test_bad_pictures(folder, capfd, file):
    suffix, content = file
    attempt("pictures", PictureError, folder / f"picture{suffix}", content, read_and_write_again)
    assert capfd.readouterr() == ("", "")  # decoders in C, and Pillow's log, have their own ways to the screen


@settings_for(200)
@given(content=bad_texts(ARCHITECTURE.to_json()))
def test_bad_architectures(folder, content):
    attempt("architectures", ArchitectureError, folder / "architecture.json", content, read_and_tell_again)


@settings_for(200)
@given(content=bad_texts(Config().to_json()))
def test_bad_configs(folder, content):
    attempt("configs", ConfigError, folder / "config.json", content, read_config_and_tell_again)


@settings_for(100)
@given(data=st.data())
def test_bad_models(folder, model_bytes, data):
    attempt("models", ModelError, folder / "model.safetensors", data.draw(bad_models(model_bytes)), Model.load)


def test_most_were_bad_and_nothing_is_left_behind(folder, capfd):
    """The table of `make fuzz`. Runs after those above."""
    rows = [f"| {kind} | {t.refused} | {t.taken} | {t.slowest:.2f} |" for kind, t in TALLIES.items()]
    refused = sum(tally.refused for tally in TALLIES.values())
    rows.append(f"| all | {refused} | {sum(tally.taken for tally in TALLIES.values())} | |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with capfd.disabled():
        if TIMES > 1:
            print("\n| kind | refused | taken | slowest, s |", "|---|---|---|---|", *rows, sep="\n")  # noqa: T201
            print(f"peak memory {peak:.1f} GiB")  # noqa: T201
    assert all(tally.refused > tally.taken for tally in TALLIES.values())
    assert not list(folder.glob(".*.part"))
