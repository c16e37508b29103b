"""The protocols on the benchmarks' own pictures, against the rows of the literature and of the paper."""

import jax
import numpy as np
import protocols
import pytest

from hinas_jax.data.finding import find_pictures
from hinas_jax.data.pictures import load
from hinas_jax.evaluation import baseline, evaluate
from hinas_jax.protocols import RELEASED_OVERLAP, RELEASED_TILE, measure
from hinas_jax.tasks import Denoise
from hinas_jax.tiling import tile_starts

#: bicubic on B100: the literature's and the paper's rows, which agree; and what the authors' code gives.
B100 = {
    ("standard", 2): (29.56, 0.843),
    ("standard", 3): (27.21, 0.739),
    ("standard", 4): (25.96, 0.668),
    ("released", 2): (29.57, 0.846),
    ("released", 4): (26.01, 0.677),
}

#: bicubic in the literature: Set5 (the paper prints the same) and Set14. benchmarks/protocols.py measures the others.
LITERATURE = {
    ("Set5/HR", 2): (33.66, 0.9299),
    ("Set5/HR", 3): (30.39, 0.8682),
    ("Set5/HR", 4): (28.42, 0.8104),
    ("Set14/HR", 4): (26.00, 0.7019),
}


@pytest.mark.parametrize(("protocol", "scale"), B100)
def test_bicubic_on_b100_meets_its_rows(shared_data, protocol, scale):
    folder = shared_data / "BSDS500" / "val"  # B100, pixel for pixel
    (row,) = evaluate("bicubic", images=folder, scale=scale, protocol=protocol, say=lambda _: None).results
    psnr, ssim = B100[protocol, scale]
    assert row.images == 100
    assert row.psnr == pytest.approx(psnr, abs=0.01 if protocol == "standard" else 0.015)  # of two digits
    assert row.ssim == pytest.approx(ssim, abs=0.0008)  # of three digits


@pytest.mark.parametrize(("name", "scale"), LITERATURE)
def test_the_literatures_rows_of_bicubic_come_from_another_pipeline(shared_data, name, scale):
    paths = find_pictures(shared_data / name)
    values = np.mean([protocols.literature(load(path).pixels, scale) for path in paths], axis=0)
    psnr, ssim = LITERATURE[name, scale]
    assert values[0] == pytest.approx(psnr, abs=0.01)
    assert values[1] == pytest.approx(ssim, abs=0.0005)


@pytest.mark.parametrize("sigma", [10.0, 50.0])
def test_noisy_pictures_meet_their_closed_forms(sigma):
    """One draw: 20 log10(255 / sigma). Fresh draws averaged: the variance falls by the number of tiles on a pixel."""
    pixels = np.random.default_rng(0).integers(0, 256, (160, 200, 1)).astype(np.uint8)
    covered = np.zeros(pixels.shape[:2])
    for y in tile_starts(160, RELEASED_TILE, RELEASED_OVERLAP):
        for x in tile_starts(200, RELEASED_TILE, RELEASED_OVERLAP):
            covered[y : y + RELEASED_TILE, x : x + RELEASED_TILE] += 1
    one_draw = 20 * np.log10(255 / sigma)
    expected = {"standard": one_draw, "released": one_draw - 10 * np.log10(np.mean(1 / covered))}
    for protocol, psnr in expected.items():
        task = Denoise((sigma,))
        found, _ = measure(task, baseline("identity", task), pixels, protocol, jax.random.key(1))
        assert found == pytest.approx(psnr, abs=0.08), protocol
    assert expected["released"] - expected["standard"] > 1
