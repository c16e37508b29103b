"""HiNAS in JAX: hierarchical neural architecture search for image restoration.

A search reads an Architecture off a SuperNet, training makes a Model of it, and a Restorer restores pictures with it.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hinas_jax.architecture import Architecture
    from hinas_jax.config import Config, load_config
    from hinas_jax.evaluation import evaluate
    from hinas_jax.modelfile import Model
    from hinas_jax.restoring import Restorer
    from hinas_jax.searching import search
    from hinas_jax.space.decode import decode
    from hinas_jax.space.initialise import initialise
    from hinas_jax.space.network import Network
    from hinas_jax.space.search_space import SearchSpace
    from hinas_jax.space.supernet import SuperNet
    from hinas_jax.tasks import Denoise, SuperResolve
    from hinas_jax.training import train

#: Which module a name comes from: imported with its first use, so that a command can hear signals before that.
_HOMES: Final = {
    "Architecture": "architecture",
    "Config": "config",
    "Denoise": "tasks",
    "Model": "modelfile",
    "Network": "space.network",
    "Restorer": "restoring",
    "SearchSpace": "space.search_space",
    "SuperNet": "space.supernet",
    "SuperResolve": "tasks",
    "decode": "space.decode",
    "evaluate": "evaluation",
    "initialise": "space.initialise",
    "load_config": "config",
    "search": "searching",
    "train": "training",
}

__all__ = [
    "Architecture",
    "Config",
    "Denoise",
    "Model",
    "Network",
    "Restorer",
    "SearchSpace",
    "SuperNet",
    "SuperResolve",
    "decode",
    "evaluate",
    "initialise",
    "load_config",
    "search",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
