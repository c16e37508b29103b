"""The benchmark runs, and its rows become tables and plots."""

import json
import sys

import bench
import plots
import pytest
import tables

#: As bench.py writes them: what a variant takes, and what the table must say of it.
ROW = {
    "table": "supernet", "variant": "stacked", "phase": "weight", "backend": "cpu", "device": "cpu", "batch": 8,
    "patch": 64, "parameters": 1000, "trace_s": 1.5, "compile_s": 2.5, "step_s": 2.0, "cpu_s": 3.5,
    "step_s_spread": [1.5, 3.0],
    "convolutions": 7, "temp_bytes": 3 * 2**20, "flops": 4e9, "of_ceiling": 0.25, "space": None,
}  # fmt: skip


def run(monkeypatch, module, *words):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
    module.main()


def test_a_training_fed_in_both_ways_is_timed(tmp_path, monkeypatch, quick_compiling):
    del quick_compiling
    out = tmp_path / "bench.json"
    run(monkeypatch, bench, "--quick", "--only", "feeding", "--rounds", 1, "--out", out)
    rows = json.loads(out.read_text())
    assert [row["variant"] for row in rows] == ["resident", "streamed"]
    assert all(row["step_s"] > 0 and row["flops"] > 0 and row["temp_bytes"] > 0 for row in rows)
    assert rows[0]["convolutions"] == rows[1]["convolutions"]
    assert json.loads((tmp_path / "machine.json").read_text())["ceiling"].keys() == {"flop_per_s", "bytes_per_s"}


def test_convolutions_are_timed_as_they_are_compiled_in_two_ways(tmp_path, monkeypatch):
    out, document = tmp_path / "bench.json", tmp_path / "performance.md"
    run(monkeypatch, bench, "--quick", "--only", "convolutions", "--rounds", 1, "--out", out)
    rows = json.loads(out.read_text())
    whats = ["result", "gradient by the picture", "gradient by the kernel"]
    assert [row["phase"] for row in rows] == [what for what in whats for _ in range(2)]
    assert all(row["convolutions"] == 1 and row["step_s"] > 0 for row in rows)
    document.write_text("<!-- convolutions -->\n<!-- end -->\n")
    for row, seconds in zip(rows, (2e-3, 1e-3, 4e-3, 1e-3, 3e-3, 6e-3), strict=True):
        row |= {"step_s": seconds, "cpu_s": 2 * seconds}
    out.write_text(json.dumps(rows))
    run(monkeypatch, tables, out, "--document", document)
    text = document.read_text()
    assert "| channels, kernel | what | by XLA's choice, ms (of CPU) | by ours, ms (of CPU) |" in text
    assert "| 10 to 40, 5x5 | result | 2.0 (4.0) | 1.0 (2.0) | 0.50 |" in text
    assert "| 10 to 40, 5x5 | gradient by the kernel | 3.0 (6.0) | 6.0 (12.0) | 2.00 |" in text


def test_rows_become_a_table_in_the_document(tmp_path, monkeypatch):
    results, document = tmp_path / "bench.json", tmp_path / "performance.md"
    twice = ROW | {"variant": "stacked+remat-cell", "step_s": 3.0, "step_s_spread": [3.0, 3.0]}
    results.write_text(json.dumps([ROW, twice]))
    document.write_text("before\n<!-- supernet -->\nold\n<!-- end -->\nafter\n")
    run(monkeypatch, tables, results, "--document", document)
    text = document.read_text()
    assert "| stacked | weight | 7 | 4 | 3 | 2 (25%) | 2.00 | 4.00 | 1.50 to 3.00 | 1.00 | 3.50 |" in text
    assert "| 3.00 | 2.67 | 3.00 to 3.00 | 1.50 | 3.50 |" in text
    assert text.startswith("before\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text


def test_growth_and_the_supernet_are_plotted(tmp_path, monkeypatch):
    grown = [
        ROW | {"table": "growth", "variant": f"growth with {name}", name: value, "space": {"layers": value}}
        for name in ("layers", "batch")
        for value in (1, 2, 4)
    ]
    (tmp_path / "bench.json").write_text(json.dumps([ROW, ROW | {"phase": "arch"}, *grown]))
    run(monkeypatch, plots, tmp_path / "bench.json", "--folder", tmp_path)
    drawn = plots.growth(grown)
    assert [panel.get_xlabel() for panel in drawn.axes[-2:]] == ["layers", "batch"]
    assert [list(line.get_xdata()) for line in drawn.axes[0].lines] == [[1, 2, 4]]
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in ("growth", "supernet"))


def test_a_table_that_does_not_exist_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, bench, "--only", "nothing")
    assert ended.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
