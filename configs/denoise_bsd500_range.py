r"""Grey denoising of any noise between sigma 5 and 75 with one network: the paper's settings, another task.

Command:  python search.py denoise_bsd500_range --data.root BSDS500 --workdir runs/denoise_range
          python train.py denoise_bsd500_range --data.root BSDS500 --workdir runs/denoise_range_train \
              --architecture runs/denoise_range/architecture.json
          hinas evaluate runs/denoise_range_train/model.safetensors --data BSDS500 --sigma 25 --json runs/sigma25.json
          (without --sigma both ends of the range are measured)
Hardware: one GPU
Departs:  gradients clipped at a norm of 0.5 (search.gradient_clip=0, train.gradient_clip=0 are the paper's)
Expect:   not run at full length by us yet; no number of the paper's is comparable
"""

from hinas_jax.config import Config, DataConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.space.search_space import SearchSpace

config = Config(
    task=TaskConfig(name="denoise", sigmas=(5.0, 75.0), draw="range", channels=1),
    data=DataConfig(root="data/BSDS500", validation_fraction=0.02),
    space=SearchSpace(layers=3, nodes=4, base_width=10, width_factors=(1, 2, 4)),
    search=SearchConfig(epochs=100, batch_size=8, patch=64),
    train=TrainConfig(steps=400_000, batch_size=24, patch=64),
)
