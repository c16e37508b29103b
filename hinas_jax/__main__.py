"""Where every command begins. What asks to stop is heard from the first moment, before the slow imports."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hinas_jax.interruption import Interrupted, hear_signals, raise_interrupted


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code: as ``hinas_jax.cli.main``, and 130 after Ctrl-C, 143 after SIGTERM."""
    hear_signals()
    from hinas_jax.cli import main as run  # noqa: PLC0415, after the signals are heard

    try:
        run(arguments, raise_interrupted)
    except Interrupted as error:  # outside of any command
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
