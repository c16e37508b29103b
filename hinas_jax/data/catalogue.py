"""The paper's picture sets: which pictures each has, where they may lie in a folder, and where they can be had."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hinas_jax.data.finding import find_pictures
from hinas_jax.data.pictures import PictureError

_SUITE: Final = "sr_benchmark"


@dataclasses.dataclass(frozen=True)
class KnownSet:
    """A set of pictures that the paper uses.

    Attributes:
        name: as in ``tfds:NAME``.
        counts: how many pictures each split has.
        names: of each split the first pictures' names (their files' without suffix), sorted; all of them or a few.
        places: for each split, folders within the one that is given where its pictures may lie; "." is that one.
        page: where to get them by hand.
        archive: address of a .tar.gz that holds them; "" if there is none whose content we can check.
        digests: SHA-256 of each split's names and pixels (``PictureSet.digest`` in RGB); none where we had no copy,
            and nothing is checked then.
        multiple: pictures are cut to a multiple of this many pixels, from the upper left.
        note: what to know when using it.
    """

    name: str
    counts: Mapping[str, int]
    places: Mapping[str, tuple[str, ...]]
    page: str
    names: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    archive: str = ""
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    multiple: int = 1
    note: str = ""

    def find(self, folder: Path) -> dict[str, list[Path]]:
        """The pictures of each split in a folder.

        Raises:
            PictureError: one line that says which pictures belong where.
        """
        found = {split: _first_full(folder, self.places[split], count) for split, count in self.counts.items()}
        missing = [split for split, paths in found.items() if paths is None]
        if missing:
            raise PictureError(f"{folder}: {self.name} is not complete there; {self.wanted(folder)}")
        return {split: paths for split, paths in found.items() if paths is not None}

    def wanted(self, folder: Path) -> str:
        """What to put where and how it is named, as half a sentence."""
        parts = [
            f"{count} pictures in {folder / self.places[split][0]}{self._named(split)}"
            for split, count in self.counts.items()
        ]
        return f"get the pictures from {self.page}, leave their names as they are, and put {', '.join(parts)}"

    def _named(self, split: str) -> str:
        names = self.names.get(split, ())
        more = ", ..." if len(names) < self.counts[split] else ""
        return f" ({', '.join(names)}{more})" if names else ""


def _first_full(folder: Path, places: tuple[str, ...], count: int) -> list[Path] | None:
    for place in places:
        if (folder / place).is_dir():
            try:
                paths = find_pictures(folder / place)
            except PictureError:
                continue
            if len(paths) == count:
                return paths
    return None


def _benchmark(name: str, title: str, count: int, *, places: tuple[str, ...] = (), **fields: object) -> KnownSet:
    """A set of the suite sr_benchmark: high-resolution pictures to test on."""
    test = (f"{title}/HR", *places, "HR", title, ".")
    return KnownSet(f"{_SUITE}/{name}", {"test": count}, {"test": test}, **fields)  # type: ignore[arg-type]


_BSDS: Final = "https://codeload.github.com/BIDS/BSDS500/tar.gz/refs/heads/master"
_BSDS_PAGE: Final = "github.com/BIDS/BSDS500 (BSDS500/data/images)"
_BSDS_VAL_NAMES: Final = ("101085", "101087", "102061")
_BSDS_VAL: Final = "ad8d05a3825339301f4da9263a259bf7d49e509c37fd1cd770497fd64277424b"
_BSDS_PLACES: Final = ("{}", "images/{}", "data/images/{}", "BSDS500/data/images/{}", "BSR/BSDS500/data/images/{}")


def _in_bsds(folder: str) -> tuple[str, ...]:
    return tuple(place.format(folder) for place in _BSDS_PLACES)


KNOWN_SETS: Final[Mapping[str, KnownSet]] = {
    known.name: known
    for known in (
        KnownSet(
            "bsds500",
            {"train": 200, "validation": 100, "test": 200},
            {"train": _in_bsds("train"), "validation": _in_bsds("val"), "test": _in_bsds("test")},
            page=_BSDS_PAGE,
            names={
                "train": ("100075", "100080", "100098"),
                "validation": _BSDS_VAL_NAMES,
                "test": ("100007", "100039", "100099"),
            },
            archive=_BSDS,
            digests={
                "train": "6292a6eb1541ba46108e1342afe6899bbd1ea6d2a1b36aaa60a3a239da887de1",
                "validation": _BSDS_VAL,
                "test": "8e3446bc19e67dfb312ae29d3c9ffa9c3f24c30191248a1b4c442447932e68d1",
            },
            note="val is B100, pixel for pixel, and holds BSD68; Set5's woman is a crop of train's 302003",
        ),
        _benchmark(
            "set5",
            "Set5",
            5,
            page="github.com/JingyunLiang/SwinIR (testsets/Set5/HR)",
            names={"test": ("baby", "bird", "butterfly", "head", "woman")},
            archive="https://codeload.github.com/JingyunLiang/SwinIR/tar.gz/33f616625268d08ba600f8db89388eec0328edb1",
            places=("testsets/Set5/HR",),
            digests={"test": "7193940992efe5a7b57d765d08d4ee0d0fbbb8d3161d52d4e549d267e7b0fd85"},
            note="woman is a crop of BSDS500 train's 302003",
        ),
        _benchmark(
            "set14",
            "Set14",
            14,
            page="github.com/spnova12/SR_bicubic_test-matlab-vs-cv2",
            names={"test": ("baboon", "barbara", "bridge", "coastguard", "comic", "face", "flowers")},
            digests={"test": "3042129f50e2c6da8f5c510116cca8b4a26d8104cafd4eaff9c29902e747ea90"},
        ),
        _benchmark(
            "b100",
            "B100",
            100,
            page=_BSDS_PAGE,
            names={"test": _BSDS_VAL_NAMES},
            archive=_BSDS,
            places=_in_bsds("val"),
            digests={"test": _BSDS_VAL},
            note="the pictures of BSDS500 val: no test for what was trained on them",
        ),
        _benchmark(
            "urban100",
            "Urban100",
            100,
            page="github.com/Zheng222/IDN-Caffe (test/test_data/Urban100)",
            names={"test": ("img001", "img002", "img003")},
            archive="https://codeload.github.com/Zheng222/IDN-Caffe/tar.gz/7a359b2d0fa1f56dab24d6f96f101bb1e68b0677",
            places=("test/test_data/Urban100",),
            digests={"test": "04fc7e26d57e140688374844878e27e69fe9a4ded9050b39b08455fc0002103c"},
            multiple=4,
            note="cut to a multiple of 4 pixels, as the usual copies are",
        ),
        _benchmark(
            "manga109",
            "Manga109",
            109,
            page="www.manga109.org, where its authors give it on request",
            note="one page of each of 109 volumes",
        ),
    )
}
