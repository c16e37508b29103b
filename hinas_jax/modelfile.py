"""One .safetensors file: weights, architecture, and a card of how it was made. Data only; loading runs nothing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import Float
from safetensors.numpy import save

from hinas_jax.architecture import Architecture
from hinas_jax.model_card import FORMAT, ModelError, described, opened
from hinas_jax.space.initialise import variable_shapes
from hinas_jax.space.network import Network
from hinas_jax.writing import write_whole


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
        """Write the file, the same model the same bytes; a reader never sees half of it.

        Raises:
            OSError: it cannot be written.
        """
        flat = traverse_util.flatten_dict(jax.device_get(self.variables), sep="/")
        tensors = {name: np.ascontiguousarray(value) for name, value in flat.items()}
        metadata = {
            "format": FORMAT,
            "architecture": self.architecture.to_json(),
            "card": json.dumps(dict(self.card)),
        }
        write_whole(path, _in_order(save(tensors, metadata)))

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read a model file and check every tensor against the architecture.

        Nothing in the file is executed, and every size that it claims is checked against the file's own and against
        the architecture before memory is taken.

        Raises:
            ModelError: missing, damaged, not a model of ours, or tensors that do not fit; the message names the file.
        """
        with opened(path) as file:
            return _read(cls, file, path.stat().st_size)


def _in_order(content: bytes) -> bytes:
    """The same file with its header sorted: safetensors writes the metadata in an order that changes every time."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors are aligned to eight bytes
    return len(header).to_bytes(8, "little") + header + content[end:]


def _read(kind: type[Model], file: Any, size: int) -> Model:
    architecture, card = described(file)
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


def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    shapes = variable_shapes(Network(architecture), architecture.channels)
    return {name: leaf.shape for name, leaf in traverse_util.flatten_dict(shapes, sep="/").items()}
