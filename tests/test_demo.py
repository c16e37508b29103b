"""The demo on a config shrunk to seconds: what it leaves, and that its numbers are those of `hinas evaluate`."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from hinas_jax.architecture import Architecture
from hinas_jax.config import load_config
from hinas_jax.demo import run_demo
from hinas_jax.evaluation import evaluate

KEYS = {
    "task", "sigma", "pictures", "psnr_degraded", "psnr_restored", "psnr_gaussian_blur",
    "ssim_degraded", "ssim_restored", "ssim_gaussian_blur", "parameters", "seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def config():
    config = load_config("debug")
    return dataclasses.replace(
        config,
        space=dataclasses.replace(config.space, layers=1, nodes=1),
        search=dataclasses.replace(config.search, epochs=2),
        train=dataclasses.replace(config.train, steps=4, validate_every=2),
    )


@pytest.fixture(scope="module")
def demo(config, tmp_path_factory, quick_compiling):
    del quick_compiling
    workdir = tmp_path_factory.mktemp("demo")
    return workdir, run_demo(workdir, config, say=lambda _: None)


def test_the_summary_holds_what_was_promised(demo):
    workdir, summary = demo
    assert json.loads((workdir / "summary.json").read_text()) == summary
    assert summary.keys() == KEYS
    assert (summary["task"], summary["sigma"], summary["pictures"]) == ("denoise", 50.0, 3)
    assert summary["parameters"] == Architecture.load(workdir / "train" / "architecture.json").parameters()
    assert summary["psnr_degraded"] == pytest.approx(20 * np.log10(255 / 50), abs=0.05)
    assert summary["psnr_gaussian_blur"] > summary["psnr_degraded"] + 5
    assert summary["seconds"] > 0


def test_the_same_demo_again_searches_and_trains_no_more(demo, config):
    workdir, summary = demo
    said = []
    again = run_demo(workdir, config, say=said.append)
    assert again | {"seconds": 0} == summary | {"seconds": 0}
    assert not [line for line in said if line.startswith("compiling the")]


def test_the_restored_numbers_are_those_of_evaluate(demo):
    workdir, summary = demo
    report = evaluate(str(workdir / "train" / "model.safetensors"), data="bundled", say=lambda _: None)
    assert report.results[0].psnr == pytest.approx(summary["psnr_restored"], abs=1e-3)
    assert report.results[0].ssim == pytest.approx(summary["ssim_restored"], abs=1e-3)


def test_there_is_a_picture_of_everything(demo):
    workdir, _ = demo
    names = {path.name for path in workdir.glob("*.png")}
    assert names == {"camera.png", "coffee.png", "rocket.png", "architecture.png", "search.png", "train.png"}
    for name in names:
        with Image.open(workdir / name) as picture:
            assert min(picture.size) > 200
            assert np.ptp(np.asarray(picture.convert("L"))) > 100
