"""Rows: means and spreads as NumPy has them, and the printed numbers as printed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hinas_jax.tables.definition import NUMBERS, load_table
from hinas_jax.tables.rows import Value, published_rows


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9))
def test_mean_and_spread_are_numpys(samples):
    value = Value.of(samples)
    np.testing.assert_allclose(value.mean, np.mean(samples), atol=1e-9)
    np.testing.assert_allclose(value.spread, np.std(samples, ddof=1), atol=1e-9)
    assert value.count == len(samples)


def test_one_run_has_no_spread():
    assert Value.of([3.0]) == Value(3.0, None, 1)
    assert (Value.of([29.254]).text(2), Value.of([29.0, 29.2]).text(2)) == ("29.25", "29.10 ± 0.14")
    with pytest.raises(ValueError, match="no samples"):
        Value.of([])


def test_printed_numbers_are_in_range_and_name_their_protocol():
    for number in NUMBERS:
        rows = published_rows(load_table(number))
        assert rows
        for row in rows:
            assert row.protocol
            assert row.note
            for score in row.scores.values():
                assert 20 < score.psnr.mean < 45
                assert score.ssim is None or 0.07 < score.ssim.mean < 1


def test_some_printed_numbers():
    rows = {row.method: row for row in published_rows(load_table(10)) if row.origin == "paper"}
    assert len(rows) == 10
    best = rows["HiNAS"]
    assert (best.scores["sigma 30"].psnr.mean, best.scores["sigma 70"].ssim.mean) == (29.25, 0.7076)
    assert (best.parameters.mean, best.seconds.mean) == (340_000, 18.67)
    assert best.protocol != rows["N3Net"].protocol
    x4 = [row for row in published_rows(load_table(12)) if row.scale == 4 and row.method == "IMDN"]
    assert {row.scores["Set5"].psnr.mean for row in x4} == {32.21}


def test_literature_rows_are_of_the_tables_scales_and_protocols_are_ours():
    for number in (10, 11, 12):
        table = load_table(number)
        literature = [row for row in published_rows(table) if row.origin == "literature"]
        assert literature
        assert {row.protocol for row in literature} <= {"standard", "released"}
        assert {row.scale for row in literature} <= {base.task.scale for base in table.bases}
