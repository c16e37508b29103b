"""Bicubic enlargement by both protocols and by the literature's pipeline, as a Markdown table.

    python benchmarks/protocols.py --data DIR

DIR holds Set5/HR, Set14/HR and BSDS500/val (whose 100 pictures are those of B100).

The literature's rows of bicubic come from another pipeline than its rows of networks: Y of 8 bits alone is reduced and
enlarged, in float between the two, and only the result is rounded; as in networks' rows, a border is cropped. A network
starts from a reduced picture of 8 bits in RGB, as the protocol ``standard`` makes it, and rounds RGB.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hinas_jax.data import bicubic
from hinas_jax.data.colour import luma
from hinas_jax.data.finding import find_pictures
from hinas_jax.data.pictures import load
from hinas_jax.evaluation import evaluate
from hinas_jax.protocols import Protocol, psnr_and_ssim
from hinas_jax.tasks import crop_to_multiple

SETS: Final = ("Set5/HR", "Set14/HR", "BSDS500/val")
SCALES: Final = (2, 3, 4)
PROTOCOLS: Final[tuple[Protocol, ...]] = ("standard", "released")


def literature(pixels: Float[np.ndarray, "height width channel"], scale: int) -> tuple[float, float]:
    """PSNR and SSIM of bicubic enlargement of one picture by the pipeline of the literature's bicubic rows.

    A file of one channel (Set14's bridge) is taken as Y as it is, in full range.
    """
    cropped = jnp.asarray(crop_to_multiple(pixels, scale), jnp.float32)
    clean = _rounded(luma(cropped)) if cropped.shape[-1] == 3 else cropped
    height, width = clean.shape[:2]
    low = bicubic.resize(clean, height // scale, width // scale, scale=1 / scale)
    enlarged, clean = (np.asarray(picture) for picture in (_rounded(bicubic.upsample(low, scale)), clean))
    inner = slice(scale, -scale)
    return psnr_and_ssim(enlarged[inner, inner], clean[inner, inner])


def _rounded(image: Float[Array, "height width channel"]) -> Float[Array, "height width channel"]:
    return jnp.floor(255 * jnp.clip(image, 0, 1) + 0.5) / 255


def rows(data: Path, name: str, scale: int) -> dict[str, tuple[float, float]]:
    """PSNR and SSIM of one set at one scale, by each protocol and by the literature's pipeline."""
    found = {}
    for protocol in PROTOCOLS:
        result = evaluate("bicubic", images=data / name, scale=scale, protocol=protocol, say=lambda _: None).results[0]
        found[protocol] = (result.psnr, result.ssim)
    values = np.mean([literature(load(path).pixels, scale) for path in find_pictures(data / name)], axis=0)
    return found | {"literature": (float(values[0]), float(values[1]))}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of Set5, Set14 and BSDS500")
    data = parser.parse_args().data
    print("| bicubic, Y | standard | released | literature's pipeline |\n|---|---|---|---|")
    for name in SETS:
        for scale in SCALES:
            cells = [f"{psnr:.3f} / {ssim:.4f}" for psnr, ssim in rows(data, name, scale).values()]
            print(f"| {name} x{scale} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
