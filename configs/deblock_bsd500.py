r"""JPEG artefacts of grey pictures, qualities 10 to 40: the paper's settings for denoising, another task.

Command:  python search.py deblock_bsd500 --data.root BSDS500 --workdir runs/deblock
          python train.py deblock_bsd500 --data.root BSDS500 --workdir runs/deblock_train \
              --architecture runs/deblock/architecture.json
          hinas evaluate runs/deblock_train/model.safetensors --data BSDS500 --json runs/deblock.json
          (hinas evaluate identity --quality 10 --data BSDS500 --json FILE measures the decoded pictures themselves;
          --task.channels 3 is for RGB, whose colour JPEG keeps at half the resolution)
Hardware: one GPU
Departs:  gradients clipped at a norm of 0.5 (search.gradient_clip=0, train.gradient_clip=0 are the paper's)
Expect:   not run at full length by us yet; the paper has no such table
"""

from hinas_jax.config import Config, DataConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.space.search_space import SearchSpace

config = Config(
    task=TaskConfig(name="deblock", qualities=(10, 20, 30, 40), channels=1),
    data=DataConfig(root="data/BSDS500", validation_fraction=0.02),
    space=SearchSpace(layers=3, nodes=4, base_width=10, width_factors=(1, 2, 4)),
    search=SearchConfig(epochs=100, batch_size=8, patch=64),
    train=TrainConfig(steps=400_000, batch_size=24, patch=64),
)
