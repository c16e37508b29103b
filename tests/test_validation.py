"""V is scored as by hand, the same each time, whatever the sizes of its pictures."""

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from hinas_jax.data import bicubic
from hinas_jax.data.sources import PictureSet
from hinas_jax.mesh import make_mesh
from hinas_jax.tasks import Denoise, SuperResolve
from hinas_jax.validation import Score, Validation

TILE = 16
SIZES = [(16, 16), (30, 41), (33, 17)]  # two are no multiples of the tile; the last is odd both ways
TILES = 1 + 2 * 3 + 3 * 2


def pictures(channels=1):
    rng = np.random.default_rng(0)
    levels = [rng.integers(0, 256, (*size, channels), np.uint8) for size in SIZES]
    return PictureSet(tuple("abc"), tuple(levels))


def identity(variables, tiles):
    del variables
    return tiles


def by_hand(restored, clean):
    """Means over pictures of PSNR and SSIM, from NumPy and scikit-image."""
    psnrs, ssims = [], []
    for r, c in zip(restored, clean, strict=True):
        r, c = np.asarray(r, np.float64), np.asarray(c, np.float64)  # noqa: PLW2901
        psnrs.append(-10 * math.log10(((r - c) ** 2).mean()))
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        _, values = structural_similarity(r, c, channel_axis=-1, full=True, **settings)
        ssims.append(values[5:-5, 5:-5].mean())
    return np.mean(psnrs), np.mean(ssims)


@dataclasses.dataclass(frozen=True)
class Streaks(Denoise):
    """A degradation that can be computed by hand: every pixel by its place."""

    def degrade(self, key, clean):
        del key
        height, width, _ = clean.shape
        return clean + self.streaks(height, width)

    @staticmethod
    def streaks(height, width):
        return 0.2 * jnp.sin(jnp.arange(height)[:, None, None] * 1.3 + jnp.arange(width)[None, :, None] * 0.7)


@pytest.mark.parametrize("batch", [1, 4, 20])
def test_with_an_identity_the_score_is_that_of_the_degraded_pictures(batch):
    clean = [pixels / 255 for pixels in pictures().pixels]
    degraded = [c + Streaks.streaks(*c.shape[:2]) for c in clean]
    score = Validation(pictures(), Streaks(), seed=0, tile=TILE, batch=batch).score(identity, None)
    assert (score.psnr, score.ssim) == pytest.approx(by_hand(degraded, clean), rel=1e-4)


def test_enlarged_tiles_are_joined_and_odd_pictures_cut_to_a_multiple_of_the_scale():
    def enlarge(variables, tiles):
        return (tiles * variables).repeat(2, axis=1).repeat(2, axis=2)

    clean = [pixels[: h // 2 * 2, : w // 2 * 2] / 255 for pixels, (h, w) in zip(pictures(3).pixels, SIZES, strict=True)]
    reduced = [np.asarray(bicubic.downsample(jnp.asarray(c, jnp.float32), 2)) for c in clean]
    restored = [0.9 * r.repeat(2, axis=0).repeat(2, axis=1) for r in reduced]
    score = Validation(pictures(3), SuperResolve(2), seed=0, tile=8, batch=4).score(enlarge, 0.9)
    assert (score.psnr, score.ssim) == pytest.approx(by_hand(restored, clean), rel=1e-4)


def test_the_noise_comes_from_the_seed_and_has_the_deviation_of_sigma():
    def score(seed):
        return Validation(pictures(), Denoise((50.0,)), seed=seed, tile=TILE, batch=4).score(identity, None)

    one = Validation(pictures(), Denoise((50.0,)), seed=1, tile=TILE, batch=4)
    assert one.score(identity, None) == one.score(identity, None) == score(1) != score(2)
    assert one.score(identity, None).psnr == pytest.approx(20 * math.log10(255 / 50), abs=0.3)


def test_the_network_sees_one_shape_only_and_every_tile_once():
    shapes, seen = [], []

    def record(variables, tiles):
        shapes.append(tiles.shape)
        seen.append(np.asarray(tiles))
        return tiles

    Validation(pictures(), Streaks(), seed=0, tile=TILE, batch=4).score(record, None)
    assert set(shapes) == {(4, TILE, TILE, 1)}
    tiles = np.concatenate(seen)
    assert len(tiles) == -(-TILES // 4) * 4
    assert np.abs(tiles[:TILES]).max(axis=(1, 2, 3)).all()
    assert not tiles[TILES:].any()


def test_the_variables_reach_the_network():
    validation = Validation(pictures(), Streaks(), seed=0, tile=TILE, batch=4)
    scaled = jax.jit(lambda variables, tiles: variables["gain"] * tiles)
    half, full = (validation.score(scaled, {"gain": jnp.float32(gain)}).psnr for gain in (0.5, 1.0))
    assert half < full


def test_the_best_is_chosen_by_ssim_plus_a_hundredth_of_psnr():
    assert Score(psnr=30.0, ssim=0.9).value == pytest.approx(1.2)
    assert not Score(psnr=math.nan, ssim=0.9).value > -math.inf


def test_a_large_batch_restores_no_more_tiles_than_there_are():
    validation = Validation(pictures(), Streaks(), seed=0, tile=TILE, batch=4096)
    sizes = []

    def count(variables, tiles):
        sizes.append(tiles.shape[0])
        return tiles

    program = validation.compile(count, {}, make_mesh(1), lambda _: None)
    everything = Validation(pictures(), Streaks(), seed=0, tile=TILE, batch=1).score(identity, None)
    assert validation.score(program, {}) == everything
    assert sizes == [TILES]


def test_many_batches_on_several_devices_end_and_score_as_on_one():
    # Hundreds of programs in flight at once, each with a part on every device, would wait for one another for ever.
    told = [
        subprocess.run(
            [sys.executable, Path(__file__).with_name("run_validation.py")],
            env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        ).stdout.split()
        for devices in (1, 4)
    ]
    assert [words[0] for words in told] == ["1", "4"]
    assert told[0][1:] == told[1][1:]
