"""Prepared sets: TFDS's array_record files and beside those of our own sets ``digests.json``, what was prepared.

Prepared is into TFDS's folder: TFDS_DATA_DIR, or ~/tensorflow_datasets.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import http.client
import importlib.util
import io
import json
import logging
import re
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from hinas_jax.data.catalogue import KNOWN_SETS, KnownSet
from hinas_jax.data.finding import PICTURE_SUFFIXES, find_pictures
from hinas_jax.data.pairs import CLEAN, DEGRADED
from hinas_jax.data.pictures import PictureError
from hinas_jax.processes import share_out
from hinas_jax.saying import Say
from hinas_jax.writing import write_whole

DIGESTS: Final = "digests.json"
FOLDER: Final = "image_folder/"
_OWN: Final = f"{FOLDER}NAME (letters, digits and _)"
_DIV2K: Final = "div2k"  #: TFDS's own set that the paper trains on
SCRATCH: Final = ".preparing-"  #: how folders begin that hold a set until it is whole
TIMEOUT: Final = 30  #: seconds without an answer after which a download is given up


def prepare(name: str, source: Path | None, say: Say) -> Path:
    """Prepare a set, from a folder or by downloading it. A set prepared before stays until the new one is whole.

    Args:
        name: one of KNOWN_SETS, ``image_folder/NAME`` for pictures of your own, or a set of TFDS such as ``div2k``.
        source: folder that holds the pictures; None to download them.
        say: where lines for people go.

    Returns:
        The folder it was prepared into.

    Raises:
        PictureError: no such set, its pictures are not there, a name or a pixel of them is not the original's, or it
            cannot be downloaded.
    """
    if name in KNOWN_SETS:
        known = KNOWN_SETS[name]
        if source is not None:
            return _build(name, source, say, known)
        with _downloaded(known, say) as folder:
            return _build(name, folder, say, known)
    if name.startswith(FOLDER) and name.removeprefix(FOLDER).isidentifier():
        if source is None:
            raise PictureError(f"{name}: name the folder that holds the pictures: --from DIR")
        return _build(name, source, say)
    if not _is_of_tfds(name):
        raise PictureError(f"there is no set {name!r}{_hint(name)}; known are {', '.join([*KNOWN_SETS, _OWN])}")
    if source is not None:
        raise PictureError(
            f"{name} is a set of TFDS itself and not made from a folder; a plain folder of the pictures needs no"
            f" preparing: give --data.root {source}"
        )
    return _prepare_of_tfds(name)


def _is_of_tfds(name: str) -> bool:
    """Whether TFDS knows the set by itself, without asking the network; or it is meant for one that we document."""
    import tensorflow_datasets as tfds  # noqa: PLC0415  heavy, and only this needs it

    kind = re.split("[/:]", name)[0]
    ours = {known.partition("/")[0] for known in [*KNOWN_SETS, FOLDER]}
    of_tfds = set(tfds.list_builders(with_community_datasets=False)) - ours
    return kind in of_tfds or kind.lower().startswith(_DIV2K)


def _hint(name: str) -> str:
    """Which set may have been meant, as the end of half a sentence; "" if none is near."""
    suites = {known.partition("/")[0]: f"{known.partition('/')[0]}/NAME" for known in KNOWN_SETS if "/" in known}
    last_words = {known.rpartition("/")[2]: known for known in KNOWN_SETS}
    meant = suites | last_words | {known: known for known in KNOWN_SETS} | {FOLDER: _OWN, _DIV2K: _DIV2K}
    near = difflib.get_close_matches(name.lower(), meant, n=1)
    return f"; did you mean {meant[near[0]]}?" if near else ""


def prepared_folder(name: str) -> Path | None:
    """Where a set of ours lies prepared, if it does."""
    found = sorted(_data_dir().joinpath(*name.split("/")).glob(f"*/{DIGESTS}"))
    return found[-1].parent if found else None


def prepared_names() -> list[str]:
    """The names of all sets of ours that are prepared."""
    found = _data_dir().joinpath("image_folder").glob(f"*/*/{DIGESTS}")
    names = [*KNOWN_SETS, *sorted({FOLDER + path.parents[1].name for path in found})]
    return [name for name in names if prepared_folder(name) is not None]


def read_digests(name: str) -> dict[str, str]:
    """The SHA-256 of each split of a prepared set of ours; nothing for others.

    Raises:
        PictureError: the file that holds them cannot be read, say because it was cut short.
    """
    folder = prepared_folder(name)
    if folder is None:
        return {}
    try:
        digests = json.loads((folder / DIGESTS).read_text())
    except (OSError, ValueError):
        digests = None
    if not isinstance(digests, dict) or not digests:
        raise PictureError(f"{folder / DIGESTS} cannot be read or was cut short; hinas data prepare {name} again")
    return digests


def pixels_digest(pictures: Iterable[tuple[str, UInt8[np.ndarray, "height width channel"]]]) -> str:
    """SHA-256 over names, shapes and pixels, in the order given: the same for the same pictures, whatever the files."""
    sha = hashlib.sha256()
    for name, pixels in pictures:
        sha.update(f"{name} {pixels.shape}\n".encode(errors="surrogateescape"))
        sha.update(np.ascontiguousarray(pixels).tobytes())
    return sha.hexdigest()


def read_split(name: str, split: str) -> list[tuple[str, dict[str, UInt8[np.ndarray, "height width 3"]]]]:
    """Names and pictures (clean before degraded) of a split of a prepared set of ours, sorted by name.

    Raises:
        PictureError: it is not prepared.
    """
    import tensorflow_datasets as tfds  # noqa: PLC0415  heavy, and only this needs it

    folder = prepared_folder(name)
    if folder is None:
        raise PictureError(f"tfds:{name} is not prepared; hinas data prepare {name}")
    return _examples(tfds.builder_from_directory(str(folder)), split)


def _examples(builder: Any, split: str) -> list[tuple[str, dict[str, UInt8[np.ndarray, "height width 3"]]]]:
    with _quiet():
        source = builder.as_data_source(split=split)

        def read(number: int) -> dict[str, np.ndarray]:
            example = source[number]
            pictures = {key: np.asarray(example[key]) for key in ("image", CLEAN, DEGRADED) if key in example}
            return {"name": np.array(example["name"].decode()), **pictures}

        found = [(str(got.pop("name")), got) for got in share_out(len(source), read)]
    return sorted(found, key=lambda named: named[0])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without TFDS's own lines, as its advice to install OpenCV or its warning of a config that it does not know."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _build(name: str, source: Path, say: Say, known: KnownSet | None = None) -> Path:
    """Prepare beside the other sets, and put it in place once it is whole and checked."""
    import tensorflow_datasets as tfds  # noqa: PLC0415  heavy, and only this needs it

    from hinas_jax.data import builders  # noqa: PLC0415  importing it makes the builders known to TFDS

    if not source.is_dir():
        raise PictureError(f"{source}: there is no such folder; --from names the one that holds the pictures")
    if known is not None:
        known.find(source)  # says what is missing before anything is written
    else:
        find_pictures(source)  # says that there is none, which TFDS takes for a fault of the program
    kind, _, config = name.partition("/")
    data_dir = _data_dir()
    data_dir.mkdir(parents=True, exist_ok=True)
    tfds.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=data_dir) as scratch:
        settings: dict[str, Any] = {"data_dir": scratch, "file_format": "array_record"}
        with _quiet():
            if kind == "bsds500":
                builder = builders.Bsds500(**settings)
            elif kind == "sr_benchmark":
                builder = builders.SrBenchmark(config=config, **settings)
            else:
                paired = (source / CLEAN).is_dir() or (source / "train" / CLEAN).is_dir()
                builder = builders.ImageFolder(config=builders.FolderConfig(name=config, paired=paired), **settings)
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(source)))
        digests = {}
        for split in builder.info.splits:
            found = _examples(builder, split)
            digests[split] = pixels_digest((key, picture) for key, parts in found for picture in parts.values())
            say(f"{name}, {split}: {len(found)} pictures, SHA-256 of names and pixels {digests[split]}")
        if known is not None and known.digests and digests != dict(known.digests):
            raise PictureError(
                f"{source}: names or pixels differ from the original pictures of {name}; {known.wanted(source)}"
            )
        if known is not None and not known.digests:
            say(f"{name}: not checked: no digest of it is known here")
        made = Path(builder.data_dir)
        write_whole(made / DIGESTS, json.dumps(digests, indent=2) + "\n")
        folder = data_dir / made.relative_to(scratch)
        _put_in_place(made, folder, Path(scratch) / "before")
    return folder


def _put_in_place(made: Path, folder: Path, aside: Path) -> None:
    """Move what was made to ``folder``; what is there goes ``aside``, and comes back if that fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(aside)
    try:
        made.rename(folder)
    except BaseException:
        if aside.exists():
            aside.rename(folder)
        raise


@contextlib.contextmanager
def _downloaded(known: KnownSet, say: Say) -> Iterator[Path]:
    """The pictures of a set's archive in a folder that is gone afterwards."""
    by_hand = f"{known.wanted(Path('DIR'))}, then give --from DIR"
    if not known.archive:
        raise PictureError(f"{known.name} cannot be downloaded; {by_hand}")
    say(f"downloading {known.archive}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            with (
                urllib.request.urlopen(known.archive, timeout=TIMEOUT) as response,
                tarfile.open(fileobj=response, mode="r|gz") as archive,
            ):
                for member in archive:
                    inner = member.name.partition("/")[2]  # less the archive's own folder
                    if member.isfile() and Path(inner).suffix.lower() in PICTURE_SUFFIXES:
                        archive.extract(member.replace(name=inner), folder, filter="data")
        except (OSError, EOFError, tarfile.TarError, http.client.HTTPException) as error:
            raise PictureError(
                f"{known.name} cannot be downloaded ({' '.join(str(error).split())}); {by_hand}"
            ) from None
        yield folder


def _prepare_of_tfds(name: str) -> Path:
    """Let TFDS prepare one of its own sets, as div2k, which takes TensorFlow. It gets no digests.json."""
    if importlib.util.find_spec("tensorflow") is None:
        raise PictureError(
            f"{name}: sets of TFDS itself are built by TensorFlow, which is not installed (pip install tensorflow);"
            " or give --data.root a plain folder of the pictures, which needs no preparing"
        )
    import tensorflow_datasets as tfds  # noqa: PLC0415  heavy, and only this needs it

    try:
        builder = tfds.builder(name, data_dir=str(_data_dir()), file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises many kinds
        raise PictureError(f"{name}: TFDS cannot prepare it ({' '.join(str(error).split())[:300]})") from None
    return Path(builder.data_dir)


def _data_dir() -> Path:
    import tensorflow_datasets as tfds  # noqa: PLC0415  heavy, and only this needs it

    return Path(tfds.core.constants.DATA_DIR).expanduser()
