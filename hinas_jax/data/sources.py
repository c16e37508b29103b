"""Sets of pictures, and the splits of section 3.4.

A set comes from a folder, from TFDS, or from the pictures that scikit-image carries. Splits depend on nothing but the
names of the pictures and the seed.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import skimage.data
from jaxtyping import UInt8

from hinas_jax.data.colour import to_grey
from hinas_jax.data.finding import find_pictures
from hinas_jax.data.names import printable
from hinas_jax.data.pairs import DEGRADED, find_pairs, read_pair, stacked
from hinas_jax.data.pictures import PictureError, read_picture
from hinas_jax.data.prepared import pixels_digest, prepared_folder, read_digests, read_split
from hinas_jax.processes import agree, require_same, share_out
from hinas_jax.saying import Say

BUNDLED: Final = "bundled"
TFDS: Final = "tfds:"

#: Pictures that come with scikit-image. The held-back ones are never trained on.
_BUNDLED_TRAIN: Final = (
    "astronaut", "brick", "chelsea", "coins", "grass", "gravel", "hubble_deep_field",
    "immunohistochemistry", "moon", "retina",
)  # fmt: skip
_BUNDLED_TEST: Final = ("camera", "coffee", "rocket")

Role = Literal["train", "test", "all"]
_Files = tuple[str, tuple[Path, ...]]  #: a picture's name, and its file or its clean and its degraded one

_TOLD: Final = 3  #: pictures named in a line that tells which are left out

#: The names that TFDS finds among its own sets: NAME, NAME/CONFIG, NAME:VERSION. Not NAMESPACE:NAME, for which it
#: would fetch a stranger's Python and run it.
_TFDS_NAME: Final = r"\w+(/[\w.+-]+)?(:(\d+|\*)\.(\d+|\*)\.(\d+|\*))?"


@dataclasses.dataclass(frozen=True, eq=False)
class PictureSet:
    """Named pictures in a fixed order; each is uint8 with one number of channels for all.

    Of pairs, each is a clean picture and its degraded one, as further channels.
    """

    names: tuple[str, ...]
    pixels: tuple[UInt8[np.ndarray, "height width channel"], ...]

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, indices: Sequence[int]) -> PictureSet:
        """The pictures at ``indices``, in that order."""
        return PictureSet(tuple(self.names[i] for i in indices), tuple(self.pixels[i] for i in indices))

    def joined(self, other: PictureSet) -> PictureSet:
        """Both sets as one, sorted by name."""
        both = PictureSet(self.names + other.names, self.pixels + other.pixels)
        return both.subset(sorted(range(len(both)), key=both.names.__getitem__))

    def digest(self) -> str:
        """SHA-256 over names, shapes and pixels: the same for the same pictures, whatever the machine."""
        return pixels_digest(zip(self.names, self.pixels, strict=True))


def load_pictures(
    root: str,
    role: Role,
    channels: int,
    exclude: Sequence[str] = (),
    say: Say | None = None,
    *,
    paired: bool = False,
) -> PictureSet | None:
    """All pictures of one role.

    Args:
        root: "bundled"; "tfds:NAME" with NAME as TFDS knows it ("tfds:div2k/bicubic_x2"); or a folder. A folder with
            ``train`` inside is used as DIR/train and DIR/val together for training and DIR/test for testing; any
            other folder is one set, flat or nested, for training.
        role: "train", "test", or "all" for every picture of a folder, whatever lies in it.
        channels: 1 to convert to grey, 3 for RGB.
        exclude: names (file names without suffix) to leave out.
        say: where one line goes that tells how many files of a folder cannot be used and are left out. None refuses
            the first of them instead: a measurement over fewer pictures is another measurement.
        paired: whether each picture comes with a degraded one: where a folder would hold pictures, it then holds the
            folders ``clean`` and ``degraded`` of them; a TFDS set has both as features.

    Returns:
        The set, sorted by name; None where the root has no pictures set aside for testing.

    Raises:
        PictureError: folder missing or empty, no picture of it can be used, or, without ``say``, one cannot; or no
            pairs where they are asked for.
    """
    if root == BUNDLED:
        if paired:
            raise PictureError("the bundled pictures are no pairs; give a folder that holds clean and degraded ones")
        pictures = _load_bundled(role, channels)
    elif root.startswith(TFDS):
        loaded = _load_tfds(root.removeprefix(TFDS), role, channels, paired)
        if loaded is None:
            return None
        pictures = loaded
    else:
        unusable = _Unusable(root, say)
        found = agree(lambda: _folder_files(Path(root), role, paired, unusable.add))
        return None if found is None else _read_folder(root, found, role, channels, exclude, unusable)
    if role == "train":
        _check_excluded(root, exclude, pictures.names)
    kept = [i for i, name in enumerate(pictures.names) if name.rsplit("/", 1)[-1] not in exclude]
    return _require_any(root, role, pictures.subset(kept))


class _Unusable:
    """The files and folders of a set that cannot be used: told in one line, or the first of them raised."""

    def __init__(self, root: str, say: Say | None) -> None:
        self._root, self._say, self._errors = root, say, list[PictureError]()

    def add(self, error: PictureError) -> None:
        if self._say is None:
            raise error
        self._errors.append(error)

    def tell(self, used: int) -> None:
        """Say it, or raise it where nothing is left."""
        if not self._errors or self._say is None:
            return
        count, first = len(self._errors), [str(error) for error in self._errors[:_TOLD]]
        told = " | ".join(first) + (f" | and {count - _TOLD} more" if count > _TOLD else "")
        if not used:
            raise PictureError(f"{self._root}: none of {count} pictures can be used: {told}")
        self._say(f"left out {count} of {used + count} pictures that cannot be used: {told}")


def _read_folder(
    root: str, found: list[_Files], role: Role, channels: int, exclude: Sequence[str], unusable: _Unusable
) -> PictureSet:
    if role == "train":
        _check_excluded(root, exclude, [files[0].stem for _, files in found])
    # The others stay unread: they may be damaged.
    kept = sorted((printable(name), files) for name, files in found if files[0].stem not in exclude)
    require_same("names of pictures", "\n".join(name for name, _ in kept).encode(errors="surrogateescape"))

    def read(number: int) -> dict[str, np.ndarray]:
        try:
            return {"pixels": _read(kept[number][1], _channels(channels))}
        except PictureError as error:
            return {"unusable": np.array(str(error))}

    names, pixels = [], []
    for (name, _), got in zip(kept, share_out(len(kept), read), strict=True):
        if "pixels" in got:
            names.append(name)
            pixels.append(got["pixels"])
        else:
            unusable.add(PictureError(str(got["unusable"])))
    unusable.tell(len(names))
    return _require_any(root, role, PictureSet(tuple(names), tuple(pixels)))


def _read(files: tuple[Path, ...], channels: Literal[1, 3]) -> UInt8[np.ndarray, "height width data_channel"]:
    return read_picture(files[0], channels) if len(files) == 1 else read_pair(files[0], files[1], channels)


def _require_any(root: str, role: Role, pictures: PictureSet) -> PictureSet:
    if not pictures.names:
        raise PictureError(f"{root}: no {role} picture is left after data.exclude; take a name out of it")
    return pictures


def _check_excluded(root: str, exclude: Sequence[str], names: Sequence[str]) -> None:
    """A name that excludes nothing is a slip that may let a test picture into the training."""
    own = [name.rsplit("/", 1)[-1] for name in names]
    for name in exclude:
        if name not in own:
            near = difflib.get_close_matches(name, own, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else " (a file's name without its suffix)"
            raise PictureError(f"{root}: data.exclude names {name!r}, which is no picture there{hint}")


def split(pictures: PictureSet, seed: int, validation_fraction: float) -> tuple[PictureSet, PictureSet, PictureSet]:
    """Three disjoint parts W, A and V (section 3.4): V a fraction (one picture at least), the rest halved.

    Raises:
        PictureError: fewer than three pictures.
    """
    if len(pictures) < 3:
        raise PictureError(f"a search needs 3 pictures or more (one each for W, A and V), not {len(pictures)}")
    order = np.random.default_rng(seed).permutation(len(pictures))
    held_back = min(max(1, round(validation_fraction * len(pictures))), len(pictures) - 2)
    middle = held_back + (len(pictures) - held_back + 1) // 2
    parts = (order[held_back:middle], order[middle:], order[:held_back])
    weights, arch, validation = (pictures.subset(sorted(part.tolist())) for part in parts)
    return weights, arch, validation


def large_enough(pictures: PictureSet, side: int, purpose: str, say: Say) -> PictureSet:
    """Leave out pictures smaller than ``side`` pixels on either side, and say so in one line.

    Raises:
        PictureError: all are smaller; says how to mend it.
    """
    small = [i for i, pixels in enumerate(pictures.pixels) if min(pixels.shape[:2]) < side]
    if not small:
        return pictures
    sizes = [f"{pictures.names[i]} ({pictures.pixels[i].shape[1]}x{pictures.pixels[i].shape[0]})" for i in small]
    told = ", ".join(sizes[:_TOLD]) + (f" and {len(small) - _TOLD} more" if len(small) > _TOLD else "")
    wanted = f"too small for {purpose}, which takes {side}x{side} pixels"
    if len(small) == len(pictures):
        raise PictureError(f"all {len(small)} pictures are {wanted}: {told}; make the patch smaller")
    say(f"left out {len(small)} of {len(pictures)} pictures, {wanted}: {told}")
    return pictures.subset(sorted(set(range(len(pictures))) - set(small)))


def _folder_files(
    root: Path, role: Role, paired: bool, unusable: Callable[[PictureError], None]
) -> list[_Files] | None:
    """Each picture's name and its file, or its clean and its degraded one."""
    try:
        parts = _parts(root, role)
    except OSError as error:
        raise PictureError(f"{root}: cannot be read ({error.strerror}); check the path") from None
    if parts is None:
        return None
    if paired:
        pairs = [(part.relative_to(root), find_pairs(part, unusable)) for part in parts]
        return [((part / name).as_posix(), files) for part, found in pairs for name, files in found.items()]
    paths = [path for part in parts for path in find_pictures(part, unusable)]
    return [(path.relative_to(root).with_suffix("").as_posix(), (path,)) for path in paths]


def _parts(root: Path, role: Role) -> list[Path] | None:
    """The folders that hold a role's pictures."""
    if role == "all" or (role == "train" and not (root / "train").is_dir()):
        return [root]
    if role == "test":
        held_back = (root / "train").is_dir() and (root / "test").is_dir()
        return [root / "test"] if held_back else None
    return [root / "train"] + ([root / "val"] if (root / "val").is_dir() else [])


def _load_bundled(role: Role, channels: int) -> PictureSet:
    names = _BUNDLED_TRAIN if role == "train" else _BUNDLED_TEST
    return PictureSet(names, tuple(_with_channels(getattr(skimage.data, name)(), channels) for name in names))


def _load_tfds(name: str, role: Role, channels: int, paired: bool) -> PictureSet | None:
    if not re.fullmatch(_TFDS_NAME, name):
        raise PictureError(f"{TFDS}{name}: no name of a TFDS set; give NAME, NAME/CONFIG or either with :VERSION")
    if prepared_folder(name) is not None:
        return _load_prepared(name, role, channels, paired)
    import tensorflow_datasets as tfds  # noqa: PLC0415  heavy, and only this source needs it

    part = "train" if role == "train" else "validation"
    try:
        source = tfds.data_source(name, split=part)
    except Exception as error:  # TFDS raises many kinds
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PictureError(
            f"{TFDS}{name}: TFDS cannot read split {part!r} ({first}); prepare it first: hinas data prepare {name}"
        ) from None
    if paired:
        raise PictureError(f"{TFDS}{name}: its pictures are no pairs")
    key = "hr" if "hr" in source.dataset_info.features else "image"

    def read(number: int) -> dict[str, np.ndarray]:
        return {key: _with_channels(np.asarray(source[number][key]), channels)}

    pixels = tuple(got[key] for got in share_out(len(source), read))
    return PictureSet(tuple(f"{part}/{i:06d}" for i in range(len(pixels))), pixels)


def prepared_digests(root: str) -> dict[str, str]:
    """The SHA-256 of each split of a set of ours that ``hinas data prepare`` has prepared; nothing for other roots.

    Other roots are folders, the bundled pictures, and sets of TFDS itself, as ``tfds:div2k``, which TFDS prepares and
    reads: what a run used of these is told by the digests of its parts alone (``PictureSet.digest``).
    """
    return read_digests(root.removeprefix(TFDS)) if root.startswith(TFDS) else {}


def _load_prepared(name: str, role: Role, channels: int, paired: bool) -> PictureSet | None:
    """A set that ``hinas data prepare`` has prepared; train and validation together are for training."""
    splits = read_digests(name)
    wanted = ("test",) if role == "test" else ("train", "validation")
    there = [split for split in wanted if split in splits]
    if not there:
        if role == "test":
            return None
        raise PictureError(f"{TFDS}{name} is for testing only; name another set or folder to train on")
    names, pixels = [], []
    for split in there:
        for key, pictures in read_split(name, split):
            if paired != (DEGRADED in pictures):
                what = "no pairs" if paired else "pairs, for the task paired"
                raise PictureError(f"{TFDS}{name}: its pictures are {what}")
            parts = [_with_channels(picture, channels) for picture in pictures.values()]
            names.append(f"{split}/{key}")
            pixels.append(stacked(parts[0], parts[1], key) if paired else parts[0])
    found = PictureSet(tuple(names), tuple(pixels))
    return found.subset(sorted(range(len(found)), key=found.names.__getitem__))


def _with_channels(pixels: UInt8[np.ndarray, "..."], channels: int) -> UInt8[np.ndarray, "height width channel"]:
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape[-1] == channels:
        return pixels
    return to_grey(pixels) if channels == 1 else np.repeat(pixels, 3, axis=-1)


def _channels(channels: int) -> Literal[1, 3]:
    return 1 if channels == 1 else 3
