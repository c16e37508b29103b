"""What counts as the caller's mistake: told in one line, with exit code 2 and no traceback."""

from __future__ import annotations

import sys
from typing import Final

#: Modules of hinas_jax and the mistake that each tells of.
MISTAKES: Final = {
    "architecture": "ArchitectureError",
    "checkpoints": "CheckpointError",
    "cli.mistakes": "UsageError",
    "compiling": "MemoryNeedError",
    "config_forms": "ConfigError",
    "data.pictures": "PictureError",
    "divergence": "DivergenceError",
    "evaluation": "EvaluationError",
    "exporting": "ExportError",
    "mesh": "MeshError",
    "model_card": "ModelError",
    "page": "ReportError",
    "processes": "ProcessError",
}


class UsageError(ValueError):
    """The arguments are wrong. The message is one line for people."""


def mistakes() -> tuple[type[Exception], ...]:
    """The mistakes that can have been made so far: those of the modules that are imported. It imports none."""
    imported = {name: sys.modules.get(f"hinas_jax.{name}") for name in MISTAKES}
    return tuple(getattr(module, MISTAKES[name]) for name, module in imported.items() if module is not None)
