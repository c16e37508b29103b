"""A command that sends itself a signal after a row of its metrics: STEP SIGNAL WORD... (step 0: never)."""

import os
import sys

from hinas_jax.__main__ import main
from hinas_jax.runs import RunFolder

if __name__ == "__main__":
    step, number, *words = sys.argv[1:]
    append = RunFolder.append_metrics

    def append_and_stop(folder, row):
        append(folder, row)
        if row["step"] == int(step):
            os.kill(os.getpid(), int(number))

    RunFolder.append_metrics = append_and_stop
    main(words)
