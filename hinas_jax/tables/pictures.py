"""The pictures of a table: where they come from, and that no test picture is trained on."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hinas_jax.config import Config
from hinas_jax.config_forms import ConfigError
from hinas_jax.data.pictures import PictureError
from hinas_jax.data.sources import BUNDLED, TFDS, PictureSet, Role, load_pictures
from hinas_jax.tables.budget import TOY, Budget
from hinas_jax.tables.definition import Shown

_NUMBER: Final = re.compile(r"\d+")  #: in a picture's name: 78004, img_016_SRF_4_HR


@dataclasses.dataclass(frozen=True)
class Roots:
    """Which pictures; of each task the first that is named."""

    root: str = ""
    """Pictures of all tasks, as in a config's data.root. Default: the few that come along, for budgets below 0.02."""
    denoise: str = ""
    """Pictures of the tables on denoising, in the place of root."""
    super_resolve: str = ""
    """Pictures of the tables on super-resolution, in the place of root."""
    exclude: tuple[str, ...] = ()
    """Names (file names without suffix) to leave out of the training pictures: those that a test set shows too, like
    302003 of BSDS500 where Set5 is tested on."""
    tests: tuple[str, ...] = ()
    """Test sets of super-resolution as NAME=DIR, DIR a folder of clean pictures or a prepared set: Set5=DIR Set14=DIR
    B100=DIR Urban100=tfds:sr_benchmark/urban100, as far as they are in the table. Those that are not given stay empty
    columns. Denoising tests on the root's own test pictures."""

    def apply(self, config: Config, budget: Budget) -> Config:
        """The config with its task's pictures.

        Raises:
            ConfigError: none are named, and the budget is too large for the few that come along.
        """
        root = getattr(self, config.task.name, "") or self.root
        if not root and not budget.toy:
            raise ConfigError(
                f"a budget of {TOY:g} or more needs the paper's pictures: give --data.root DIR"
                " (BSDS500 for denoising, DIV2K for super-resolution)"
            )
        data = dataclasses.replace(config.data, root=root or BUNDLED, exclude=self.exclude)
        return dataclasses.replace(config, data=data)

    def named_tests(self, wanted: Sequence[str], what: str) -> dict[str, str]:
        """Where each test set is: a folder, or tfds:NAME for the test pictures of a prepared set.

        Args:
            wanted: the sets that there may be, none for denoising.
            what: takes them, in words, as "table 12".

        Raises:
            ConfigError: one is not NAME=DIR, its name is not wanted or comes twice, or its folder is missing.
        """
        named: dict[str, str] = {}
        for word in self.tests:
            name, equals, place = word.partition("=")
            if not name or not equals or not (place.startswith(TFDS) or Path(place).is_dir()):
                raise ConfigError(
                    f"--data.tests takes NAME=DIR with a folder of pictures, or NAME={TFDS}SET, not {word!r}"
                )
            if name not in wanted:
                raise ConfigError(f"--data.tests: {_unwanted(name, wanted, what)}")
            if name in named:
                raise ConfigError(f"--data.tests names {name} twice")
            named[name] = place
        return named


@dataclasses.dataclass(frozen=True)
class TestSet:
    """Pictures to measure on: those that a root sets aside, or all of a folder; the first so many of them."""

    __test__ = False  # not one of pytest's

    name: str
    root: str | None
    folder: Path | None
    pictures: int
    """How many are measured."""
    of: int
    """How many there are."""
    digest: str

    @property
    def about(self) -> str:
        """The name and how many pictures."""
        return f"{self.name} ({'all' if self.pictures == self.of else f'first {self.pictures} of'} {self.of})"


def training_pictures(config: Config) -> PictureSet:
    """The pictures that search and training take."""
    return _load(config.data.root, "train", config.task.channels, config.data.exclude)


def check_apart(training: PictureSet, test: PictureSet, name: str) -> None:
    """Refuse a test picture that is trained on, pixel for pixel.

    Raises:
        PictureError: there is one.
    """
    known = {_digest_of(training, i): training.names[i] for i in range(len(training))}
    for i in range(len(test)):
        if twin := known.get(_digest_of(test, i)):
            raise PictureError(
                f"the test picture {test.names[i]} of {name} is among the training pictures, as {twin}:"
                " a result on it would be worth nothing; leave it out with --data.exclude"
            )


def load_test_sets(
    training: PictureSet, config: Config, wanted: tuple[str, ...], named: Mapping[str, str], limit: int | None
) -> tuple[TestSet, ...]:
    """The sets to measure on, each checked to be apart from the training pictures.

    Args:
        training: what is trained on.
        config: says the root and the channels.
        wanted: the sets of the paper's table; () takes the root's own test pictures.
        named: folder or tfds:NAME of each set that is there; where none is, the root's own test pictures stand in.
        limit: pictures of each set at most.

    Raises:
        ConfigError: there are no test pictures.
        PictureError: pictures cannot be read, or are trained on.
    """
    channels = config.task.channels
    given = {name: named[name] for name in wanted if name in named}
    sets = []
    for name, place in (given or {_own_name(config.data.root): config.data.root}).items():
        whole = bool(given) and not place.startswith(TFDS)  # a folder of test pictures alone
        root, folder = (None, Path(place)) if whole else (place, None)
        pictures = _load(place, "all" if whole else "test", channels, ())
        check_apart(training, pictures, name)
        count = min(len(pictures), limit or len(pictures))
        digest = pictures.subset(range(count)).digest()
        sets.append(TestSet(name, root, folder, count, len(pictures), digest))
    return tuple(sets)


def pictures_of(test: TestSet, channels: int) -> PictureSet:
    """The pictures themselves."""
    return _all_of(test, channels).subset(range(test.pictures))


def find_shown(shown: Shown, sets: Sequence[TestSet], channels: int) -> tuple[TestSet, int, PictureSet]:
    """The picture that the paper shows, if it is in its set by its number, else the first of the first set.

    A set holds it if it is among all its pictures, be fewer measured.

    Returns:
        The set, the picture's place in it, counted from 0, and the picture alone.
    """
    for test in sets:
        if shown.set in ("", test.name):
            pictures = _all_of(test, channels)
            numbers = [_NUMBER.search(name.rpartition("/")[-1]) for name in pictures.names]
            there = [i for i, number in enumerate(numbers) if number and int(number[0]) == int(shown.picture)]
            if there:
                return test, there[0], pictures.subset(there[:1])
    return sets[0], 0, _all_of(sets[0], channels).subset([0])


def _all_of(test: TestSet, channels: int) -> PictureSet:
    return _load(str(test.folder or test.root), "all" if test.folder else "test", channels, ())


def _unwanted(name: str, wanted: Sequence[str], what: str) -> str:
    if not wanted:
        return f"{what} tests on the pictures that the root sets aside; leave out {name!r}"
    near = difflib.get_close_matches(name.lower(), [other.lower() for other in wanted], n=1, cutoff=0.5)
    hint = "".join(f"; did you mean {other}?" for other in wanted if other.lower() in near)
    return f"{what} has no set {name!r}; it takes {', '.join(wanted)}{hint}"


def _own_name(root: str) -> str:
    return f"{root} test" if root == BUNDLED or root.startswith(TFDS) else f"{Path(root).name} test"


def _load(root: str, role: Role, channels: int, exclude: tuple[str, ...]) -> PictureSet:
    unused = _ignore if role == "train" else None  # the runs tell what they leave out; no test picture may be left out
    pictures = load_pictures(root, role, channels, exclude, unused)
    if pictures is None:
        raise ConfigError(
            f"{root} has no pictures set aside for testing (a folder `test`); for super-resolution name test sets"
            " with --data.tests"
        )
    return pictures


def _ignore(line: str) -> None:
    del line


def _digest_of(pictures: PictureSet, i: int) -> str:
    return hashlib.sha256(pictures.pixels[i].tobytes()).hexdigest()
