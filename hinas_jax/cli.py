"""The command line `hinas`: reads arguments and configs, calls the library, and tells mistakes in one line.

Exit codes: 0 done; 2 the caller's mistake; 1 a defect of ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

import tyro

from hinas_jax import evaluation, restoring
from hinas_jax.architecture import Architecture, ArchitectureError
from hinas_jax.compiling import MemoryNeedError, enable_compilation_cache
from hinas_jax.config import Config, ConfigError, config_names, load_config
from hinas_jax.data.pictures import PictureError
from hinas_jax.demo import run_demo
from hinas_jax.drawing import draw_architecture
from hinas_jax.modelfile import ModelError
from hinas_jax.searching import search
from hinas_jax.training import train

T = TypeVar("T")

MISTAKES: Final = (
    ArchitectureError, ConfigError, MemoryNeedError, ModelError, PictureError, evaluation.EvaluationError,
)  # fmt: skip

USAGE: Final = """usage: hinas COMMAND ...

  search CONFIG --workdir DIR [--restart] [--field value]...      search an architecture
  train CONFIG --architecture FILE --workdir DIR [--restart] [--field value]...
                                                                  train it
  evaluate MODEL [--images DIR | --data SET] --json FILE          measure a model, or a baseline
  restore MODEL INPUT... --output DIR                             restore pictures
  draw ARCHITECTURE --output FILE.svg|.png                        draw an architecture
  demo [--workdir DIR]                                            all of it in miniature, on bundled pictures

hinas COMMAND --help tells more. Configs: {configs}; or the path of a file."""


class UsageError(ValueError):
    """The arguments are wrong. The message is one line for people."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure a model by a named protocol."""

    model: Annotated[str, tyro.conf.Positional]
    """A model file, or a baseline: identity, gaussian-blur, bicubic."""
    json: Path
    """Where to write the result."""
    images: Path | None = None
    """Folder of clean pictures to degrade and restore."""
    data: str | None = None
    """Set of pictures: bundled, tfds:NAME, or a folder whose `test` is used. Default: bundled."""
    protocol: Literal["standard", "released"] = "standard"
    """standard: whole pictures, one seeded noise draw. released: the authors' test code, for their rows only."""
    sigma: float | None = None
    """Noise level in grey levels; default: those the model was trained for."""
    scale: int | None = None
    """Factor of super-resolution, for baselines; a model has its own."""
    channels: Literal[1, 3] | None = None
    """1 or 3, for baselines; a model has its own. Default: 1 with --sigma, 3 with --scale."""
    seed: int = 0
    """Seed of the noise."""


@dataclasses.dataclass(frozen=True)
class Restore:
    """Restore pictures with a model."""

    model: Annotated[Path, tyro.conf.Positional]
    """A model file."""
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Pictures, or folders of pictures."""
    output: Path
    """Folder for the restored pictures, under their own names."""
    tile: int = restoring.TILE
    """Side of the tiles that larger pictures are cut into, in pixels: less takes less memory."""


@dataclasses.dataclass(frozen=True)
class Draw:
    """Draw an architecture: its path of widths and its cells."""

    architecture: Annotated[Path, tyro.conf.Positional]
    """An architecture.json."""
    output: Path
    """Where to draw: .svg or .png."""


@dataclasses.dataclass(frozen=True)
class Demo:
    """Search, train and restore in miniature, on pictures that come along."""

    workdir: Path = Path("runs/demo")
    """Where everything goes: summary.json, pictures, drawing, curves."""


@dataclasses.dataclass(frozen=True)
class Search:
    """Search an architecture. Every field of the config can be replaced."""

    workdir: Path
    """The run's folder. The same command again goes on with an interrupted run."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    restart: bool = False
    """Begin anew in a folder that holds a run."""


@dataclasses.dataclass(frozen=True)
class Train:
    """Train an architecture. Every field of the config can be replaced."""

    workdir: Path
    """The run's folder. The same command again goes on with an interrupted run."""
    architecture: Path
    """The architecture.json of a search."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    restart: bool = False
    """Begin anew in a folder that holds a run."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands: dict[str, Callable[[list[str]], None]] = {
        "search": _search,
        "train": _train,
        "evaluate": _evaluate,
        "restore": _restore,
        "draw": _draw,
        "demo": _demo,
    }
    if not words or words[0] in ("-h", "--help"):
        (_print if words else _say)(USAGE.format(configs=", ".join(config_names())))
        sys.exit(0 if words else 2)
    if words[0] not in commands:
        _fail(f"there is no command {words[0]!r}; known are {', '.join(commands)}")
    enable_compilation_cache(_cache_folder())
    try:
        try:
            commands[words[0]](words[1:])
        finally:
            sys.stdout.flush()  # here, where a closed pipe is caught
    except (UsageError, *MISTAKES) as error:
        _fail(" ".join(str(error).split()))
    except BrokenPipeError:  # the reader of our output, say `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        goes_on = words[0] in ("search", "train")
        without = " without --restart" if "--restart" in words else ""
        _say(f"interrupted; the same command{without} goes on from the last checkpoint" if goes_on else "interrupted")
        sys.exit(130)


def _search(words: list[str]) -> None:
    run = _parse(Search, words, "search", takes_config=True)
    architecture = search(run.config, run.workdir, restart=run.restart, say=_say)
    _print(
        f"{run.workdir / 'architecture.json'}:"
        f" levels {list(architecture.levels)}, {architecture.parameters():,} parameters"
    )


def _train(words: list[str]) -> None:
    run = _parse(Train, words, "train", takes_config=True)
    model = train(run.config, Architecture.load(run.architecture), run.workdir, restart=run.restart, say=_say)
    score = model.card["validation"]
    _print(f"{run.workdir / 'model.safetensors'}: {score['psnr']:.2f} dB, SSIM {score['ssim']:.4f} on V")


def _evaluate(words: list[str]) -> None:
    options = _parse(Evaluate, words, "evaluate")
    if options.images is not None and options.data is not None:
        raise UsageError("--images and --data both name pictures; give one of them")
    evaluation.check_writable(options.json)
    report = evaluation.evaluate(
        options.model,
        images=options.images,
        data=options.data,
        protocol=options.protocol,
        sigma=options.sigma,
        scale=options.scale,
        channels=options.channels,
        seed=options.seed,
        say=_say,
    )
    evaluation.write_report(report, options.json)
    for row in report.results:
        level = f"sigma {row.sigma:g}" if row.sigma is not None else f"x{row.scale}"
        _print(f"{row.set} ({row.images} pictures), {level}, {report.protocol}: {row.psnr:.2f} dB, SSIM {row.ssim:.4f}")


def _restore(words: list[str]) -> None:
    options = _parse(Restore, words, "restore")
    try:
        failures = restoring.restore_files(options.model, options.inputs, options.output, tile=options.tile, say=_say)
    except MISTAKES:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    if failures:
        raise PictureError(f"{failures} of the pictures could not be restored (see above)")


def _draw(words: list[str]) -> None:
    options = _parse(Draw, words, "draw")
    try:
        architecture = Architecture.load(options.architecture)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        draw_architecture(architecture, options.output)
    except OSError as error:
        raise UsageError(f"{options.output}: cannot be written ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    _print(str(options.output))


def _demo(words: list[str]) -> None:
    options = _parse(Demo, words, "demo")
    summary = run_demo(options.workdir, say=_say)
    for what in ("degraded", "gaussian_blur", "restored"):
        _print(f"{what.replace('_', ' '):>13}: {summary[f'psnr_{what}']:.2f} dB, SSIM {summary[f'ssim_{what}']:.4f}")
    _print(f"look at {options.workdir}: {', '.join(sorted(path.name for path in options.workdir.glob('*.png')))}")


def _parse(kind: type[T], words: list[str], command: str, *, takes_config: bool = False) -> T:
    """Tyro's parse with its boxed messages made one line; the first word may name the config that fills the rest."""
    default = None
    if takes_config:
        name, *words = words or [""]
        if name in ("-h", "--help"):
            name, words = config_names()[0], [name]
            _print(f"usage: hinas {command} CONFIG [--field value]...; defaults shown are those of the config {name}\n")
        if not name or name.startswith("-"):
            raise UsageError(f"hinas {command} needs a config first; known are {', '.join(config_names())}")
        missing = {field.name: tyro.MISSING for field in dataclasses.fields(kind) if _required(field)}  # type: ignore[arg-type]
        default = kind(**missing | {"config": load_config(name)})
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            if default is None:
                return tyro.cli(kind, args=words, prog=f"hinas {command}")
            return tyro.cli(kind, args=words, default=default, prog=f"hinas {command}")
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise UsageError(_one_line(message.getvalue())) from None


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _one_line(boxed: str) -> str:
    """What is wrong, and tyro's first suggestion, out of its drawing."""
    lines = [line.strip("│ \n") for line in boxed.splitlines() if not line.startswith(("╭", "╰"))]
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line and not line.strip("─-"):
            paragraphs.append([])
        elif line:
            paragraphs[-1].append(line)
    if "╭" not in boxed and len(paragraphs) > 1:  # drawn in ASCII, where the title stands inside
        del paragraphs[0]
    text = " ".join(paragraphs[0])
    if (
        len(paragraphs) > 1
        and (near := re.search(r"--[\w.\-]+", " ".join(paragraphs[1])))
        and "meant" in paragraphs[1][0]
    ):
        text += f"; did you mean {near.group()}?"
    return text or "the arguments cannot be understood; see --help"


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hinas_jax" / "xla"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _fail(line: str) -> NoReturn:
    _say(f"hinas: {line}")
    sys.exit(2)
