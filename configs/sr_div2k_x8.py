r"""Super-resolution x8 on DIV2K, which the paper does not have, with its settings (sections 3 and 4.1).

Command:  python search.py sr_div2k_x8 --data.root DIV2K --workdir runs/sr_div2k_x8
          python train.py sr_div2k_x8 --data.root DIV2K --workdir runs/sr_div2k_x8_train \
              --architecture runs/sr_div2k_x8/architecture.json
          (DIV2K is any folder of the 800 high-resolution pictures; --data.root tfds:div2k reads them through TFDS)
Hardware: one GPU. The pictures take 6.8 GB, half in each of W and A while searching: on the device, or where they
          would fill more than half of its memory, streamed from the host's (data.residence)
Departs:  patches of 32x32, whose clean side is 256 pixels (the paper's 64x64 would be 512)
          gradients clipped at a norm of 0.5 (search.gradient_clip=0, train.gradient_clip=0 are the paper's)
Expect:   not run at full length by us yet; bicubic enlargement is the number to beat
"""

from hinas_jax.config import Config, DataConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.space.search_space import SearchSpace

config = Config(
    task=TaskConfig(name="super_resolve", scale=8, channels=3),
    data=DataConfig(root="data/DIV2K", validation_fraction=0.02),
    space=SearchSpace(layers=2, nodes=3, base_width=8, width_factors=(1, 2, 4)),
    search=SearchConfig(epochs=100, batch_size=24, patch=32),
    train=TrainConfig(steps=600_000, batch_size=24, patch=32),
)
