"""The count of a TIFF's values, against files that Pillow wrote and files that are broken; silence about them."""

import io
import os
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import encoded
from PIL import Image, TiffImagePlugin

from hinas_jax.data.pictures import MOST_PARTS
from hinas_jax.data.tiff import most_values, no_remarks

PICTURE = Image.fromarray(np.zeros((40, 3), np.uint8))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_parts_are_counted(rows, big):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[278] = rows
    # of one strip a row Pillow keeps its own mind without compression
    content = encoded(PICTURE, "TIFF", tiffinfo=tags, compression="tiff_lzw", big_tiff=big)
    with Image.open(io.BytesIO(content)) as image:
        expected = len(image.tag_v2[273])
    assert expected == -(-40 // rows)
    file = io.BytesIO(content)
    assert most_values(file, MOST_PARTS) == expected
    assert file.tell() == 0


def test_no_tiff_has_no_parts():
    assert most_values(io.BytesIO(encoded(PICTURE, "PNG")), MOST_PARTS) == 0


def entries(*tags):
    """The start of a TIFF whose tags (number, type, count of values) all have their values at 0."""
    packed = b"".join(struct.pack("<HHII", tag, kind, count, 0) for tag, kind, count in tags)
    return io.BytesIO(b"II*\0" + struct.pack("<IH", 8, len(tags)) + packed + bytes(4))


@pytest.mark.parametrize(
    ("tag", "kind", "counted"),
    [
        (258, 3, True),  # BitsPerSample, of which Pillow makes numbers
        (320, 1, True),  # a ColorMap as bytes, which Pillow takes apart as well
        (34675, 7, False),  # an ICC profile
        (34675, 3, True),  # as numbers it is none
        (270, 2, False),  # a description
        (65000, 1, False),  # anybody's
        (65000, 12, True),
    ],
)
def test_values_of_every_tag_are_counted_but_those_of_data_for_other_programs(tag, kind, counted):
    count = 60_000_000
    assert most_values(entries((256, 4, 1), (tag, kind, count)), MOST_PARTS) == (count if counted else 1)


def test_a_tag_that_comes_after_too_many_others_is_not_overlooked():
    big = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, MOST_PARTS + 1)
    assert most_values(io.BytesIO(big), MOST_PARTS) == MOST_PARTS + 1


@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b""]), st.binary(max_size=200))
def test_broken_files_are_counted_without_an_error(head, rest):
    assert most_values(io.BytesIO(head + rest), MOST_PARTS) >= 0


def test_what_c_code_writes_to_standard_error_is_dropped_and_nothing_else(capfd):
    with no_remarks():
        os.write(2, b"a remark\n")
    os.write(2, b"an error\n")
    with pytest.raises(KeyError), no_remarks():
        raise KeyError
    os.write(2, b"another\n")
    assert capfd.readouterr().err == "an error\nanother\n"
