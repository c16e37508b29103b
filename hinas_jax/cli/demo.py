"""The command `demo`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import say, tell
from hinas_jax.demo import run_demo


@dataclasses.dataclass(frozen=True)
class Demo:
    """Search, train and restore in miniature, on pictures that come along."""

    workdir: Path = Path("runs/demo")
    """Where everything goes: summary.json, pictures, drawing, curves."""
    restart: bool = False
    """Begin anew instead of going on with what is there."""


def run(words: list[str]) -> None:
    """Run the command with these arguments."""
    options = parse(Demo, words, "demo")
    summary = run_demo(options.workdir, say=say, restart=options.restart)
    for what in ("degraded", "gaussian_blur", "restored"):
        tell(f"{what.replace('_', ' '):>13}: {summary[f'psnr_{what}']:.2f} dB, SSIM {summary[f'ssim_{what}']:.4f}")
    tell(f"look at {options.workdir}: {', '.join(sorted(path.name for path in options.workdir.glob('*.png')))}")
