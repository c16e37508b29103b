r"""Gaussian blur of RGB pictures, 1.6 pixels wide: the paper's settings for denoising, another task.

Command:  python search.py deblur_bsd500 --data.root BSDS500 --workdir runs/deblur
          python train.py deblur_bsd500 --data.root BSDS500 --workdir runs/deblur_train \
              --architecture runs/deblur/architecture.json
          hinas evaluate runs/deblur_train/model.safetensors --data BSDS500 --json runs/deblur.json
          (hinas evaluate identity --blur 1.6 --data BSDS500 --json FILE measures the blurred pictures themselves)
Hardware: one GPU
Departs:  gradients clipped at a norm of 0.5 (search.gradient_clip=0, train.gradient_clip=0 are the paper's)
Expect:   not run at full length by us yet; the paper has no such table
"""

from hinas_jax.config import Config, DataConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.space.search_space import SearchSpace

config = Config(
    task=TaskConfig(name="deblur", blurs=(1.6,), channels=3),
    data=DataConfig(root="data/BSDS500", validation_fraction=0.02),
    space=SearchSpace(layers=3, nodes=4, base_width=10, width_factors=(1, 2, 4)),
    search=SearchConfig(epochs=100, batch_size=8, patch=64),
    train=TrainConfig(steps=400_000, batch_size=24, patch=64),
)
