"""What a run left, read again: torn rows are left out, broken ones told, a manifest that is none is empty."""

import json

import pytest

from hinas_jax.run_files import best_row, read_manifest, read_metrics


def test_metrics_round_trip(tmp_path):
    expected = [{"epoch": epoch, "loss": 1 / (epoch + 2), "phase": "warmup"} for epoch in range(12)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in expected))
    assert read_metrics(tmp_path / "metrics.jsonl") == expected


@pytest.mark.parametrize("torn", [b'{"epoch": 2, "lo', b'{"epoch": 2, "name": "\xce', b"\0\0\0", b"{"])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_torn_last_line_is_left_out(torn, end, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"epoch": 0}\n\n{"epoch": 1}\n' + torn + end)
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"epoch": 0}, {"epoch": 1}]


def test_no_rows(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    assert read_metrics(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize(("line", "message"), [("{", "not JSON"), ("[1]", "must be a JSON object")])
def test_broken_line_in_the_middle_is_an_error(line, message, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(f'{{"epoch": 0}}\n{line}\n{{"epoch": 1}}\n')
    with pytest.raises(ValueError, match=rf"metrics\.jsonl, line 2: .*{message}"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_what_was_measured_best_is_told():
    rows = [{"psnr": 20.0, "ssim": 0.5}, {"psnr": 19.0, "ssim": 0.52}, {"psnr": None, "ssim": 0.9}, {"loss": 1}]
    assert best_row(rows) == rows[1]
    assert best_row(rows[3:]) is None


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff"])
def test_a_manifest_that_cannot_be_read_says_nothing(content, tmp_path):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    assert read_manifest(tmp_path) == {}
    (tmp_path / "manifest.json").write_text('{"seconds": 2}')
    assert read_manifest(tmp_path) == {"seconds": 2}
