"""Released models: model files that come with the package, known by name, each with the card that it carries."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: Where they lie. NAME.safetensors here is the model NAME.
FOLDER: Final = Path(__file__).resolve().parent / "models"


def released_models() -> list[str]:
    """The names of all released models."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def model_path(name: str) -> Path:
    """The file of a released model; any other name is the path of a model file itself."""
    released = FOLDER / f"{name}.safetensors"
    return released if name in released_models() else Path(name)
