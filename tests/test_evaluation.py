"""The named protocols, checked without any network: closed forms, references, and the literature's rows."""

import io
import json

import jax
import numpy as np
import pytest
from left_by_runs import quiet
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from test_restoring import model_of
from tiny import counted

from hinas_jax import evaluation
from hinas_jax.evaluation import EvaluationError, Report, Result, baseline, best_gaussian_blur, evaluate
from hinas_jax.modelfile import Model
from hinas_jax.protocols import measure
from hinas_jax.tasks import Denoise, SuperResolve

#: bicubic under `standard`, x2, x3, x4: PSNR and SSIM on Y, found with independent code
BICUBIC_ROWS = {
    "Set5": ((33.673, 0.9303), (30.403, 0.8689), (28.429, 0.8111)),
    "Set14": ((30.326, 0.8699), (27.634, 0.7759), (26.091, 0.7048)),
}


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.random((80, 96, 1)), (3, 3, 0))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (smooth * 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, picture):
    for i in range(2):
        Image.fromarray(np.roll(picture[..., 0], 5 * i, 0)).save(tmp_path / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("name", BICUBIC_ROWS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_meets_the_known_rows(shared_data, name, scale):
    report = evaluate("bicubic", images=shared_data / name / "HR", scale=scale, say=quiet)
    psnr, ssim = BICUBIC_ROWS[name][scale - 2]
    assert report.results[0].psnr == pytest.approx(psnr, abs=0.01)
    assert report.results[0].ssim == pytest.approx(ssim, abs=0.0005)


def test_noise_meets_its_closed_form(picture):
    psnr, _ = measure(Denoise((25.0,)), baseline("identity", Denoise()), picture, "standard", jax.random.key(0))
    assert psnr == pytest.approx(20 * np.log10(255 / 25), abs=0.1)


def test_standard_denoising_is_the_mean_over_pictures_of_skimage_values(folder):
    report = evaluate("gaussian-blur", images=folder, sigma=30, seed=4, say=quiet)
    expected = []
    for i in range(2):
        clean = np.asarray(Image.open(folder / f"{i}.png"))[..., None].astype(np.float32) / 255
        key = jax.random.fold_in(jax.random.key(4), i)
        degraded = np.asarray(Denoise((30.0,)).degrade(key, clean))
        blurred = best_gaussian_blur(degraded, clean)
        full = structural_similarity(
            clean[..., 0], blurred[..., 0], data_range=1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )[1]  # fmt: skip
        expected.append((peak_signal_noise_ratio(clean, blurred, data_range=1), full[5:-5, 5:-5].mean()))
    row = report.results[0]
    assert (row.psnr, row.ssim) == pytest.approx(np.mean(expected, axis=0), abs=1e-3)
    assert (row.images, row.task, row.strength) == (2, "denoise", {"sigma": 30})


def test_a_network_is_compiled_once_for_all_strengths(folder, monkeypatch):
    model = model_of()
    Model(model.architecture, model.variables, {"task": {"sigmas": [30.0, 50.0]}}).save(folder / "model.safetensors")
    compiled = counted(monkeypatch)
    report = evaluate(str(folder / "model.safetensors"), images=folder, say=quiet)
    assert [row.strength["sigma"] for row in report.results] == [30.0, 50.0]
    assert len(compiled) == 1  # two pictures of one size


def test_the_first_pictures_by_name_can_be_measured_alone(folder):
    both = evaluate("identity", images=folder, sigma=25, channels=1, say=quiet).results[0]
    one = evaluate("identity", images=folder, sigma=25, channels=1, first=1, say=quiet).results[0]
    (folder / "1.png").unlink()
    alone = evaluate("identity", images=folder, sigma=25, channels=1, say=quiet).results[0]
    assert (both.images, one.images) == (2, 1)
    assert one == alone != both


def test_best_blur_is_no_worse_than_any_other_and_not_the_picture_itself(picture):
    clean = picture.astype(np.float32) / 255
    degraded = np.asarray(Denoise((50.0,)).degrade(jax.random.key(0), clean))
    error = np.mean((best_gaussian_blur(degraded, clean) - clean) ** 2)
    others = [np.mean((gaussian_filter(degraded, (w, w, 0)) - clean) ** 2) for w in (0.5, 1.0, 2.0, 3.0)]
    assert error <= min(others) + 1e-9
    assert error < np.mean((degraded - clean) ** 2) / 4


def test_released_denoising_draws_fresh_noise_where_tiles_overlap(picture):
    """Averaging two independent draws in the overlaps must show as a higher PSNR than one draw allows."""
    identity, task = baseline("identity", Denoise()), Denoise((50.0,))
    standard, _ = measure(task, identity, picture, "standard", jax.random.key(0))
    released, _ = measure(task, identity, picture, "released", jax.random.key(0))
    assert standard == pytest.approx(14.15, abs=0.15)
    assert released > standard + 0.5


def test_standard_super_resolution_rounds_takes_luma_and_crops():
    rng = np.random.default_rng(1)
    clean = rng.integers(0, 256, (40, 46, 3)).astype(np.uint8)
    restored = clean.astype(np.float32) / 255 + 0.4 / 255  # rounded away
    restored[:2] = 0  # cropped away
    psnr, ssim = measure(SuperResolve(2), lambda *_: restored, clean, "standard", jax.random.key(0))
    assert psnr > 80
    assert ssim == pytest.approx(1, abs=1e-5)


def test_released_super_resolution_keeps_border_and_fractions_and_swaps_the_weights():
    clean = np.full((40, 40, 3), 100, np.uint8)
    restored = clean.astype(np.float32) / 255
    restored[..., 2] += 0.1  # blue, which the swapped weights take for red
    psnr, _ = measure(SuperResolve(2), lambda *_: restored, clean, "released", jax.random.key(0))
    assert psnr == pytest.approx(-20 * np.log10(0.1 * 65.481 / 255), abs=1e-2)


def test_other_tasks_are_measured_by_all_pixels_of_what_was_degraded(tmp_path, picture):
    for folder, pixels in (("clean", picture), ("degraded", picture // 2)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels[..., 0]).save(tmp_path / folder / "a.png")
    file = io.BytesIO()
    Image.fromarray(picture[..., 0]).save(file, "JPEG", quality=10)
    expected = {"deblock": (np.asarray(Image.open(file)), {"quality": 10}), "paired": (picture[..., 0] // 2, {})}
    for task, (degraded, strength) in expected.items():
        options = {"images": tmp_path / "clean", "quality": 10} if strength else {"images": tmp_path, "task": task}
        (row,) = evaluate("identity", channels=1, say=quiet, **options).results
        assert (row.task, row.strength, row.images) == (task, strength, 1)
        assert row.psnr == pytest.approx(peak_signal_noise_ratio(picture[..., 0], degraded), abs=0.05)


def test_pictures_are_cropped_to_a_multiple_of_the_scale():
    clean = np.random.default_rng(2).integers(0, 256, (41, 47, 3)).astype(np.uint8)
    psnr, _ = measure(SuperResolve(3), baseline("bicubic", SuperResolve(3)), clean, "standard", jax.random.key(0))
    assert np.isfinite(psnr)


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("bicubic", {"sigma": 50}, "--scale"),
        ("gaussian-blur", {"scale": 2}, "--sigma"),
        ("identity", {}, "needs one of --sigma or --scale or --quality or --blur, or --task paired"),
        ("identity", {"sigma": 20, "scale": 2}, "needs one of"),
        ("identity", {"sigma": 20, "task": "paired"}, "needs one of"),
        ("identity", {"sigma": 0}, "--sigma cannot be 0: .* above 0"),
        ("identity", {"quality": 0}, "--quality cannot be 0: .* from 1 to 100"),
        ("identity", {"blur": -1}, "--blur cannot be -1"),
        ("bicubic", {"scale": 7}, "--scale cannot be 7: .* 2, 3, 4 or 8"),
        ("identity", {"quality": 10, "protocol": "released"}, "authors' code does not measure the task deblock"),
    ],
)
def test_what_cannot_be_measured_is_told(folder, model, options, words):
    with pytest.raises(EvaluationError, match=words) as told:
        evaluate(model, images=folder, say=quiet, **options)
    assert "\n" not in str(told.value)


def test_a_folder_without_test_pictures_is_told(folder):
    with pytest.raises(EvaluationError, match="no pictures set aside for testing"):
        evaluate("identity", data=str(folder), sigma=50, say=quiet)


@pytest.mark.parametrize(
    ("shape", "options", "least"),
    [
        ((12, 30), {"sigma": 50}, 13),
        ((31, 14), {"scale": 2}, 15),
        ((80, 63), {"sigma": 50, "protocol": "released"}, 64),
    ],
)
def test_too_small_a_picture_is_told(tmp_path, shape, options, least):
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "tiny.png")
    with pytest.raises(EvaluationError, match=rf"tiny: {shape[1]}x\d+ pixels .* which takes {least}x{least}"):
        evaluate("identity", images=tmp_path, say=quiet, **options)


def test_the_report_keeps_to_the_contract(tmp_path):
    rows = (
        Result("S", "denoise", {"sigma": 50.0}, 3, 20.0, 0.5),
        Result("S", "super_resolve", {"scale": 2}, 3, 30.0, 0.9),
        Result("S", "paired", {}, 3, 30.0, 0.9),
    )
    evaluation.write_report(Report("m", 7, "standard", rows), tmp_path / "new" / "r.json")
    document = json.loads((tmp_path / "new" / "r.json").read_text())
    assert document == {
        "model": "m",
        "parameters": 7,
        "protocol": "standard",
        "results": [
            {"set": "S", "task": "denoise", "sigma": 50.0, "images": 3, "psnr": 20.0, "ssim": 0.5},
            {"set": "S", "task": "super_resolve", "scale": 2, "images": 3, "psnr": 30.0, "ssim": 0.9},
            {"set": "S", "task": "paired", "images": 3, "psnr": 30.0, "ssim": 0.9},
        ],
    }
