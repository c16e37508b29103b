"""Fixtures that more than one test file uses."""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest
import tiny_runs
from jax.experimental.compilation_cache import compilation_cache
from picture_files import write_pictures
from tiny import FUSIONS, QUICK

from hinas_jax.architecture import Architecture
from hinas_jax.config import ComputeConfig, Config
from hinas_jax.searching import search
from hinas_jax.tables.definition import with_fields

#: The files that take the longest, in this order. Of two workers that take file by file, one that came to such a file
#: last would work alone for minutes.
FIRST = ("end_to_end", "notebook", "devices", "searching", "soak", "tables_end_to_end", "supernet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first."""
    places = {f"test_{name}.py": place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))


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


@pytest.fixture(scope="session")
def quick_compiling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compile steps without LLVM's optimisations, and keep them in a cache: a search run again starts at once.

    Yields the folder in which XDG_CACHE_HOME finds that cache.
    """
    home = tmp_path_factory.mktemp("cache")
    settings = {
        "jax_compilation_cache_dir": str(home / "hinas_jax" / "xla"),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_enable_xla_caches": "none",
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    compile_well = jax.stages.Lowered.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            jax.stages.Lowered, "compile", lambda lowered, options=None: compile_well(lowered, (options or {}) | QUICK)
        )
        yield home
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def usual_fusions(quick_compiling: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuse as for users, where two programs must round alike; all else is as with ``quick_compiling``."""
    del quick_compiling
    monkeypatch.delitem(QUICK, FUSIONS, raising=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a disk of its own, of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here (mount -t tmpfs needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def fill() -> Callable[[Path], Path]:
    """What fills a disk to its last byte with one file, and returns that."""

    def write(disk: Path) -> Path:
        file = disk / "other"
        with file.open("wb", buffering=0) as writing, pytest.raises(OSError, match="No space left on device"):
            while True:
                writing.write(bytes(4096))
        return file

    return write


@pytest.fixture
def keep_jax_settings() -> Iterator[None]:
    """Keep what the commands set in JAX out of other tests."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_enable_xla_caches",
    )
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A search of 5 epochs of 3 steps, the first one warm-up and all others evaluated, and a training of 6 steps."""
    folder = tmp_path_factory.mktemp("run") / "pictures"
    tiny_runs.write_pictures(folder)
    changes = {"search.warmup": 0.2, "search.arch_learning_rate": 0.5, "train.steps": 6}
    return dataclasses.replace(with_fields(tiny_runs.tiny_config(folder, epochs=5), changes), compute=ComputeConfig())


@pytest.fixture(scope="session")
def architecture(tiny_config: Config) -> Architecture:
    """A network of the space of ``tiny_config``."""
    return tiny_runs.tiny_architecture(tiny_config.space)


@pytest.fixture(scope="session")
def searched(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory, quick_compiling: Path) -> Path:
    """The folder of a finished search of ``tiny_config``."""
    del quick_compiling
    workdir = tmp_path_factory.mktemp("searched") / "run"
    search(tiny_config, workdir, say=lambda _: None)
    return workdir


@pytest.fixture
def root(tiny_config: Config, tmp_path: Path) -> Path:
    """The pictures of the tiny config for training, and two more for testing."""
    folder = tmp_path / "pictures"
    shutil.copytree(tiny_config.data.root, folder / "train")
    write_pictures(folder / "test", seed=1)
    return folder


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that prepared sets go to, in the place of the user's own."""
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"
