"""A search that stops before its last epoch, and what it leaves."""

import dataclasses

import pytest
from left_by_runs import quiet, rows, without_seconds

from hinas_jax import searching
from hinas_jax.architecture import Architecture
from hinas_jax.searching import search
from hinas_jax.watching import compact


@pytest.fixture(scope="module")
def stopped(tiny_config, tmp_path_factory, quick_compiling):
    """A search that ends with the first skip connection, which epoch 2 brings; by itself it evaluates epoch 5 only."""
    del quick_compiling
    options = dataclasses.replace(tiny_config.search, early_stop="skip-count", skip_limit=1, evaluate_after=0.9)
    config, workdir, said = dataclasses.replace(tiny_config, search=options), tmp_path_factory.mktemp("stopped"), []
    search(config, workdir, say=said.append)
    return config, workdir, said


def test_a_search_that_stops_early_is_as_the_full_one_until_there(stopped, searched):
    _, workdir, said = stopped
    assert without_seconds(workdir) == without_seconds(searched)[:2]
    assert [line for line in said if "ends" in line] == [
        "the search ends after epoch 2 of 5: a cell has 1 skip connections (search.skip_limit 1)"
    ]
    assert sum(line.startswith("warning: skip connections take over") for line in said) == 1


def test_the_epoch_that_ends_a_search_is_evaluated_and_kept(stopped):
    _, workdir, _ = stopped
    last = rows(workdir)[-1]
    architecture = Architecture.load(workdir / "architecture.json")
    assert last["psnr"] > 0
    assert last["architecture"] == [compact(cell) for cell in architecture.cells] == ["0 sep3 + 1 skip"]


def test_a_search_that_stopped_early_does_not_go_on(stopped, monkeypatch):
    config, workdir, _ = stopped
    before = (workdir / "metrics.jsonl").read_bytes()
    monkeypatch.setattr(searching, "compile_step", None)  # calling it would fail
    search(config, workdir, say=quiet)
    assert (workdir / "metrics.jsonl").read_bytes() == before
