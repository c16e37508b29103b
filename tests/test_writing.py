"""Files are whole or not there at all, whatever happens while they are written."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hinas_jax.writing import append_line, partial_name, replacing, write_whole

ROOT = Path(__file__).resolve().parents[1]


def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path):
    for content, expected in (("grün", "grün".encode()), (b"\x00\xff", b"\x00\xff")):
        write_whole(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_kill_before_the_renaming_leaves_the_old_file(tmp_path):
    write_whole(tmp_path / "file", "old")
    program = (
        "import os, pathlib, signal, sys; from hinas_jax.writing import write_whole;"
        " pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        " write_whole(pathlib.Path(sys.argv[1]), 'new')"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "file"], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == -9
    assert (tmp_path / "file").read_text() == "old"
    write_whole(tmp_path / "file", "newer")
    assert (tmp_path / "file").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_as_long_as_there_can_be_is_written_and_what_a_killed_process_left_of_it_goes(tmp_path):
    path = tmp_path / ("n" * 255)
    (tmp_path / partial_name(path.name)).write_text("left by a kill")
    write_whole(path, "whole")
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [(path.name, "whole")]


def test_a_link_where_the_unfinished_file_goes_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / partial_name("file")).symlink_to(tmp_path / "elsewhere")
    write_whole(tmp_path / "file", "new")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "new"
    assert not (tmp_path / "file").is_symlink()


def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new_one(tmp_path):
    write_whole(tmp_path / "file", "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_whole(tmp_path / "file", "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"
    write_whole(Path(os.devnull), "gone")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["disk full", "interrupt"])
def test_what_breaks_off_in_the_middle_leaves_the_old_file_alone(error, tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(type(error)), replacing(tmp_path / "file") as file:
        file.write(b"half")
        assert (tmp_path / "file").read_text() == "old"
        raise error
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_lines_are_added(tmp_path):
    append_line(tmp_path / "rows", "one")
    append_line(tmp_path / "rows", "two")
    assert (tmp_path / "rows").read_text() == "one\ntwo\n"
