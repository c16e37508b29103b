"""What a model file says of itself: its architecture and its card, from the header alone. Needs no JAX."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from hinas_jax.architecture import Architecture, ArchitectureError

FORMAT: Final = "hinas_jax model 1"
LARGEST_HEADER: Final = 2**24  #: bytes; several times that of the largest architecture


class ModelError(ValueError):
    """A model file is missing or damaged. The message is one line for people."""


def read_card(path: Path) -> tuple[Architecture, Mapping[str, Any]]:
    """Architecture and card of a model file; no tensor is looked at.

    Raises:
        ModelError: missing, damaged, or not a model of ours; the message names the file.
    """
    with opened(path) as file:
        return described(file)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a model file, by safetensors, once its header can be one.

    Raises:
        ModelError: it cannot be opened, or what is done within finds it wrong; the message names the file.
    """
    try:
        if path.is_dir():
            raise ModelError(f"this is a folder; give the model file, {path / 'model.safetensors'}")
        _check_header(path)
        with safe_open(path, "numpy") as file:
            yield file
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such model file") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    except SafetensorError as error:
        raise ModelError(f"{path}: not a model file ({_one_line(error)}); give a model.safetensors") from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except (ArchitectureError, KeyError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged ({_one_line(error)})") from None


def described(file: Any) -> tuple[Architecture, Mapping[str, Any]]:
    """Architecture and card of an opened file.

    Raises:
        ModelError: they are not there.
        ArchitectureError, KeyError, ValueError, RecursionError: they are damaged.
    """
    metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise ModelError("not a model file of hinas_jax")
    architecture = Architecture.from_json(metadata["architecture"])
    card = json.loads(metadata["card"])
    if not isinstance(card, dict):
        raise ModelError("damaged (its card is no JSON object)")
    return architecture, card


def _check_header(path: Path) -> None:
    """Refuse a header that is too large to be one, which safetensors would read."""
    if path.exists() and not path.is_file():
        raise ModelError("a device or a pipe, not a file; give a model.safetensors")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(LARGEST_HEADER, path.stat().st_size - 8):
        raise ModelError("not a model file (its header cannot be right); give a model.safetensors")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
