"""What counts as the caller's mistake: told in one line, with exit code 2 and no traceback."""

from __future__ import annotations

from typing import Final

from hinas_jax.architecture import ArchitectureError
from hinas_jax.checkpoints import CheckpointError
from hinas_jax.compiling import MemoryNeedError
from hinas_jax.config import ConfigError
from hinas_jax.data.pictures import PictureError
from hinas_jax.divergence import DivergenceError
from hinas_jax.evaluation import EvaluationError
from hinas_jax.exporting import ExportError
from hinas_jax.mesh import MeshError
from hinas_jax.modelfile import ModelError
from hinas_jax.processes import ProcessError
from hinas_jax.reporting import ReportError


class UsageError(ValueError):
    """The arguments are wrong. The message is one line for people."""


MISTAKES: Final = (
    ArchitectureError, CheckpointError, ConfigError, DivergenceError, EvaluationError, ExportError, MemoryNeedError,
    MeshError, ModelError, PictureError, ProcessError, ReportError, UsageError,
)  # fmt: skip
