"""The folder of a run: config, manifest, metrics. What a search or a training leaves to be read."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import jax

from hinas_jax.config import Config, ConfigError, differing_fields, load_config
from hinas_jax.data.sources import prepared_digests

PACKAGES: Final = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "dm-pix", "numpy", "hinas-jax")


#: What a run writes, besides ``checkpoints/``.
FILES: Final = (
    "config.json", "metrics.jsonl", "manifest.json", "architecture.json", "architecture.svg", "model.safetensors",
)  # fmt: skip


Kind = Literal["search", "train"]


class RunFolder:
    """One run's folder. The same run goes on in it; another one is refused."""

    def __init__(
        self, path: Path, config: Config, kind: Kind, splits: Mapping[str, str], *, restart: bool = False
    ) -> None:
        """Open or create the folder, and write config.json and manifest.json.

        Args:
            path: the folder.
            config: the experiment.
            kind: what runs here.
            splits: digests of the pictures, by the name of their part.
            restart: clear what a run of this kind left there.

        Raises:
            ConfigError: it holds a run of another kind, config, or pictures, or cannot be written.
        """
        self.path = path
        self._metrics = path / "metrics.jsonl"
        self._facts = {
            "kind": kind,
            "seed": config.seed,
            "data": {"root": config.data.root, "digests": prepared_digests(config.data.root)},
            "splits": dict(splits),
        }
        try:
            self._refuse_other_kind(kind)
            if restart:
                self._clear()
            path.mkdir(parents=True, exist_ok=True)
            self._claim(config)
            self.write_manifest()
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror}); give another --workdir") from None

    def write_manifest(self, **facts: Any) -> None:
        """Write manifest.json: kind, seed, digests of the splits, versions, device, and ``facts`` (seconds)."""
        document = {
            "git_revision": _git_revision(),
            "python": platform.python_version(),
            "versions": {name: _version(name) for name in PACKAGES},
            "backend": jax.default_backend(),
            "device": jax.devices()[0].device_kind,
            "devices": jax.device_count(),
            **self._facts,
            **facts,
        }
        self.write("manifest.json", json.dumps(document, indent=2) + "\n")

    def write(self, name: str, text: str) -> None:
        """Write a text file whole or not at all."""
        partial = self.path / f"{name}.partial"
        partial.write_text(text)
        partial.replace(self.path / name)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl; a number that is not finite is null there (JSON has no NaN)."""
        strict = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in row.items()}
        with self._metrics.open("a") as file:
            file.write(json.dumps(strict, allow_nan=False) + "\n")

    def cut_metrics(self, step: int) -> float:
        """Drop the rows after ``step`` (a resumed run writes them again); returns the seconds spent until then."""
        if not self._metrics.exists():
            return 0.0
        rows = []
        for line in self._metrics.read_text().splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:  # a torn last line of a killed process
                continue
            if row["step"] <= step:
                rows.append(row)
        self.write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        return float(rows[-1]["seconds"]) if rows else 0.0

    def _claim(self, config: Config) -> None:
        file = self.path / "config.json"
        if file.exists():
            there = load_config(str(file))
            if names := differing_fields(there, config):
                raise ConfigError(
                    f"{self.path} holds a run of another config (differing: {', '.join(names)});"
                    " give another --workdir, or --restart to begin anew there"
                )
            splits = self._manifest().get("splits", self._facts["splits"])
            if splits != self._facts["splits"]:
                raise ConfigError(
                    f"{self.path}: the pictures of {config.data.root} have changed since this run began;"
                    " give another --workdir, or --restart to begin anew there"
                )
        self.write("config.json", config.to_json())

    def _refuse_other_kind(self, kind: Kind) -> None:
        there = self._manifest().get("kind", kind)
        if there != kind:
            what = "search" if there == "search" else "training"
            raise ConfigError(f"{self.path} holds a {what}, which this would overwrite; give another --workdir")

    def _manifest(self) -> dict[str, Any]:
        """What manifest.json says; nothing if there is none that can be read."""
        try:
            document = json.loads((self.path / "manifest.json").read_text())
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def _clear(self) -> None:
        """Remove a run, and nothing but a run."""
        if not (self.path / "config.json").exists():
            return
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
