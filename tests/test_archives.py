"""Archives of the known sets: fetched, checked, unpacked nowhere else, and what is told where that fails."""

import dataclasses
import functools
import http.server
import io
import tarfile
import threading

import pytest
from given_sets import SET5, fill, small
from left_by_runs import quiet

from hinas_jax.data.catalogue import KNOWN_SETS
from hinas_jax.data.pictures import PictureError
from hinas_jax.data.prepared import prepare, read_digests

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def served(tmp_path):
    """A folder behind a server on this machine, and its address."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path / "served", f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def archive(path, folder, *, outside=False):
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname="project-1/testsets")
        if outside:
            member = tarfile.TarInfo("project-1/../../outside.png")
            tar.addfile(member, io.BytesIO(b""))


def test_an_archive_is_fetched_checked_and_prepared(tmp_path, monkeypatch, served):
    folder, address = served
    archive(folder / "a.tar.gz", fill(tmp_path / "sets" / "Set5" / "HR", "a.png", "b.png").parents[1])
    small(monkeypatch, SET5, {"test": 2})
    prepare(SET5, tmp_path / "sets", quiet)
    digests = read_digests(SET5)
    known = dataclasses.replace(KNOWN_SETS[SET5], archive=f"{address}/a.tar.gz", digests=digests)
    monkeypatch.setitem(KNOWN_SETS, SET5, known)
    prepare(SET5, None, quiet)
    assert read_digests(SET5) == digests
    monkeypatch.setitem(KNOWN_SETS, SET5, dataclasses.replace(known, digests={"test": "0" * 64}))
    with pytest.raises(PictureError, match="names or pixels differ from the original pictures"):
        prepare(SET5, None, quiet)
    monkeypatch.setitem(KNOWN_SETS, SET5, known)
    assert read_digests(SET5) == digests


def test_an_archive_writes_nothing_outside(tmp_path, monkeypatch, served):
    folder, address = served
    archive(folder / "a.tar.gz", fill(tmp_path / "sets" / "Set5", "a.png").parent, outside=True)
    small(monkeypatch, SET5, {"test": 1})
    monkeypatch.setitem(KNOWN_SETS, SET5, dataclasses.replace(KNOWN_SETS[SET5], archive=f"{address}/a.tar.gz"))
    with pytest.raises(PictureError, match="cannot be downloaded"):
        prepare(SET5, None, quiet)


def test_what_cannot_be_downloaded_says_what_to_put_where(monkeypatch, served):
    folder, address = served
    (folder / "torn.tar.gz").write_bytes(b"\x1f\x8b no archive")
    for name in ("missing.tar.gz", "torn.tar.gz"):
        monkeypatch.setitem(KNOWN_SETS, SET5, dataclasses.replace(KNOWN_SETS[SET5], archive=f"{address}/{name}"))
        with pytest.raises(
            PictureError, match=r"put 5 pictures in DIR.Set5.HR \(baby, .*, woman\), then give --from DIR"
        ) as told:
            prepare(SET5, None, quiet)
        assert "\n" not in str(told.value)


def test_a_download_that_breaks_off_is_told_in_one_line(tmp_path, monkeypatch):
    class BreaksOff(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n\x1f\x8b")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        known = dataclasses.replace(KNOWN_SETS[SET5], archive=f"http://127.0.0.1:{server.server_port}/a.tar.gz")
        monkeypatch.setitem(KNOWN_SETS, SET5, known)
        try:
            with pytest.raises(PictureError, match=r"cannot be downloaded \(IncompleteRead") as told:
                prepare(SET5, None, quiet)
        finally:
            server.shutdown()
            thread.join()
    assert "\n" not in str(told.value)
