"""Search an architecture: python search.py CONFIG [--field value]... --workdir DIR. See `hinas search --help`."""

import sys

from hinas_jax.__main__ import main

if __name__ == "__main__":
    main(["search", *sys.argv[1:]])
