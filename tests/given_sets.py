"""Pictures to prepare sets from, and sets of the catalogue made small."""

import dataclasses

import numpy as np
from PIL import Image

from hinas_jax.data.catalogue import KNOWN_SETS

SET5 = "sr_benchmark/set5"


def fill(folder, *names, mode="RGB"):
    """Make small pictures of noise; the same name makes the same picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        rng = np.random.default_rng(list(name.encode()))
        shape = (9, 10, 3) if mode == "RGB" else (9, 10)
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / name)
    return folder


def small(monkeypatch, name, counts, **changes):
    """A set of the catalogue with few pictures, so that any will do."""
    known = dataclasses.replace(KNOWN_SETS[name], counts=counts, digests={}, archive="", **changes)
    monkeypatch.setitem(KNOWN_SETS, name, known)
