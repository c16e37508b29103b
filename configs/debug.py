"""A search and a training in seconds after compiling, for tests and for trying things out. Finds nothing of worth.

Command:  python search.py debug --workdir runs/debug
Hardware: any; about a minute on 2 CPU cores, nearly all of it compiling
Expect:   files, not quality
"""

from hinas_jax.config import Config, DataConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.space.search_space import SearchSpace

config = Config(
    task=TaskConfig(sigmas=(50.0,)),
    data=DataConfig(root="bundled", validation_fraction=0.1),
    space=SearchSpace(layers=2, nodes=2, base_width=4, width_factors=(1, 2), start_width=8, end_width=8),
    search=SearchConfig(epochs=3, warmup=0.34, evaluate_after=0.3, batch_size=2, patch=16),
    train=TrainConfig(
        steps=20,
        batch_size=2,
        patch=16,
        recipe="modern",
        learning_rate=2e-3,
        gradient_clip=1.0,
        width_scale=1,
        validate_every=10,
    ),
)
