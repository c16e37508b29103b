"""Strategies for bad files: valid ones of every kind, mutated with and without knowledge of their form, and noise."""

import json
import struct
import zlib

import numpy as np
from hypothesis import strategies as st
from picture_files import encoded, exif, levels, planes
from PIL import Image

EDGE_NUMBERS = (0, 1, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


@st.composite
def mutated(draw, valid: bytes):
    """The bytes with a few edits: overwritten, cut out, put in, doubled, or cut short."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 6))):
        place, length = draw(st.integers(0, len(content))), draw(st.sampled_from((1, 2, 4, 16, 200)))
        kind = draw(st.sampled_from(("byte", "bytes", "number", "cut", "insert", "double", "end")))
        if kind == "byte":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "bytes":
            content[place : place + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == "number":
            form = draw(st.sampled_from(("<H", ">H", "<I", ">I")))
            number = draw(st.sampled_from(EDGE_NUMBERS)) % 2 ** (8 * struct.calcsize(form))
            content[place : place + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == "cut":
            del content[place : place + length]
        elif kind == "insert":
            content[place:place] = draw(st.binary(max_size=length))
        elif kind == "double":
            content[place:place] = content[place : place + length]
        else:
            del content[place:]
    return bytes(content)


def any_of_these_mutated(files):
    return st.sampled_from(files).flatmap(mutated) | st.binary(max_size=300)


# --- pictures


def valid_pictures():
    """Small files of every format and mode that is read, by suffix."""
    grey, colour, opacity = (Image.fromarray(levels(*shape)) for shape in ((), (3,), (4,)))
    deep = Image.fromarray(levels(top=65535, dtype=np.uint16))
    palette, cmyk, bits = colour.convert("P"), Image.merge("CMYK", planes(4)), grey.convert("1")
    kept = {"exif": exif(6), "icc_profile": b"a profile"}
    film = {"save_all": True, "append_images": [grey, grey]}
    return [
        *((".png", encoded(image, "PNG", **kept)) for image in (grey, colour, opacity, deep, palette, bits)),
        (".png", encoded(palette, "PNG", transparency=b"\x00\x80", **film)),
        *((".jpg", encoded(image, "JPEG", **kept)) for image in (grey, colour, cmyk)),
        (".jpg", encoded(colour, "JPEG", progressive=True)),
        *((".tif", encoded(image, "TIFF")) for image in (grey, colour, opacity, deep, palette, cmyk, bits)),
        *((".tif", encoded(colour, "TIFF", compression=name)) for name in ("tiff_lzw", "tiff_deflate", "packbits")),
        (".tif", encoded(bits, "TIFF", compression="group4")),
        *((".webp", encoded(image, "WEBP", lossless=loss, **kept)) for image in (colour, opacity) for loss in (0, 1)),
        (".webp", encoded(colour, "WEBP", **film)),
        *((".gif", encoded(image, "GIF", **options)) for image, options in ((palette, {}), (grey, film))),
        *((".bmp", encoded(image, "BMP")) for image in (grey, colour, bits, palette)),
        *((".ppm", encoded(image, "PPM")) for image in (grey, colour, bits, deep)),
    ]


def with_checksums(png: bytes) -> bytes:
    """A PNG with every chunk's checksum made right, so that what is in it is looked at."""
    mended, place = png[:8], 8
    while place + 12 <= len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        inside = png[place + 4 : place + 8 + length]
        mended += png[place : place + 4] + inside + struct.pack(">I", zlib.crc32(inside))
        place += 12 + length
    return mended + png[place:]


def bad_pictures():
    """(suffix, content) of files that mostly are no pictures any more."""
    plain = st.sampled_from(valid_pictures()).flatmap(lambda file: st.tuples(st.just(file[0]), mutated(file[1])))
    mended = plain.map(lambda file: (file[0], with_checksums(file[1]) if file[0] == ".png" else file[1]))
    noise = st.tuples(st.sampled_from((".png", ".tif", ".gif")), st.binary(max_size=300))
    return plain | mended | noise


# --- JSON

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from((0, -1, 1, 2, 3, 17, 65, 70_000, 10**9, 10**30, 1e308))
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(("h_{l-1}", "x_1", "x_٣", "x_9999", "none", "skip", "denoise", "../../x", "super_resolve")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(document, path=()):
    """The paths of all values inside a JSON document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@st.composite
def documents(draw, text: str):
    """A JSON document with a few of its values replaced, removed, repeated or nested deep."""
    document = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(list(places(document)) or [(0,)]))
        place = document
        for key in way:
            place = place[key]
        kind = draw(st.sampled_from(("value", "value", "remove", "add", "repeat", "nest")))
        if kind == "value":
            place[last] = draw(json_values)
        elif kind == "remove" and len(document) > 1:
            del place[last]
        elif kind == "add" and isinstance(place, dict):
            place[draw(st.text(max_size=8))] = draw(json_values)
        elif kind == "repeat" and isinstance(place, list):
            place += [place[last]] * draw(st.sampled_from((1, 2, 20, 3000)))
        elif kind == "nest":
            for _ in range(draw(st.sampled_from((1, 2, 200)))):
                place[last] = [place[last]]
    return json.dumps(document)


def bad_texts(text: str):
    """Contents of a JSON file that mostly holds no valid document of its kind any more."""
    deep = st.sampled_from(("[", '{"a":', '{"cells":[', "[[],")).map(lambda part: part * 100_000)
    long = st.sampled_from((text.replace("1", "1" * 5000), '"' + "a" * 10**6, "-" * 10**6))
    changed = documents(text).map(str.encode)
    return changed | changed | any_of_these_mutated([text.encode()]) | (deep | long).map(str.encode)


# --- model files


@st.composite
def bad_models(draw, valid: bytes):
    """A model file with its header, its body, or the claim of its header's length spoilt."""
    length = int.from_bytes(valid[:8], "little")
    header, body = valid[8 : 8 + length], valid[8 + length :]
    kind = draw(st.sampled_from(("bytes", "header", "document", "architecture", "length", "body")))
    if kind == "bytes":
        return draw(any_of_these_mutated([valid]))
    if kind == "header":
        header = draw(mutated(header))
    elif kind == "document":
        header = draw(documents(header.decode())).encode()
    elif kind == "architecture":
        document = json.loads(header)
        document["__metadata__"]["architecture"] = draw(documents(document["__metadata__"]["architecture"]))
        header = json.dumps(document).encode()
    elif kind == "body":
        body = draw(mutated(body))
    claimed = draw(st.integers(0, 2**64 - 1)) if kind == "length" else len(header)
    return claimed.to_bytes(8, "little") + header + body
