"""The main job in miniature, on pictures that come with scikit-image: what `make demo` runs.

Command:  make demo   (or: python search.py demo --workdir runs/demo/search)
Hardware: 2 CPU cores, no GPU; 10 minutes with the installation
Expect:   at sigma 50 at least 0.5 dB above the best Gaussian blur on the three held-back pictures (docs/results.md)
"""

from hinas_jax.config import Config, DataConfig, LossConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.space.search_space import SearchSpace

config = Config(
    task=TaskConfig(sigmas=(50.0,)),
    data=DataConfig(root="bundled", validation_fraction=0.2),
    loss=LossConfig(ssim_weight=0.002),  # 0.6 needs more steps than a demo has: it costs 2 dB after 1,200
    space=SearchSpace(layers=2, nodes=2, base_width=8, width_factors=(1, 2), start_width=16, end_width=16),
    search=SearchConfig(
        epochs=12, warmup=0.5, evaluate_after=0.5, batch_size=4, patch=32, crops_per_picture=10,
        learning_rate=0.2, arch_learning_rate=0.003,
    ),
    train=TrainConfig(
        steps=2000, batch_size=8, patch=40, recipe="modern", learning_rate=4e-3, gradient_clip=1.0, width_scale=2,
        validate_every=250,
    ),
)  # fmt: skip
