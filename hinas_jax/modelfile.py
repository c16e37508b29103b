"""One .safetensors file: weights, architecture, and a card of how it was made. Data only; loading runs nothing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hinas_jax.architecture import Architecture, ArchitectureError
from hinas_jax.space.initialise import variable_shapes
from hinas_jax.space.network import Network
from hinas_jax.writing import write_whole

FORMAT: Final = "hinas_jax model 1"
LARGEST_HEADER: Final = 2**24  #: bytes; several times that of the largest architecture


class ModelError(ValueError):
    """A model file is missing or damaged. The message is one line for people."""


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A trained network.

    Attributes:
        architecture: its architecture, at the width it was trained with.
        variables: {"params", "batch_stats"} of ``Network(architecture)``.
        card: how it was made: task, data, steps, validation score, versions. Plain JSON values.
    """

    architecture: Architecture
    variables: dict[str, Any]
    card: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write the file; a reader never sees half of it."""
        flat = traverse_util.flatten_dict(jax.device_get(self.variables), sep="/")
        tensors = {name: np.ascontiguousarray(value) for name, value in flat.items()}
        metadata = {
            "format": FORMAT,
            "architecture": self.architecture.to_json(),
            "card": json.dumps(dict(self.card)),
        }
        write_whole(path, save(tensors, metadata))

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read a model file and check every tensor against the architecture.

        Nothing in the file is executed, and every size that it claims is checked against the file's own and against
        the architecture before memory is taken.

        Raises:
            ModelError: missing, damaged, not a model of ours, or tensors that do not fit; the message names the file.
        """
        if path.is_dir():
            raise ModelError(f"{path} is a folder; give the model file, {path / 'model.safetensors'}")
        try:
            _check_header(path)
            with safe_open(path, "numpy") as file:
                return _read(cls, file, path.stat().st_size)
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


def _check_header(path: Path) -> None:
    """Refuse a header that is too large to be one, which safetensors would read."""
    if path.exists() and not path.is_file():
        raise ModelError("a device or a pipe, not a file; give a model.safetensors")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(LARGEST_HEADER, path.stat().st_size - 8):
        raise ModelError("not a model file (its header cannot be right); give a model.safetensors")


def _read(kind: type[Model], file: Any, size: int) -> Model:
    metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise ModelError("not a model file of hinas_jax")
    architecture = Architecture.from_json(metadata["architecture"])
    card = json.loads(metadata["card"])
    if not isinstance(card, dict):
        raise ModelError("damaged (its card is no JSON object)")
    if 4 * architecture.parameters() > size:  # known without the network, which takes seconds to trace
        raise ModelError("its tensors are not those of its architecture; fetch it again")
    shapes = _shapes(architecture)
    if set(file.keys()) != set(shapes):
        raise ModelError("its tensors are not those of its architecture; fetch it again")
    flat = {name: _tensor(file, name, shape) for name, shape in shapes.items()}
    return kind(architecture, traverse_util.unflatten_dict(flat, sep="/"), card)


def _tensor(file: Any, name: str, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    claimed = file.get_slice(name)
    form, claimed_shape = claimed.get_dtype(), tuple(claimed.get_shape())
    if (form, claimed_shape) != ("F32", shape):
        raise ModelError(f"tensor {name} is {form}{claimed_shape}, not F32{shape}; fetch it again")
    values: Float[np.ndarray, "..."] = file.get_tensor(name)
    if not np.isfinite(values).all():
        raise ModelError(f"tensor {name} holds values that are no numbers; fetch it again")
    return values


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    shapes = variable_shapes(Network(architecture), architecture.channels)
    return {name: leaf.shape for name, leaf in traverse_util.flatten_dict(shapes, sep="/").items()}
