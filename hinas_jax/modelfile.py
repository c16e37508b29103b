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
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hinas_jax.architecture import Architecture, ArchitectureError
from hinas_jax.space.initialise import variable_shapes
from hinas_jax.space.network import Network

FORMAT: Final = "hinas_jax model 1"


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
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(save(tensors, metadata))
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read a model file and check every tensor against the architecture.

        Raises:
            ModelError: missing, damaged, not a model of ours, or tensors that do not fit; the message names the file.
        """
        if path.is_dir():
            raise ModelError(f"{path} is a folder; give the model file, {path / 'model.safetensors'}")
        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise ModelError(f"{path}: not a model file of hinas_jax")
                architecture = Architecture.from_json(metadata["architecture"])
                card = json.loads(metadata["card"])
                if not isinstance(card, dict):
                    raise ModelError(f"{path}: damaged (its card is no JSON object)")
                shapes = _shapes(architecture)
                if set(file.keys()) != set(shapes):
                    raise ModelError(f"{path}: its tensors are not those of its architecture; fetch it again")
                flat = {name: file.get_tensor(name) for name in shapes}
        except ModelError:
            raise
        except FileNotFoundError:
            raise ModelError(f"{path}: there is no such model file") from None
        except OSError as error:
            raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
        except SafetensorError as error:
            raise ModelError(f"{path}: not a model file ({error}); give a model.safetensors") from None
        except (ArchitectureError, KeyError, json.JSONDecodeError, RecursionError) as error:
            raise ModelError(f"{path}: damaged ({error})") from None
        for name, value in flat.items():
            if value.shape != shapes[name] or value.dtype != np.float32:
                raise ModelError(f"{path}: tensor {name} is {value.dtype}{value.shape}, not float32{shapes[name]}")
        return cls(architecture, traverse_util.unflatten_dict(flat, sep="/"), card)


def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    shapes = variable_shapes(Network(architecture), architecture.channels)
    return {name: leaf.shape for name, leaf in traverse_util.flatten_dict(shapes, sep="/").items()}
