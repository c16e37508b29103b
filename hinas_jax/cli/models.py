"""The command `models`."""

from __future__ import annotations

import dataclasses

from hinas_jax import released
from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import tell
from hinas_jax.modelfile import Model


@dataclasses.dataclass(frozen=True)
class Models:
    """List the released models."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    parse(Models, words, "models")
    names = released.released_models()
    for name in names:
        model = Model.load(released.model_path(name))
        score = model.card.get("validation", {}).get("psnr")
        quality = f", {score:.2f} dB on its V" if isinstance(score, float) else ""
        tell(f"{name}: {model.architecture.task}, {model.architecture.parameters():,} parameters{quality}")
    if not names:
        tell(
            "no models are released yet; `hinas train` makes a model.safetensors, which every command takes by its"
            f" path, and by name once it lies in {released.FOLDER} as NAME.safetensors"
        )
