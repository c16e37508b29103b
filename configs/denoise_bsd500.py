r"""Grey denoising on BSD500 with the paper's settings (sections 3 and 4.1).

Command:  python search.py denoise_bsd500 --data.root BSDS500 --workdir runs/denoise_bsd500
          python train.py denoise_bsd500 --data.root BSDS500 --workdir runs/denoise_bsd500_train \
              --architecture runs/denoise_bsd500/architecture.json --task.sigmas 50
          (BSDS500 holds the folders train, val and test; the search uses the 300 pictures of train and val)
Hardware: one GPU; the paper needed 1 hour on a GTX 1080 Ti for the search
Departs:  gradients clipped at a norm of 0.5 (search.gradient_clip=0, train.gradient_clip=0 are the paper's)
Expect:   not run at full length by us yet; docs/results.md tells a short run on 2 CPU cores. The paper reports 0.34 M
          parameters and 29.25 / 26.84 / 25.46 dB at sigma 30 / 50 / 70, by a protocol of its own
"""

from hinas_jax.config import Config, DataConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.space.search_space import SearchSpace

config = Config(
    task=TaskConfig(name="denoise", sigmas=(30.0, 50.0, 70.0), channels=1),
    data=DataConfig(root="data/BSDS500", validation_fraction=0.02),
    space=SearchSpace(layers=3, nodes=4, base_width=10, width_factors=(1, 2, 4)),
    search=SearchConfig(epochs=100, batch_size=8, patch=64),
    train=TrainConfig(steps=400_000, batch_size=24, patch=64),
)
