"""Tiny searches and trainings, each in a process of its own, and whether one ended as another that was left alone."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.checkpoints import Checkpoints
from hinas_jax.config import Config, load_config
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.tables.definition import with_fields

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 900  # seconds for one process on a busy machine


class Process:
    """A command in a process of its own, its lines with their times."""

    def __init__(self, command: list[str], env: dict[str, str], limit: int | None = None) -> None:
        self.started = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if limit is not None:  # while the process still starts
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append((time.monotonic() - self.started, line.rstrip()))

    def running(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stderr is not None
        self._process.stderr.close()
        return code

    def told(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def seconds_to(self, words: str) -> float | None:
        """When the first line that begins so came, in seconds after the start."""
        return next((at for at, line in self.lines if line.startswith(words)), None)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A search or a training of the tiny config, and what it leaves when nobody disturbs it."""

    name: str
    words: list[str]
    env: dict[str, str]
    undisturbed: Path

    def start(self, workdir: Path, limit: int | None = None) -> Process:
        return Process([sys.executable, *self.words, "--workdir", str(workdir)], self.env, limit)

    def differences(self, workdir: Path) -> list[str]:
        """What differs from the undisturbed run: nothing, if nothing was lost."""
        differing = [name for name in self.files() if _content(workdir / name) != _content(self.undisturbed / name)]
        one, other = (_newest(path / "checkpoints") for path in (workdir, self.undisturbed))
        return differing + ([] if _equal(one, other) else ["state"])

    def files(self) -> list[str]:
        names = ["architecture.json", "architecture.svg", "config.json", "metrics.jsonl", "manifest.json"]
        return names + (["model.safetensors"] if self.name == "train" else [])


def _content(path: Path) -> Any:
    """The content, without what tells of time."""
    if not path.exists():
        return None
    if path.suffix == ".jsonl":
        return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in path.read_text().splitlines()]
    if path.name == "manifest.json":
        return {k: v for k, v in json.loads(path.read_text()).items() if k != "seconds"}
    return path.read_bytes()


def _newest(folder: Path) -> Any:
    with Checkpoints(folder, read_only=True) as checkpoints:
        return checkpoints.read(checkpoints.numbers()[-1]).state


def _equal(one: Any, other: Any) -> bool:
    leaves, others = jax.tree.leaves(one), jax.tree.leaves(other)
    return len(leaves) == len(others) and all(np.array_equal(a, b) for a, b in zip(leaves, others, strict=True))


def tiny_config(pictures: Path, epochs: int) -> Config:
    """The config ``debug``, smaller still: ``epochs`` epochs of 3 steps, and as many stretches of 2 in training."""
    changes = {
        "seed": 3,
        "data.root": str(pictures),
        **{"space.layers": 1, "space.nodes": 1, "space.base_width": 2, "space.start_width": 3, "space.end_width": 3},
        **{"search.epochs": epochs, "search.warmup": 0.0, "search.evaluate_after": 0.2, "search.patch": 12},
        **{"search.crops_per_picture": 2, "search.arch_learning_rate": 0.1},
        **{"train.steps": 2 * epochs, "train.validate_every": 2, "train.patch": 12},
        "compute.checkpoint_seconds": 0.02,
    }
    return with_fields(load_config("debug"), changes)


def write_pictures(folder: Path) -> None:
    """Seven small pictures of noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(rng.integers(0, 256, (20 + i, 27 - i), np.uint8)).save(folder / f"{i}.png")


def tiny_architecture(space: SearchSpace) -> Architecture:
    """A network of the space of ``tiny_config``."""
    return Architecture(
        cells=(CellArchitecture(((Edge(0, "conv3"), Edge(1, "sep3")),)),),
        levels=(1,),
        base_width=space.base_width,
        width_factors=space.width_factors,
        start_width=space.start_width,
        end_width=space.end_width,
    )


def undisturbed(name: str, folder: Path, config: Config) -> Kind:
    """Run a search or a training to its end, alone; compiled programs stay for all that follow."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(config.to_json())
    words = [f"{name}.py", str(file)]
    if name == "train":
        tiny_architecture(config.space).save(folder / "architecture.json")
        words += ["--architecture", str(folder / "architecture.json")]
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    kind = Kind(name, words, env, folder / f"{name}-alone")
    process = kind.start(kind.undisturbed)
    assert process.wait() == 0, process.told()
    return kind
