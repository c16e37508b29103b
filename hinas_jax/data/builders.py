"""TFDS builders: ``bsds500``, ``sr_benchmark/{set5,...}`` and ``image_folder/NAME``, prepared without TensorFlow.

Importing this module makes them known to TFDS (``tfds.load("bsds500")``); nothing else of the package imports it before
a TFDS set is asked for. Their pictures come from ``manual_dir``; ``hinas data prepare`` fetches them where it can.
Examples hold ``name``, the picture's path within its split without suffix, and ``image``, or for pairs ``clean`` and
``degraded``. All are RGB; grey pictures have three equal channels.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from hinas_jax.data.catalogue import KNOWN_SETS, KnownSet
from hinas_jax.data.finding import find_pictures
from hinas_jax.data.pairs import CLEAN, DEGRADED, find_pairs
from hinas_jax.data.pictures import read_picture

VERSION: Final = tfds.core.Version("1.0.0")

#: The splits of a folder: its own folders' names and TFDS's.
FOLDERS: Final = {"train": "train", "val": "validation", "test": "test"}

Example = tuple[str, dict[str, str]]


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[misc, call-arg]
    """What the builders share."""

    VERSION = VERSION
    #: TFDS downloads nothing here; where it would look for a file of checksums, it needs a package it does not ask for.
    url_infos: ClassVar[Mapping[str, Any]] = {}


class Bsds500(_Builder):
    """Berkeley's segmentation pictures (Arbelaez et al. 2011): 200 to train, 100 to validate, 200 to test."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = KNOWN_SETS["bsds500"].wanted(Path("MANUAL_DIR"))

    def _info(self) -> Any:
        return _info(self, ("image",))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return _known_splits(KNOWN_SETS["bsds500"], Path(dl_manager.manual_dir), self._generate_examples)

    def _generate_examples(self, files: Mapping[str, Path], multiple: int) -> Iterator[Example]:
        yield from _pictures(files, multiple)


class SrBenchmark(_Builder):
    """High-resolution pictures of the benchmarks of super-resolution, a config for each set; all are for testing."""

    BUILDER_CONFIGS: Final = [
        tfds.core.BuilderConfig(name=name.removeprefix("sr_benchmark/"), description=known.note)
        for name, known in KNOWN_SETS.items()
        if name.startswith("sr_benchmark/")
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The set's pictures in MANUAL_DIR; `hinas data prepare sr_benchmark/SET` tells which."
    )

    def _info(self) -> Any:
        return _info(self, ("image",))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        known = KNOWN_SETS[f"sr_benchmark/{self.builder_config.name}"]
        return _known_splits(known, Path(dl_manager.manual_dir), self._generate_examples)

    def _generate_examples(self, files: Mapping[str, Path], multiple: int) -> Iterator[Example]:
        yield from _pictures(files, multiple)


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):  # type: ignore[misc]
    """A folder of the user's: its name in TFDS, and whether it holds pairs."""

    paired: bool = False


class ImageFolder(_Builder):
    """A user's own pictures, flat or nested; or pairs, in folders ``clean`` and ``degraded``.

    A folder with ``train`` inside is split into train, val and test by its folders; any other is all for training.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Your pictures in MANUAL_DIR."

    def _info(self) -> Any:
        return _info(self, (CLEAN, DEGRADED) if self.builder_config.paired else ("image",))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        root = Path(dl_manager.manual_dir)
        if not (root / "train").is_dir():
            return {"train": self._generate_examples(root)}
        return {
            split: self._generate_examples(root / folder)
            for folder, split in FOLDERS.items()
            if (root / folder).is_dir()
        }

    def _generate_examples(self, folder: Path) -> Iterator[Example]:
        if not self.builder_config.paired:
            paths = find_pictures(folder)
            yield from _pictures({path.relative_to(folder).with_suffix("").as_posix(): path for path in paths})
            return
        with tempfile.TemporaryDirectory() as scratch:
            for number, (name, pair) in enumerate(find_pairs(folder).items()):
                clean, degraded = (_as_rgb(path, Path(scratch) / f"{number}_{i}.png", 1) for i, path in enumerate(pair))
                yield name, {"name": name, CLEAN: str(clean), DEGRADED: str(degraded)}


def _info(builder: Any, pictures: tuple[str, ...]) -> Any:
    features = {"name": tfds.features.Text()} | {
        picture: tfds.features.Image(shape=(None, None, 3)) for picture in pictures
    }
    return tfds.core.DatasetInfo(
        builder=builder, description=builder.__doc__, features=tfds.features.FeaturesDict(features)
    )


def _known_splits(known: KnownSet, folder: Path, generate: Any) -> dict[str, Any]:
    return {
        split: generate({path.stem: path for path in paths}, known.multiple)
        for split, paths in known.find(folder).items()
    }


def _pictures(files: Mapping[str, Path], multiple: int = 1) -> Iterator[Example]:
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, path) in enumerate(files.items()):
            yield name, {"name": name, "image": str(_as_rgb(path, Path(scratch) / f"{number}.png", multiple))}


def _as_rgb(path: Path, scratch: Path, multiple: int) -> Path:
    """The file itself if any decoder reads our RGB pixels from it, else a PNG of them."""
    pixels = read_picture(path, 3)
    height, width = pixels.shape[:2]
    whole = height % multiple == width % multiple == 0
    if whole and path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        with Image.open(path) as image:
            if image.mode == "RGB" and np.array_equal(np.asarray(image), pixels):
                return path
    Image.fromarray(pixels[: height - height % multiple, : width - width % multiple]).save(scratch, compress_level=1)
    return scratch
