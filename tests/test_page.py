"""The page of runs: all that a run says, in one file, and one line for a folder that holds none."""

import base64
import html
import io
import json
import re
import shutil

import pytest
from commands import mistake, run
from PIL import Image

from hinas_jax.architecture import Architecture
from hinas_jax.page import ReportError, write_page


def pictures_in(text):
    """The pictures of a page, by their words."""
    found = re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,([^"]*)">', text)
    return {words: Image.open(io.BytesIO(base64.b64decode(data))) for words, data in found}


@pytest.fixture(scope="module")
def runs(searched, tmp_path_factory):
    """A folder of two runs: a search, and what a training leaves."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(searched, folder / "search", ignore=shutil.ignore_patterns("checkpoints"))
    training = folder / "train & co"
    training.mkdir()
    rows = [
        {"step": 10 * i, "epoch": i, "seconds": i, "loss": 1 / i, "psnr": 20 + i % 3, "ssim": 0.5} for i in (1, 2, 3)
    ]
    (training / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (training / "manifest.json").write_text(json.dumps({"kind": "train", "seconds": 90, "versions": {"jax": "0"}}))
    shutil.copy(searched / "architecture.json", training)
    return folder


@pytest.fixture(scope="module")
def page(runs):
    assert [path.name for path in write_page([runs], runs / "report.html")] == ["search", "train & co"]
    return (runs / "report.html").read_text()


def test_a_page_holds_the_pictures_of_its_runs(page):
    search, training = page.split("train &amp; co</h2>")
    assert list(pictures_in(search)) == ["Curves", "alpha and beta", "Architecture"]
    assert list(pictures_in(training)) == ["Curves", "Architecture"]
    for picture in (*pictures_in(search).values(), *pictures_in(training).values()):
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(10**7)) > 20


def test_a_page_fetches_nothing(page):
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page


def test_a_page_tells_what_was_found_and_how(page, runs, searched):
    architecture = Architecture.load(searched / "architecture.json")
    manifest = json.loads((searched / "manifest.json").read_text())
    words = html.unescape(page)
    assert f"{architecture.parameters():,}" in words
    assert all(digest in words for digest in manifest["splits"].values())
    assert manifest["versions"]["jax"] in words
    assert "22.00 dB (step 20)" in words
    assert "1.5 min" in words
    assert json.loads((searched / "config.json").read_text()) == json.loads(
        html.unescape(re.search(r"<pre>(.*?)</pre>", page, re.DOTALL).group(1))
    )
    assert str(runs / "train & co") in words


def test_several_runs_stand_side_by_side_first(page):
    table = page.partition("<h2>")[0]
    assert table.count("<tr>") == 3
    assert "best PSNR on V" in table
    assert table.count("<td>validation (joined patches)</td>") == 2


def test_a_run_that_lacks_all_but_its_metrics_is_shown(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / "manifest.json").write_text("[1]")
    assert write_page([tmp_path], tmp_path / "page.html") == [tmp_path]


def test_folders_without_a_run_and_damaged_ones_are_told(tmp_path):
    with pytest.raises(ReportError, match="holds no run"):
        write_page([tmp_path], tmp_path / "page.html")
    (tmp_path / "metrics.jsonl").write_text("{\n{}\n")
    with pytest.raises(ReportError, match="line 1: not JSON"):
        write_page([tmp_path], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


# --- the commands


@pytest.fixture(autouse=True)
def caches_here(quick_compiling, monkeypatch, keep_jax_settings):
    del keep_jax_settings
    monkeypatch.setenv("XDG_CACHE_HOME", str(quick_compiling))


def test_report_writes_into_the_first_folder_or_where_it_is_told(capsys, runs, tmp_path):
    assert run(capsys, "report", runs / "search") == (0, [f"{runs / 'search' / 'report.html'}: 1 run"], [])
    (runs / "search" / "report.html").unlink()
    code, out, _ = run(capsys, "report", runs / "search", runs, "--output", tmp_path / "new" / "all.html")
    assert (code, out) == (0, [f"{tmp_path / 'new' / 'all.html'}: 3 runs"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name the folder of a run to report on"),
        (["nowhere"], "nowhere holds no run"),
        (["nowhere", "--output", "page.pdf"], "page.pdf: the page is HTML"),
    ],
)
def test_what_cannot_be_reported(capsys, words, message):
    assert message in mistake(capsys, "report", *words)
