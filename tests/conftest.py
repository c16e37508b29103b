"""Fixtures that more than one test file uses."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of reference pictures and answers, which is no part of the project."""
    beside_the_project = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HINAS_SHARED_DATA", beside_the_project))
    if not folder.is_dir():
        pytest.skip(f"needs the reference data: no folder {folder} (HINAS_SHARED_DATA can name another)")
    return folder


@pytest.fixture
def x64() -> Iterator[None]:
    """Let JAX compute in float64 during one test."""
    with jax.enable_x64(True):
        yield
