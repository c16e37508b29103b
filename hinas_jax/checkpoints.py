"""The running state on disk, through Orbax alone. A save is atomic: a killed process leaves the one before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


class Checkpoints:
    """Numbered checkpoints of one folder, of which the last ``keep`` stay."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False, create=True)
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options)

    def latest(self) -> int | None:
        """The number of the newest checkpoint, None where there is none."""
        step: int | None = self._manager.latest_step()
        return step

    def save(self, number: int, state: Any) -> None:
        """Write ``state``, a tree of arrays; a checkpoint of the same number is replaced."""
        if number in self._manager.all_steps():
            self._manager.delete(number)
        self._manager.save(number, args=ocp.args.StandardSave(state))

    def restore(self, like: Any, number: int | None = None) -> Any:
        """Read checkpoint ``number`` (the newest by default) into the form of ``like``."""
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        number = self.latest() if number is None else number
        restored = self._manager.restore(number, args=ocp.args.StandardRestore(abstract))
        # Orbax ties arrays to a device, which a fresh state is not: its compiled programs would not be found again
        return jax.tree.map(lambda leaf: jax.device_put(np.array(leaf)), restored)

    def close(self) -> None:
        """Wait for what is being written and let go of the folder."""
        self._manager.close()
