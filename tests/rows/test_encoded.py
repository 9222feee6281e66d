"""Pictures whose files are in memory: read as files are."""

import io

import numpy as np
import pytest
from PIL import Image

from oddgan.rows.decode import Unreadable, decode, header
from oddgan.rows.picture_files import read_picture


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_bytes_are_read_as_files_are(form, colour, tmp_path):
    place = tmp_path / "picture"
    Image.fromarray(colour).save(place, form)
    data = place.read_bytes()
    assert np.array_equal(decode(data), read_picture(place))
    assert header(data) == (*colour.shape, "uint8")
    with pytest.raises(Unreadable):
        decode(data[: len(data) // 2])


def test_what_is_no_one_picture(grey):
    buffer = io.BytesIO()
    pages = [Image.fromarray(grey), Image.fromarray(grey)]
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(Unreadable, match="several pictures") as several:
        decode(buffer.getvalue())
    assert several.value.fix == "save each of them in its own file"
    with pytest.raises(Unreadable, match="not a picture in PNG"):
        header(b"nothing")
    with pytest.raises(Unreadable):
        decode(b"")
