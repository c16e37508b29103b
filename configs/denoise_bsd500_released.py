r"""Grey denoising on BSD500 with the numbers of the authors' released code where they differ from the paper.

Command:  python search.py denoise_bsd500_released --data.root BSDS500 --workdir runs/denoise_bsd500_released
          python train.py denoise_bsd500_released --data.root BSDS500 --workdir runs/denoise_bsd500_released_train \
              --architecture runs/denoise_bsd500_released/architecture.json --task.sigmas 50 --loss.ssim-weight 0.6
Hardware: one GPU
Departs:  gradients clipped at a norm of 0.5 (search.gradient_clip=0, train.gradient_clip=0 are the paper's)
Expect:   not run at full length by us yet. Differs from denoise_bsd500 in width factors (1, 1.5, 2), lambda 0.5 while
          searching (the training command names 0.6), training steps (600k)
"""

from hinas_jax.config import Config, DataConfig, LossConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.space.search_space import SearchSpace

config = Config(
    task=TaskConfig(name="denoise", sigmas=(30.0, 50.0, 70.0), channels=1),
    data=DataConfig(root="data/BSDS500", validation_fraction=0.02),
    space=SearchSpace(layers=3, nodes=4, base_width=10, width_factors=(1, 1.5, 2)),
    loss=LossConfig(ssim_weight=0.5),
    search=SearchConfig(epochs=100, batch_size=8, patch=64),
    train=TrainConfig(steps=600_000, batch_size=24, patch=64),
)
