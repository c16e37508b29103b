"""Train an architecture: python train.py CONFIG --architecture FILE --workdir DIR. See `hinas train --help`."""

import sys

from hinas_jax.__main__ import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
