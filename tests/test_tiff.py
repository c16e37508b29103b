"""The count of a TIFF's parts, against files that Pillow wrote and files that are broken; silence about them."""

import io
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_files import encoded
from PIL import Image, TiffImagePlugin

from hinas_jax.data.tiff import count_parts, no_remarks

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
    assert count_parts(file) == expected
    assert file.tell() == 0


def test_no_tiff_has_no_parts():
    assert count_parts(io.BytesIO(encoded(PICTURE, "PNG"))) == 0


@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b""]), st.binary(max_size=200))
def test_broken_files_are_counted_without_an_error(head, rest):
    assert count_parts(io.BytesIO(head + rest)) >= 0


def test_what_c_code_writes_to_standard_error_is_dropped_and_nothing_else(capfd):
    with no_remarks():
        os.write(2, b"a remark\n")
    os.write(2, b"an error\n")
    with pytest.raises(KeyError), no_remarks():
        raise KeyError
    os.write(2, b"another\n")
    assert capfd.readouterr().err == "an error\nanother\n"
