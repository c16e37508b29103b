"""An evaluation on V of many batches of tiles, on all devices there are. Writes its score."""

import sys

import jax
import numpy as np

from hinas_jax.data.sources import PictureSet
from hinas_jax.mesh import make_mesh, replicate
from hinas_jax.tasks import Denoise
from hinas_jax.validation import Validation

if __name__ == "__main__":
    rng = np.random.default_rng(0)
    pictures = PictureSet(("one",), (rng.integers(0, 256, (300, 400, 1), np.uint8),))

    def blur(kernels, tiles):
        """Eight convolutions, enough work to keep a device busy."""
        for kernel in kernels:
            tiles = jax.lax.conv_general_dilated(
                tiles, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        return tiles

    mesh = make_mesh(4)
    kernels = replicate([np.full((5, 5, 1, 1), 1 / 25, np.float32)] * 8, mesh)
    validation = Validation(pictures, Denoise((50.0,)), seed=0, tile=16, batch=4)
    score = validation.score(validation.compile(blur, kernels, mesh, lambda _: None), kernels)
    sys.stdout.write(f"{jax.device_count()} {score.psnr:.4f} {score.ssim:.4f}\n")
