"""HiNAS in JAX: hierarchical neural architecture search for image restoration.

A search reads an Architecture off a SuperNet, training makes a Model of it, and a Restorer restores pictures with it.
"""

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
