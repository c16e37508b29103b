"""The main job in miniature, from the config ``demo``: search, train, evaluate and restore, with pictures of it all."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np

from hinas_jax.architecture import Architecture
from hinas_jax.config import Config, load_config
from hinas_jax.curves import plot_search, plot_training, side_by_side
from hinas_jax.data.sources import load_pictures
from hinas_jax.drawing import draw_architecture
from hinas_jax.evaluation import best_gaussian_blur, network_restorer
from hinas_jax.protocols import Picture, psnr_and_ssim
from hinas_jax.run_files import read_metrics
from hinas_jax.saying import Say
from hinas_jax.searching import search
from hinas_jax.training import train
from hinas_jax.writing import write_whole

SHOWN: Final = 256  #: side of the part of each picture that is shown, in pixels
DEGRADED, BLURRED, RESTORED, CLEAN = "noisy", "best Gaussian blur", "restored", "clean"


def run_demo(
    workdir: Path, config: Config | None = None, say: Say = print, *, restart: bool = False
) -> dict[str, object]:
    """Search, train and restore into ``workdir``; returns what it writes to summary.json.

    PSNR and SSIM are means over the held-back pictures, by the protocol ``standard``.

    Args:
        workdir: the folder; what was begun there goes on.
        config: a denoising experiment on the bundled pictures; the config ``demo`` by default.
        say: where lines for people go.
        restart: search and train anew.
    """
    started = time.monotonic()
    config = config or load_config("demo")
    task = config.task.build()
    say("1 of 3: search an architecture")
    architecture = search(config, workdir / "search", restart=restart, say=say)
    say("2 of 3: train it")
    model = train(config, architecture, workdir / "train", restart=restart, say=say)
    say("3 of 3: restore pictures that neither has seen")
    held_back = load_pictures(config.data.root, "test", config.task.channels)
    assert held_back is not None  # the bundled pictures have some
    restore = network_restorer(model)
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in (DEGRADED, RESTORED, BLURRED)}
    for number, (name, pixels) in enumerate(zip(held_back.names, held_back.pixels, strict=True)):
        clean = pixels.astype(np.float32) / 255
        degraded = np.asarray(task.degrade(jax.random.fold_in(jax.random.key(config.seed), number), jnp.asarray(clean)))
        versions = {
            DEGRADED: degraded,
            BLURRED: best_gaussian_blur(degraded, clean),
            RESTORED: restore(degraded, clean),
            CLEAN: clean,
        }
        for version, values in scores.items():
            values.append(psnr_and_ssim(versions[version], clean))
        _show(versions, {version: values[-1] for version, values in scores.items()}, workdir / f"{name}.png")
    _draw(model.architecture, workdir)
    means = {version: np.mean(np.array(values), axis=0) for version, values in scores.items()}
    summary: dict[str, object] = {"task": task.name, "sigma": config.task.sigmas[0], "pictures": len(held_back)}
    for key, version in (("degraded", DEGRADED), ("restored", RESTORED), ("gaussian_blur", BLURRED)):
        summary[f"psnr_{key}"], summary[f"ssim_{key}"] = (round(float(value), 4) for value in means[version])
    summary["parameters"] = model.architecture.parameters()
    summary["seconds"] = round(time.monotonic() - started, 1)
    write_whole(workdir / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _show(versions: dict[str, Picture], scores: dict[str, tuple[float, float]], path: Path) -> None:
    """The middle of each version side by side, with the whole picture's scores."""
    height, width = versions[CLEAN].shape[:2]
    top, left = max(height - SHOWN, 0) // 2, max(width - SHOWN, 0) // 2
    part = {
        name: np.round(np.clip(picture[top : top + SHOWN, left : left + SHOWN], 0, 1) * 255).astype(np.uint8)
        for name, picture in versions.items()
    }
    captions = {name: f"{values[0]:.2f} dB, SSIM {values[1]:.3f}" for name, values in scores.items()}
    side_by_side(part, path, captions=captions)


def _draw(architecture: Architecture, workdir: Path) -> None:
    draw_architecture(architecture, workdir / "architecture.png")
    plot_search(read_metrics(workdir / "search" / "metrics.jsonl"), workdir / "search.png")
    plot_training(read_metrics(workdir / "train" / "metrics.jsonl"), workdir / "train.png")
