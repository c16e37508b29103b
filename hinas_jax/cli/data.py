"""The command `data`: prepare sets of pictures, and list them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import say, tell
from hinas_jax.cli.mistakes import UsageError
from hinas_jax.data.catalogue import KNOWN_SETS
from hinas_jax.data.prepared import prepare, prepared_folder, prepared_names, read_digests


@dataclasses.dataclass(frozen=True)
class Prepare:
    """Prepare a set of pictures for TFDS, without TensorFlow."""

    name: Annotated[str, tyro.conf.Positional]
    """A set that `hinas data list` shows; image_folder/NAME for pictures of your own; or a set of TFDS itself, as
    div2k, which takes TensorFlow."""
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Folder that holds the pictures; without it they are downloaded."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    action = words[0] if words else ""
    if action == "list" and len(words) == 1:
        _list()
    elif action == "prepare":
        options = parse(Prepare, words[1:], "data prepare")
        folder = prepare(options.name, options.source, say)
        tell(f"{folder}: use it as tfds:{options.name}")
    else:
        raise UsageError("hinas data takes `list`, or `prepare NAME [--from DIR]`")


def _list() -> None:
    prepared = prepared_names()
    for name in [*KNOWN_SETS, *(name for name in prepared if name not in KNOWN_SETS)]:
        known = KNOWN_SETS.get(name)
        if name in prepared:
            digests = ", ".join(f"{split} {digest[:12]}" for split, digest in read_digests(name).items())
            tell(f"tfds:{name}: prepared in {prepared_folder(name)} ({digests})")
        elif known is not None:
            counts = ", ".join(f"{count} {split}" for split, count in known.counts.items())
            tell(f"tfds:{name}: not prepared; {counts}; from {known.page}")
        if known is not None and known.note:
            tell(f"    {known.note}")
