"""What is told as a mistake: every error class of the package, wherever its module stands."""

import importlib
import re
import sys
from pathlib import Path

from hinas_jax.cli.mistakes import MISTAKES, mistakes

PACKAGE = Path(__file__).resolve().parents[1] / "hinas_jax"


def test_every_error_of_ours_is_a_mistake_once_its_module_is_imported():
    defined = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"^class (\w+Error)\(", path.read_text(), re.MULTILINE)
    }
    assert defined == MISTAKES
    classes = {getattr(importlib.import_module(f"hinas_jax.{module}"), name) for module, name in defined.items()}
    assert set(mistakes()) == classes


def test_what_is_not_imported_is_left_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "hinas_jax.exporting", raising=False)
    assert "ExportError" not in {kind.__name__ for kind in mistakes()}
    assert "hinas_jax.exporting" not in sys.modules
