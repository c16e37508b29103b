"""Two processes read a folder: each a part of it, and both end with all of it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hinas_jax.data.sources import load_pictures

SCRIPT = Path(__file__).with_name("run_reading.py")


@pytest.fixture
def folder(tmp_path):
    """Five pictures of several sizes, one of which cannot be read."""
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(20, 31), (48, 48), (9, 200), (33, 17)]):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "2b.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    return tmp_path


def read_by_two(*folders):
    """What each of two processes tells."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    started = [
        subprocess.Popen(
            [sys.executable, SCRIPT, port, str(process), folder],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process, folder in enumerate(folders)
    ]
    told = []
    for process in started:
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == 0, err
        told.append(json.loads(out.splitlines()[-1]))
    return told


def test_each_reads_its_part_and_gets_all(folder):
    one, other = read_by_two(folder, folder)
    assert (one.pop("opened"), other.pop("opened")) == (["0.png", "2.png", "3.png"], ["1.png", "2b.png"])
    assert one == other
    said = []
    alone = load_pictures(str(folder), "train", 3, say=said.append)
    assert one == {"names": list(alone.names), "digest": alone.digest(), "said": said}
    assert one["names"] == ["0", "1", "2", "3"]
    assert len(said) == 1
    assert "left out 1 of 5 pictures" in said[0]


def test_folders_of_other_pictures_are_refused_by_both(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "7.png").write_bytes((folder / "1.png").read_bytes())
    one, two = (told["refused"] for told in read_by_two(folder, other))
    assert one.startswith("process 1 failed: ProcessError: not the same names of pictures here as on the first process")
    assert two.startswith("not the same names of pictures here as on the first process")


def test_a_folder_that_one_process_lacks_is_told_by_both(folder, tmp_path):
    one, two = (told["refused"] for told in read_by_two(folder, tmp_path / "nowhere"))
    assert one.startswith("process 1 failed: PictureError:")
    assert two.startswith(f"{tmp_path / 'nowhere'}: ")
