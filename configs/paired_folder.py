r"""Real degradations: RGB pictures that you have clean and degraded, as the noise of your camera.

Command:  python search.py paired_folder --data.root PAIRS --workdir runs/paired
          python train.py paired_folder --data.root PAIRS --workdir runs/paired_train \
              --architecture runs/paired/architecture.json
          hinas evaluate runs/paired_train/model.safetensors --data PAIRS --json runs/paired.json
          (PAIRS holds clean/ and degraded/ with pictures of the same names and sizes; or PAIRS/train, PAIRS/val and
          PAIRS/test hold them; hinas evaluate identity --task paired measures the degraded pictures themselves)
Hardware: one GPU
Departs:  gradients clipped at a norm of 0.5 (search.gradient_clip=0, train.gradient_clip=0 are the paper's)
Expect:   depends on your pictures; not run at full length by us yet
"""

from hinas_jax.config import Config, DataConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.space.search_space import SearchSpace

config = Config(
    task=TaskConfig(name="paired", channels=3),
    data=DataConfig(root="data/pairs", validation_fraction=0.02),
    space=SearchSpace(layers=3, nodes=4, base_width=10, width_factors=(1, 2, 4)),
    search=SearchConfig(epochs=100, batch_size=8, patch=64),
    train=TrainConfig(steps=400_000, batch_size=24, patch=64),
)
