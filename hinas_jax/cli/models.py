"""The command `models`."""

from __future__ import annotations

import dataclasses

from hinas_jax import released
from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import tell
from hinas_jax.model_card import read_card


@dataclasses.dataclass(frozen=True)
class Models:
    """List the released models."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    parse(Models, words, "models")
    names = released.released_models()
    for name in names:
        architecture, card = read_card(released.model_path(name))
        score = card.get("validation", {}).get("psnr")
        quality = f", {score:.2f} dB on its V" if isinstance(score, float) else ""
        tell(f"{name}: {architecture.task}, {architecture.parameters():,} parameters{quality}")
    if not names:
        tell(
            "no models are released yet; `hinas train` makes a model.safetensors, which every command takes by its"
            f" path, and by name once it lies in {released.FOLDER} as NAME.safetensors"
        )
