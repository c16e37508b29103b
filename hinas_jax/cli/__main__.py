"""`python -m hinas_jax.cli`: the command line without an installed `hinas`."""

from hinas_jax.cli import main

if __name__ == "__main__":
    main()
