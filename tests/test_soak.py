"""The soak in short: a search and a training, killed and otherwise harmed, end as the ones left alone, bit for bit.

`make soak` does it at length; docs/reliability.md holds its table.
"""

import random

import pytest
import soak
import tiny_runs
from tiny import QUICK_FLAGS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soak")
    tiny_runs.write_pictures(folder / "pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", QUICK_FLAGS)
        yield folder


@pytest.mark.parametrize(
    ("name", "hits"),
    [
        ("search", {"SIGKILL": 3}),
        ("train", {"SIGKILL": 1, "SIGTERM": 1, "Ctrl-C": 1, "a bit": 1, "no file can grow": 1, "a second process": 1}),
    ],
)
def test_a_harmed_run_ends_as_one_left_alone(folder, name, hits):
    kind = tiny_runs.undisturbed(name, folder, tiny_runs.tiny_config(folder / "pictures", epochs=10))
    workdir, rng = folder / f"{name}-disturbed", random.Random(0)
    for start, times in hits.items():
        (fault,) = (fault for fault in soak.FAULTS if fault.startswith(start))
        row = soak.hit(kind, workdir, rng, fault, times)
        assert (row.tried, row.lost) == (times, "nothing"), fault
    row = soak.Row("the end", name)
    soak.finish(kind, workdir, row)
    assert row.lost == "nothing"
    assert (workdir / "architecture.json").read_bytes() == (kind.undisturbed / "architecture.json").read_bytes()
