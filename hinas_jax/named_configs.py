"""The configs that come with the project: where they lie and their names. Reads none, and so needs no JAX."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CONFIG_FILES: Final = (
    "a .json is read and runs nothing; a .py is a program that is executed, so give only one you trust."
)


def config_folder() -> Path:
    """Where they lie."""
    package = Path(__file__).resolve().parent
    inside = package / "configs"  # in a wheel; in a checkout they lie beside the package
    return inside if inside.is_dir() else package.parent / "configs"


def config_names() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in config_folder().glob("*.py") if not path.stem.startswith("_"))
