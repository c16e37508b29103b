"""The runs of all tables in one folder: each is done once, goes on where it was interrupted, and is reused.

A run's folder is named by a digest of all that its result depends on: the config, the architecture, the pictures.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hinas_jax.architecture import Architecture
from hinas_jax.config import Config, SearchConfig, TrainConfig
from hinas_jax.evaluation import evaluate
from hinas_jax.inference import ready
from hinas_jax.modelfile import Model
from hinas_jax.protocols import Protocol
from hinas_jax.run_files import read_manifest
from hinas_jax.saying import Say
from hinas_jax.searching import search
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.tables.pictures import TestSet, pictures_of, training_pictures
from hinas_jax.tasks import task_of
from hinas_jax.training import train
from hinas_jax.writing import write_whole

DIGITS = 12  #: of a digest in a folder's name


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished search or training."""

    folder: Path
    seconds: float
    manifest: dict[str, Any]

    @property
    def architecture(self) -> Architecture:
        """What was found, or trained."""
        return Architecture.load(self.folder / "architecture.json")

    @property
    def model(self) -> Path:
        """A training's model file."""
        return self.folder / "model.safetensors"


class Store:
    """Runs, by what they depend on."""

    def __init__(self, folder: Path, say: Say = print) -> None:
        self.folder, self.say = folder, say
        #: All runs that were asked for since, reused ones too, in order.
        self.used: dict[str, Run] = {}
        self._digests: dict[tuple[str, int, tuple[str, ...]], str] = {}

    def search(self, config: Config) -> Run:
        """A search, or the finished one of the same config and pictures."""
        config = dataclasses.replace(config, train=TrainConfig())  # no part of a search
        folder = self._folder("searches", config, _digest(config.to_json(), self._training_digest(config)))
        return self._run(folder, lambda: search(config, folder, say=self.say))

    def train(self, config: Config, architecture: Architecture) -> Run:
        """A training, or the finished one of the same config, architecture and pictures."""
        config = dataclasses.replace(config, search=SearchConfig(), space=SearchSpace())  # no part of a training
        parts = (config.to_json(), architecture.to_json(), self._training_digest(config))
        folder = self._folder("trainings", config, _digest(*parts))
        return self._run(folder, lambda: train(config, architecture, folder, say=self.say))

    def score(self, run: Run, test: TestSet, protocol: Protocol) -> tuple[float, float]:
        """PSNR in dB and SSIM of a trained model, as means over the set's pictures."""

        def measure() -> list[float]:
            report = evaluate(
                str(run.model),
                images=test.folder,
                data=test.root,
                first=test.pictures,
                protocol=protocol,
                say=self.say,
            )
            return [report.results[0].psnr, report.results[0].ssim]

        name = f"score-{protocol}-{_digest(test.digest)}"
        psnr, ssim = self._measured(run.folder / "measured" / f"{name}.json", measure)
        return psnr, ssim

    def baseline_score(self, name: str, config: Config, test: TestSet, protocol: Protocol) -> tuple[float, float]:
        """The same of a baseline without a network, for the task of ``config`` with its one strength."""
        task = config.task
        level = {"sigma": task.sigmas[0]} if task.scale == 1 else {"scale": task.scale}

        def measure() -> list[float]:
            report = evaluate(
                name,
                images=test.folder,
                data=test.root,
                first=test.pictures,
                protocol=protocol,
                channels=task.channels,
                say=self.say,
                **level,
            )
            return [report.results[0].psnr, report.results[0].ssim]

        key = _digest(test.digest, json.dumps(level), str(task.channels))
        psnr, ssim = self._measured(self.folder / "baselines" / f"{name}-{protocol}-{key}.json", measure)
        return psnr, ssim

    def inference_seconds(self, run: Run, test: TestSet) -> float:
        """Seconds to restore the set's pictures one by one on this device, the programs compiled before."""

        def measure() -> list[float]:
            model = Model.load(run.model)
            return [time_inference(model, pictures_of(test, model.architecture.channels).pixels)]

        name = f"inference-{_digest(test.digest, jax.devices()[0].device_kind)}"
        return self._measured(run.folder / "measured" / f"{name}.json", measure)[0]

    def _training_digest(self, config: Config) -> str:
        key = (config.data.root, config.task.channels, config.data.exclude)
        if key not in self._digests:  # pictures do not change while a table is made
            self._digests[key] = training_pictures(config).digest()
        return self._digests[key]

    def _folder(self, kind: str, config: Config, digest: str) -> Path:
        task = config.task.name if config.task.scale == 1 else f"{config.task.name}_x{config.task.scale}"
        return self.folder / kind / f"{task}-{digest}"

    def _run(self, folder: Path, run: Callable[[], object]) -> Run:
        """Run, unless it has been: only a run that came to its end says its seconds in manifest.json."""
        name = folder.relative_to(self.folder).as_posix()
        finished = read_manifest(folder).get("seconds") is not None
        self.say(f"{name}: {'done before' if finished else 'runs now'}")
        if not finished:
            run()
        manifest = read_manifest(folder)
        self.used[name] = Run(folder, float(manifest["seconds"]), manifest)
        return self.used[name]

    def _measured(self, file: Path, measure: Callable[[], list[float]]) -> list[float]:
        if file.exists():
            return [float(value) for value in json.loads(file.read_text())]
        values = measure()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(values) + "\n")
        return values


def time_inference(model: Model, pictures: tuple[np.ndarray, ...]) -> float:
    """Seconds to restore these clean pictures' degraded versions one by one, each shape compiled and run before.

    Shape by shape, each warmed up right before it is timed: only so many programs are kept at a time.
    """
    task, run, seconds = task_of(model.architecture), ready(model), 0.0
    shapes = [(-(-p.shape[0] // task.scale), -(-p.shape[1] // task.scale), p.shape[2]) for p in pictures]
    for shape, count in collections.Counter(shapes).items():
        picture = jnp.full((1, *shape), 0.5, jnp.float32)
        jax.block_until_ready(run(picture))
        started = time.perf_counter()
        for _ in range(count):
            jax.block_until_ready(run(picture))
        seconds += time.perf_counter() - started
    return seconds


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]
