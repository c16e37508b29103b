"""The folder of a run: config, manifest, metrics. What a search or a training leaves to be read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib.metadata
import json
import math
import operator
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import jax

from hinas_jax.config import Config, differing_fields, load_config
from hinas_jax.config_forms import ConfigError
from hinas_jax.data.sources import prepared_digests
from hinas_jax.divergence import STEADYING
from hinas_jax.processes import agree, from_first, is_first, require_same
from hinas_jax.run_files import Row, read_manifest
from hinas_jax.saying import Say
from hinas_jax.writing import append_line, write_whole

PACKAGES: Final = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "dm-pix", "numpy", "hinas-jax")

#: What a run writes, besides ``checkpoints/``.
FILES: Final = (
    "config.json", "metrics.jsonl", "manifest.json", "architecture.json", "architecture.svg", "model.safetensors",
)  # fmt: skip

#: What the system says where a disk, or what a user may have of it, is full.
FULL: Final = (errno.ENOSPC, errno.EDQUOT)

#: What manifest.json says of the processes before: the memory that they measured, the environments other than the last
#: one, where the run diverged, and what was changed for it to go on.
HISTORY: Final = ("temp_bytes", "environments", "diverged", "mended")

#: Held while a process runs in the folder; says which one. It stays, for another process may be waiting on it.
LOCK: Final = ".lock"

Kind = Literal["search", "train"]


class RunFolder:
    """One run's folder. The same run goes on in it; another one is refused.

    Of several processes that run together the first one alone opens it and writes.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        kind: Kind,
        splits: Mapping[str, str],
        *,
        restart: bool = False,
        say: Say = print,
    ) -> None:
        """Open or create the folder, and write config.json and manifest.json.

        Args:
            path: the folder.
            config: the experiment.
            kind: what runs here.
            splits: digests of the pictures, by the name of their part.
            restart: clear what a run of this kind left there.
            say: where lines for people go.

        Raises:
            ConfigError: it holds a run of another kind, config, or pictures, cannot be written, or another process
                runs in it.
            ProcessError: another process of this run has other pictures, or failed.
        """
        self.path = path
        self._metrics = path / "metrics.jsonl"
        self._lock: int | None = None
        self._say = say
        self._history: dict[str, Any] = {}
        self._here = self._environment = environment()
        self._facts: dict[str, Any] = {
            "kind": kind,
            "seed": config.seed,
            "data": {"root": config.data.root, "digests": prepared_digests(config.data.root)},
            "splits": dict(splits),
        }
        require_same("pictures", json.dumps(dict(splits)).encode())
        agree(lambda: self._open(config, kind, restart) if is_first() else None)

    def _open(self, config: Config, kind: Kind, restart: bool) -> None:
        path = self.path
        try:
            self._refuse_other_kind(kind)
            path.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            if restart:
                self._clear()
            there = read_manifest(path)
            self._history = {name: there[name] for name in HISTORY if name in there}
            if self._checkpoint_numbers():  # until a step is done here, it is what they were computed under
                self._environment = self._here | {name: there[name] for name in self._here if name in there}
            self._claim(config)
            self.write_manifest()
        except OSError as error:
            self.close()
            raise self._unwritable(error) from None
        except ConfigError:
            self.close()
            raise

    def write_manifest(self, **facts: Any) -> None:
        """Write manifest.json: kind, seed, digests of the splits, versions, device, and ``facts``.

        Only a run that has come to its end tells its ``seconds``, and it has not diverged.
        """
        if "seconds" in facts:
            self._history.pop("diverged", None)
        document = {**self._environment, **self._facts, **self._history, **facts}
        self.write("manifest.json", json.dumps(document, indent=2) + "\n")

    def go_on_here(self, step: int) -> None:
        """Tell and remember, before steps are done after ``step``, where the ones before ran under other versions.

        manifest.json then holds this environment, and under ``environments`` those before, each with the last step that
        was done under it.
        """
        if not is_first() or self._environment == self._here:
            return
        differing = _differing(self._environment, self._here)
        self._say(
            f"warning: the run goes on under another environment ({', '.join(differing)}):"
            " from here on it rounds differently from the one that began"
        )
        earlier = self._history.setdefault("environments", [])
        earlier.append({"until_step": step, **self._environment})
        self._environment = self._here
        with self.writing():
            self.write_manifest()

    def note_divergence(self, step: int, kept: int) -> None:
        """Remember that the run diverged at ``step``, and that the checkpoint of step ``kept`` stays (0: none does).

        From then on it may go on with other values of the fields that ``divergence.STEADYING`` names.
        """
        self._history["diverged"] = {"step": step, "kept": kept}
        self.write_manifest()

    def write(self, name: str, text: str) -> None:
        """Write a text file whole or not at all."""
        if is_first():
            write_whole(self.path / name, text)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Within, a file that cannot be written, say because the disk is full, is told in one line.

        Raises:
            ConfigError: so it was.
        """
        try:
            yield
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> ConfigError:
        """What is told of it: where a run is, another folder would begin it anew."""
        mend = "make room" if error.errno in FULL else "mend that"
        try:
            there = self._holds_run()
        except OSError:
            there = False
        if there:
            mend += " and give the same command: it goes on from the last checkpoint"
        else:
            mend = f"{mend}, or give another --workdir"
        return ConfigError(f"{self.path}: cannot be written ({error.strerror}); {mend}")

    def append_metrics(self, row: Row) -> None:
        """Add a line to metrics.jsonl; a number that is not finite is null there (JSON has no NaN)."""
        strict = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in row.items()}
        if is_first():
            append_line(self._metrics, json.dumps(strict, allow_nan=False))

    def cut_metrics(self, step: int) -> list[Row]:
        """Drop the rows after ``step``, which a resumed run writes again, and what a killed process left of a row.

        Returns:
            The rows that stay, on every process.
        """
        rows: list[Row] = json.loads(from_first(lambda: json.dumps(self._cut(step)).encode()))
        return rows

    def share(self, name: str) -> None:
        """Leave the first process's file also in the folders, of the same path, of hosts that do not see its own."""
        content = from_first((self.path / name).read_bytes)
        file = self.path / name
        if not is_first() and not (file.is_file() and file.read_bytes() == content):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, content)

    def _cut(self, step: int) -> list[Row]:
        rows: list[Row] = []
        if not self._metrics.exists():
            return rows
        for line in self._metrics.read_text(errors="replace").splitlines():
            try:
                row = json.loads(line)
                if row["step"] <= step:
                    rows.append(row)
            except (ValueError, TypeError, KeyError):
                continue
        self.write("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def close(self) -> None:
        """Let other processes run in the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _take_lock(self) -> None:
        """The kernel lets go of it when the process ends, however it ends."""
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._lock, 100).decode(errors="replace").strip()
            raise ConfigError(
                f"{self.path}: another process runs there ({holder}); wait for its end, or give another --workdir"
            ) from None
        except OSError:  # a file system without locks
            return
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"process {os.getpid()} on {platform.node()}\n".encode())

    def temp_bytes(self) -> int:
        """What manifest.json says that the largest step takes; 0 where it says nothing."""
        told = read_manifest(self.path).get("temp_bytes")
        return told if isinstance(told, int) else 0

    def _claim(self, config: Config) -> None:
        file, mended = self.path / "config.json", False
        if file.exists():
            there = load_config(str(file))
            names = differing_fields(there, config)
            mended = bool(names) and self._mend(names, there, config)
            if names and not mended:
                raise ConfigError(
                    f"{self.path} holds a run of another config (differing: {', '.join(names)});"
                    " give another --workdir, or --restart to begin anew there"
                )
            splits = read_manifest(self.path).get("splits", self._facts["splits"])
            if splits != self._facts["splits"]:
                raise ConfigError(
                    f"{self.path}: the pictures of {config.data.root} have changed since this run began;"
                    " give another --workdir, or --restart to begin anew there"
                )
        self.write("config.json", config.to_json())
        if mended:
            del self._history["diverged"]

    def _mend(self, names: list[str], there: Config, config: Config) -> bool:
        """Whether a run that diverged may go on with other values of these fields; if so manifest.json tells them."""
        diverged = self._history.get("diverged")
        if diverged is None or not set(names) <= set(STEADYING[self._facts["kind"]]):
            return False
        changed = {name: [operator.attrgetter(name)(one) for one in (there, config)] for name in names}
        mended = self._history.setdefault("mended", [])
        if (entry := diverged | {"changed": changed}) not in mended:  # it is, if a process was killed before it went on
            mended.append(entry)
        self.write_manifest()
        told = ", ".join(f"{name} {after:g} (before: {before:g})" for name, (before, after) in changed.items())
        self._say(f"the run diverged at step {diverged['step']}; from here on {told}")
        return True

    def _refuse_other_kind(self, kind: Kind) -> None:
        there = read_manifest(self.path).get("kind", kind)
        if there != kind:
            what = "search" if there == "search" else "training"
            raise ConfigError(f"{self.path} holds a {what}, which this would overwrite; give another --workdir")

    def _clear(self) -> None:
        """Remove a run, and nothing but a run. What tells that it is one goes last."""
        if not self._holds_run():
            return
        checkpoints = self.path / "checkpoints"
        try:
            if os.path.lexists(checkpoints):
                shutil.rmtree(checkpoints)
        except OSError as error:
            raise ConfigError(
                f"{checkpoints}: cannot be removed ({error.strerror or error}), and the run would go on from there;"
                " remove it, or give another --workdir"
            ) from None
        for name in reversed(FILES):
            (self.path / name).unlink(missing_ok=True)

    def _holds_run(self) -> bool:
        """Whether a run left anything here: any of what it writes may be lost."""
        if (self.path / "config.json").exists() or "kind" in read_manifest(self.path):
            return True
        return bool(self._checkpoint_numbers())

    def _checkpoint_numbers(self) -> list[str]:
        folders = (facts.parent for facts in (self.path / "checkpoints").glob("*/facts"))
        return [folder.name for folder in folders if folder.name.isdecimal()]


def environment() -> dict[str, Any]:
    """What a manifest says of the machine: git revision, versions, backend, device."""
    return {
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
    }


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two environments, as in ``jax 0.10.2 -> 0.12.0``."""
    one, other = ({**told, **_versions(told), "versions": None} for told in (before, now))
    return [
        f"{name} {_short(one.get(name))} -> {_short(told)}" for name, told in other.items() if one.get(name) != told
    ]


def _versions(environment: Mapping[str, Any]) -> dict[str, Any]:
    versions = environment["versions"]
    return dict(versions) if isinstance(versions, dict) else {}


def _short(told: object) -> str:
    """A revision by its first digits, and all else but for what nobody wrote."""
    return "unknown" if told is None else str(told)[: 12 if len(str(told)) == 40 else 80]


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
