"""The options of commands that several processes can run together."""

from __future__ import annotations

import dataclasses

from hinas_jax.cli.lines import say
from hinas_jax.processes import HEARTBEAT, is_first, join
from hinas_jax.saying import Say


@dataclasses.dataclass(frozen=True, kw_only=True)
class Several:
    """How this process finds the others. The same command on each; docs/scaling.md has examples."""

    distributed: bool = False
    """Run together with other processes, of this host or of others, each with its own devices."""
    coordinator: str | None = None
    """HOST:PORT where the first process listens; None: JAX_COORDINATOR_ADDRESS, or what Slurm, Open MPI or Cloud TPU
    say. So too for the next two."""
    processes: int | None = None
    """How many processes there are."""
    process: int | None = None
    """The number of this one, from 0."""
    heartbeat: int = HEARTBEAT
    """Seconds of silence after which a process counts as gone, and the others end."""

    def join(self) -> Say:
        """Join the others if asked to; returns where lines for people go: nowhere, but on the first process.

        Raises:
            ProcessError: they cannot be joined.
        """
        if self.distributed:
            join(self.coordinator, self.processes, self.process, self.heartbeat)
        return say if not self.distributed or is_first() else lambda line: None
