"""The cache of compiled programs heals itself: what a kill or a full disk cut short is gone at the next start."""

import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import pytest

from hinas_jax import program_cache
from hinas_jax.program_cache import drop_broken

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = (
    "import sys, pathlib, jax; from hinas_jax.compiling import enable_compilation_cache;"
    " enable_compilation_cache(pathlib.Path(sys.argv[1]));"
    " jax.config.update('jax_persistent_cache_min_compile_time_secs', 0);"
    " print(jax.jit(lambda x: x * 3 + 1)(2.0))"
)


def start(folder):
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", PROGRAM, folder],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "7.0\n"
    return done.stderr


@pytest.mark.parametrize("left", [0, 0.5])
def test_an_entry_cut_short_is_good_again_after_the_next_start(tmp_path, left):
    start(tmp_path)
    entries = {path: path.read_bytes() for path in tmp_path.glob("*-cache")}
    assert entries
    for path, content in entries.items():
        path.write_bytes(content[: int(len(content) * left)])
    assert "cache" not in start(tmp_path)
    assert {path: len(zlib.decompress(path.read_bytes())) > 0 for path in entries} == dict.fromkeys(entries, True)


def write(folder, name, content, time):
    path = folder / f"{name}-cache"
    path.write_bytes(content)
    os.utime(path, (time, time))
    return path


def test_only_what_was_written_since_is_looked_at(tmp_path, monkeypatch):
    packed = zlib.compress(os.urandom(3_000_000))
    old, other = write(tmp_path, "old", packed, 900), write(tmp_path, "other", packed[:-1], 1000)
    assert drop_broken(tmp_path) == 1
    assert old.exists()
    assert not other.exists()
    looked = []
    is_whole = program_cache._is_whole
    monkeypatch.setattr(program_cache, "_is_whole", lambda path: looked.append(path.name) or is_whole(path))
    write(tmp_path, "new", packed, 2000)
    broken = write(tmp_path, "broken", b"", 2000)
    assert drop_broken(tmp_path) == 1
    assert sorted(looked) == ["broken-cache", "new-cache"]
    assert not broken.exists()


def test_a_folder_that_is_not_there_is_left_alone(tmp_path):
    with warnings.catch_warnings(action="error"):
        assert drop_broken(tmp_path / "none") == 0
    assert not (tmp_path / "none").exists()
