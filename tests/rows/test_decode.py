"""All kinds of pictures, and all the ways in which one can be unusable."""

import contextlib
import os
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from oddgan.data import Pictures, read_picture
from oddgan.errors import DataError, ParameterError
from oddgan.rows import decode as decoding
from oddgan.rows import open_rows
from oddgan.rows.decode import Unreadable, decode, header, pages
from oddgan.rows.scan import scan

Grey = NDArray[np.uint8]


def both_ways(path: Path) -> NDArray[Any]:
    """The picture, after a check that its header agrees with it."""
    picture = read_picture(path)
    height, width, channels, dtype = Pictures([path]).header(0)
    assert (height, width) == picture.shape[:2]
    assert channels == (3 if picture.ndim == 3 else 1)
    assert dtype == picture.dtype.name
    assert picture.flags.c_contiguous
    assert picture.flags.writeable
    return picture


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, extra: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + extra + chunk(b"IEND", b"")


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp"])
def test_8_bit_grey_and_colour(tmp_path: Path, grey: Grey, colour: Grey, ending: str) -> None:
    for pixels in (grey, colour):
        path = tmp_path / f"{pixels.ndim}.{ending}"
        options: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
        Image.fromarray(pixels).save(path, **options)
        picture = both_ways(path)
        expected = pixels if pixels.ndim == 3 or ending != "webp" else np.repeat(pixels[..., None], 3, axis=2)
        np.testing.assert_array_equal(picture, expected)
        assert picture.dtype == np.uint8


def test_jpeg(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 160, 5, dtype=np.uint8), (16, 1))
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(both_ways(tmp_path / "a.jpg").astype(int) - ramp).max() <= 3
    for mode in ("RGB", "CMYK", "YCbCr"):
        Image.fromarray(ramp).convert("RGB").convert(mode).save(tmp_path / "b.jpg", quality=95)
        assert np.abs(both_ways(tmp_path / "b.jpg").astype(int) - ramp[..., None]).max() <= 4


def test_the_format_is_that_of_the_content_not_of_the_name(tmp_path: Path, grey: Grey) -> None:
    Image.fromarray(grey).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "a.png")
    np.testing.assert_array_equal(both_ways(tmp_path / "a.png"), grey)


def test_one_bit(tmp_path: Path, grey: Grey) -> None:
    for ending in ("png", "tif", "bmp"):
        Image.fromarray(grey > 99).save(tmp_path / f"a.{ending}")
        np.testing.assert_array_equal(both_ways(tmp_path / f"a.{ending}"), (grey > 99) * np.uint8(255))


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_grey_is_not_clipped(tmp_path: Path, ending: str) -> None:
    deep = np.arange(240, dtype=np.uint16).reshape(12, 20) * 270
    Image.fromarray(deep).save(tmp_path / f"a.{ending}")
    picture = both_ways(tmp_path / f"a.{ending}")
    assert picture.dtype == np.uint16
    np.testing.assert_array_equal(picture, deep)


def tiff(pixels: NDArray[Any], sample_format: int) -> bytes:
    """A one-strip grey TIFF in the byte order of `pixels`."""
    big = pixels.dtype.byteorder == ">"
    order, data = ">" if big else "<", pixels.tobytes()
    height, width = pixels.shape
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, pixels.dtype.itemsize * 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(data)),
        (339, 3, sample_format),
    ]
    head = (b"MM\0\x2a" if big else b"II\x2a\0") + struct.pack(f"{order}I", 8 + len(data))
    body = struct.pack(f"{order}H", len(tags))
    for tag, kind, value in tags:
        body += struct.pack(f"{order}HHI", tag, kind, 1)
        body += struct.pack(f"{order}I", value) if kind == 4 else struct.pack(f"{order}HH", value, 0)
    return head + data + body + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("stored", "sample_format", "factor", "expected"),
    [
        (">u2", 1, 200, "uint16"),
        ("<u2", 1, 200, "uint16"),
        ("<i2", 2, 100, "uint16"),
        (">i2", 2, -100, "float32"),
        ("<i4", 2, 200, "uint16"),
        ("<i4", 2, 70_000, "float32"),
        ("<u4", 1, 10_000_000, "float32"),  # beyond what a signed number holds
        ("<f4", 3, 0.25, "float32"),
        (">f4", 3, -1e6, "float32"),
    ],
)
def test_deep_tiffs_keep_their_values(
    tmp_path: Path, stored: str, sample_format: int, factor: float, expected: str
) -> None:
    pixels = (np.arange(240).reshape(12, 20) * factor).astype(stored)
    (tmp_path / "a.tif").write_bytes(tiff(pixels, sample_format))
    picture = both_ways(tmp_path / "a.tif")
    assert picture.dtype.name == expected
    np.testing.assert_array_equal(picture, pixels.astype(expected))


def test_transparency_is_blended_onto_black(tmp_path: Path, grey: Grey, colour: Grey) -> None:
    alpha = np.full_like(grey, 128)
    alpha[0], alpha[1] = 0, 255
    for pixels, mode in ((grey, "LA"), (colour, "RGBA")):
        path = tmp_path / f"{mode}.png"
        Image.fromarray(np.dstack([pixels, alpha])).save(path)
        picture = both_ways(path)
        assert not picture[0].any()
        np.testing.assert_array_equal(picture[1], pixels[1])
        np.testing.assert_allclose(picture[2:], pixels[2:] * (128 / 255), atol=0.51)


def test_a_transparent_colour_is_black(tmp_path: Path, grey: Grey, colour: Grey) -> None:
    key = int(grey[3, 4])
    Image.fromarray(grey).save(tmp_path / "grey.png", transparency=key)
    np.testing.assert_array_equal(both_ways(tmp_path / "grey.png"), np.where(grey == key, 0, grey))
    Image.fromarray(colour).save(tmp_path / "colour.png", transparency=tuple(map(int, colour[3, 4])))
    expected = colour.copy()
    expected[3, 4] = 0
    np.testing.assert_array_equal(both_ways(tmp_path / "colour.png"), expected)
    deep = grey.astype(np.uint16) * 256
    Image.fromarray(deep).save(tmp_path / "deep.png", transparency=key * 256)
    np.testing.assert_array_equal(both_ways(tmp_path / "deep.png"), np.where(deep == key * 256, 0, deep))
    Image.fromarray(grey > 99).save(tmp_path / "bits.png", transparency=1)
    assert not both_ways(tmp_path / "bits.png").any()


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_palettes(tmp_path: Path, ending: str) -> None:
    numbers = np.random.default_rng(0).integers(0, 4, (12, 20), dtype=np.uint8)
    for name, palette in {
        "grey": [[200] * 3, [0] * 3, [60] * 3, [7] * 3],
        "colour": [[200, 0, 0], [0, 0, 0], [60, 61, 60], [1, 2, 3]],
    }.items():
        image = Image.new("P", (20, 12))
        image.putdata(numbers.ravel().tolist())
        image.putpalette(np.ravel(palette).tolist())
        image.save(tmp_path / f"{name}.{ending}")
        expected = np.array(palette, np.uint8)[numbers]
        picture = both_ways(tmp_path / f"{name}.{ending}")
        np.testing.assert_array_equal(picture, expected[..., 0] if name == "grey" else expected)


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    numbers = np.arange(240, dtype=np.uint8).reshape(12, 20) % 2
    image = Image.new("P", (20, 12))
    image.putdata(numbers.ravel().tolist())
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    picture = both_ways(tmp_path / "a.png")
    assert not picture[numbers == 0].any()
    assert {tuple(row) for row in picture[numbers == 1].tolist()} == {(0, 128, 0)}


def test_other_colour_spaces_become_rgb(tmp_path: Path) -> None:
    flat = Image.new("RGB", (20, 12), (200, 100, 50))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(flat, *profiles, outputMode="LAB")
    assert lab is not None
    for image in (flat.convert("CMYK"), flat.convert("YCbCr"), lab):
        image.save(tmp_path / "a.tif")
        assert np.abs(both_ways(tmp_path / "a.tif").astype(int) - (200, 100, 50)).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_exif_orientation(tmp_path: Path, colour: Grey, orientation: int, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(colour).save(path, exif=exif)
    with Image.open(path) as image:
        image.load()
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    assert expected.shape == ((20, 12, 3) if orientation >= 5 else (12, 20, 3))
    np.testing.assert_array_equal(both_ways(path), expected)


def test_orientation_of_16_bit_pictures(tmp_path: Path) -> None:
    deep = np.arange(240, dtype=np.uint16).reshape(12, 20) * 270
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(deep).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(both_ways(tmp_path / "a.png"), np.rot90(deep, -1))


def test_orientation_stored_after_the_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    rows = b"".join(b"\0" + bytes(range(20)) for _ in range(12))
    (tmp_path / "a.png").write_bytes(png(20, 12, 8, 0, rows, extra=chunk(b"eXIf", block)))
    assert both_ways(tmp_path / "a.png").shape == (20, 12)


def test_damaged_exif_does_not_hide_the_pixels(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + bytes(range(20)) for _ in range(12))
    (tmp_path / "a.png").write_bytes(png(20, 12, 8, 0, rows, extra=chunk(b"eXIf", b"II*\0nonsense")))
    assert both_ways(tmp_path / "a.png").shape == (12, 20)


@pytest.mark.parametrize(("colour_type", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_png_is_refused(tmp_path: Path, colour_type: int, samples: int) -> None:
    rows = (b"\0" + bytes(20 * 2 * samples)) * 12
    (tmp_path / "a.png").write_bytes(png(20, 12, 16, colour_type, rows))
    refused(tmp_path / "a.png", "16-bit colour", in_header=True)


def test_16_bit_colour_tiff_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros((12, 60), np.uint16)
    data = bytearray(tiff(pixels, 1))
    entries = data[8 + pixels.nbytes :]
    for tag, old, new in ((256, 60, 20), (277, 1, 3), (262, 1, 2), (258, 16, 16)):
        kind = 4 if tag == 256 else 3
        pack = struct.pack("<HHII", tag, kind, 1, old)
        assert pack in entries
        if tag == 258:
            new_entry = struct.pack("<HHII", tag, kind, 3, len(data))
        else:
            new_entry = struct.pack("<HHII", tag, kind, 1, new)
        entries = entries.replace(pack, new_entry)
    (tmp_path / "a.tif").write_bytes(data[: 8 + pixels.nbytes] + entries + struct.pack("<HHH", 16, 16, 16))
    refused(tmp_path / "a.tif", "16-bit colour", in_header=True)


def refused(path: Path, *words: str, in_header: bool = False) -> None:
    """One line that names the file, contains these words and says what to do."""
    readers: list[Any] = [read_picture]
    if in_header:
        readers.append(lambda path: Pictures([path]).header(0))
    for reader in readers:
        with pytest.raises(DataError) as caught:
            reader(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        assert "; " in message
        for word in words:
            assert word in message


def test_several_pictures_in_a_file_are_refused(tmp_path: Path, grey: Grey) -> None:
    image = Image.fromarray(grey)
    other = Image.fromarray(255 - grey)
    for ending in ("tif", "png", "webp"):
        image.save(tmp_path / f"a.{ending}", save_all=True, append_images=[other])
        fix = "a.tif#0" if ending == "tif" else "save each"
        refused(tmp_path / f"a.{ending}", "several pictures", fix, in_header=True)


def test_the_picture_in_a_phone_jpeg_with_a_preview(tmp_path: Path, colour: Grey) -> None:
    image = Image.fromarray(colour)
    image.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (20, 12))])
    assert both_ways(tmp_path / "a.jpg").any()


def test_files_that_are_not_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not a picture\n")
    refused(tmp_path / "a.png", "not a picture", "--skip-bad", in_header=True)
    Image.new("L", (20, 12)).save(tmp_path / "gif.png", format="GIF")
    refused(tmp_path / "gif.png", "PNG, JPEG, BMP, TIFF or WebP", in_header=True)
    (tmp_path / "empty.jpg").touch()
    refused(tmp_path / "empty.jpg", "empty", in_header=True)
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "folder", in_header=True)
    refused(tmp_path / "missing.png", "no such file", in_header=True)
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "not a regular file", in_header=True)
    refused(tmp_path / "a\0b.png", "cannot be opened", in_header=True)


def test_no_permission(tmp_path: Path, grey: Grey, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(grey).save(tmp_path / "a.png")

    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(decoding, "open", denied, raising=False)
    refused(tmp_path / "a.png", "permission denied", "read permission", in_header=True)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "webp"])
def test_truncated_files(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"whole.{ending}")
    data = (tmp_path / f"whole.{ending}").read_bytes()
    path = tmp_path / f"a.{ending}"
    for share in (0.002, 0.02, 0.3, 0.6, 0.95):
        path.write_bytes(data[: int(len(data) * share)])
        refused(path, "--skip-bad")
    path.write_bytes(data[: len(data) // 2])
    assert Pictures([path]).unreadable()[0][0] == str(path)


def test_errors_of_truncated_files_say_so(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for ending in ("png", "jpg", "bmp"):
        Image.fromarray(noise).save(tmp_path / f"a.{ending}")
        data = (tmp_path / f"a.{ending}").read_bytes()
        (tmp_path / f"a.{ending}").write_bytes(data[: len(data) // 2])
        refused(tmp_path / f"a.{ending}", "truncated")


def test_damage_never_escapes_as_another_error(tmp_path: Path, colour: Grey) -> None:
    rng = np.random.default_rng(0)
    for ending in ("png", "jpg", "bmp", "webp"):
        Image.fromarray(colour).save(tmp_path / f"a.{ending}")
        data = (tmp_path / f"a.{ending}").read_bytes()
        for _ in range(60):
            damaged = bytearray(data)
            for place in rng.integers(0, len(data), 4):
                damaged[place] = rng.integers(256)
            (tmp_path / "b").write_bytes(damaged)
            with contextlib.suppress(DataError):  # many a change does no harm
                read_picture(tmp_path / "b")


def test_nan_and_infinite_pixels(tmp_path: Path) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        pixels = np.zeros((12, 20), np.float32)
        pixels[3, 4] = bad
        Image.fromarray(pixels).save(tmp_path / "a.tif")
        refused(tmp_path / "a.tif", "1 of its values", "NaN or infinite")


def test_too_small(tmp_path: Path) -> None:
    Image.new("L", (20, 7)).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "20 wide and 7 high", "8 x 8", in_header=True)
    Image.new("L", (8, 8)).save(tmp_path / "b.png")
    assert both_ways(tmp_path / "b.png").shape == (8, 8)


def bomb(tmp_path: Path, width: int, height: int) -> Path:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height, 1, 0, b"\0" * 1000))
    return path


@pytest.mark.parametrize("side", [10_000, 50_000])
def test_decompression_bomb(tmp_path: Path, side: int) -> None:
    path = bomb(tmp_path, side, side)
    refused(path, f"{side * side:,} pixels", f"ODDGAN_MAX_PIXELS={side * side}", in_header=True)


def test_the_limit_can_be_set(tmp_path: Path, grey: Grey, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(grey).save(tmp_path / "a.png")
    monkeypatch.setenv("ODDGAN_MAX_PIXELS", "239")
    refused(tmp_path / "a.png", "the limit of 239", "ODDGAN_MAX_PIXELS=240", in_header=True)
    monkeypatch.setenv("ODDGAN_MAX_PIXELS", "240")
    read_picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(grey).save(tmp_path / "a.tif")
    read_picture(tmp_path / "a.tif")  # Pillow's own limit follows
    assert Image.MAX_IMAGE_PIXELS == 240
    for wrong in ("many", "-1", "0", "1e9"):
        monkeypatch.setenv("ODDGAN_MAX_PIXELS", wrong)
        with pytest.raises(ParameterError, match="ODDGAN_MAX_PIXELS"):
            read_picture(tmp_path / "a.png")


def test_threads_read_the_same(tmp_path: Path, colour: Grey) -> None:
    Image.fromarray(colour).save(tmp_path / "a.png")
    path = bomb(tmp_path, 20_000, 20_000)
    start = threading.Barrier(4)

    def work(_: int) -> None:
        start.wait()
        for _ in range(25):
            np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), colour)
            with pytest.raises(DataError, match="limit"):
                read_picture(path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def without_chunk(content: bytes, kind: bytes, keep: int = 0) -> bytes:
    """A PNG without a chunk, or with `keep` bytes of what it holds."""
    start = content.index(kind) - 4
    length = int.from_bytes(content[start : start + 4], "big")
    held = kind + content[start + 8 : start + 8 + keep]
    chunk = keep.to_bytes(4, "big") + held + zlib.crc32(held).to_bytes(4, "big") if keep else b""
    return content[:start] + chunk + content[start + 12 + length :]


@pytest.mark.parametrize("keep", [0, 1, 2, 4])
def test_a_palette_that_is_missing_or_cut_is_damage(tmp_path, keep):
    path = tmp_path / "p.png"
    Image.fromarray(np.arange(144, dtype=np.uint8).reshape(12, 12)).convert("P").save(path)
    path.write_bytes(without_chunk(path.read_bytes(), b"PLTE", keep))
    for ask in (decode, header):
        with pytest.raises(Unreadable):
            ask(str(path))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 255])
def test_a_damaged_palette_in_a_bmp_is_damage_or_is_read(tmp_path, count):
    path = tmp_path / "p.bmp"
    Image.fromarray(np.arange(144, dtype=np.uint8).reshape(12, 12)).convert("P").save(path)
    content = bytearray(path.read_bytes())
    content[46:50] = count.to_bytes(4, "little")
    path.write_bytes(content)
    for ask in (decode, header):
        with contextlib.suppress(Unreadable):
            ask(str(path))


def test_a_palette_without_colours_is_damage(tmp_path):
    content = png(12, 12, 8, 3, bytes(13 * 12))
    end_of_head = content.index(b"IDAT") - 4
    path = tmp_path / "p.png"
    path.write_bytes(content[:end_of_head] + chunk(b"PLTE", b"") + content[end_of_head:])
    refused(path, "palette", in_header=True)


@pytest.mark.parametrize("value", [0, 9, 99, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, colour, value):
    exif = Image.Exif()
    exif[0x0112] = value
    for ending in ("jpg", "png", "webp", "tif"):
        Image.fromarray(colour).save(tmp_path / f"a.{ending}", exif=exif)
        assert both_ways(tmp_path / f"a.{ending}").shape == colour.shape


def stack(path, count, *, side=12, **how):
    """A TIFF file of `count` pages; its pages."""
    kept = [np.random.default_rng(i).integers(0, 256, (side, side + 4), np.uint8) for i in range(count)]
    images = [Image.fromarray(page) for page in kept]
    images[0].save(path, "TIFF", save_all=True, append_images=images[1:], **how)
    return kept


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_pages_hold_what_was_saved(tmp_path, compression, big):
    path = tmp_path / "a.tif"
    kept = stack(path, 5, compression=compression, big_tiff=big)
    assert pages(str(path)) == 5
    for i, page in enumerate(kept):
        np.testing.assert_array_equal(both_ways(f"{path}#{i}"), page)
    refused(f"{path}#5", "no page 5", in_header=True)


def test_a_page_is_read_without_those_before_it(tmp_path):
    """Pillow compares each page with all before it, so that a long stack took hours."""
    path = tmp_path / "a.tif"
    kept = stack(path, 40)
    content = bytearray(path.read_bytes())
    at = struct.unpack_from("<I", content, 4)[0]
    for _ in range(20):  # the directories of pages 0 to 19 keep their length and lose what they say
        count = struct.unpack_from("<H", content, at)[0]
        following = struct.unpack_from("<I", content, at + 2 + 12 * count)[0]
        content[at + 2 : at + 2 + 12 * count] = bytes([255]) * (12 * count)
        at = following
    path.write_bytes(content)
    assert pages(str(path)) == 40
    np.testing.assert_array_equal(both_ways(f"{path}#30"), kept[30])
    refused(f"{path}#3", in_header=True)


def test_pages_of_a_cut_file_are_listed_and_refused_by_name(tmp_path):
    path = tmp_path / "a.tif"
    stack(path, 6)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    names = scan(tmp_path).pictures
    assert 2 <= len(names) < 6
    assert names[0] == "a.tif#0"
    refused(f"{path}#{len(names) - 1}")
    both_ways(f"{path}#0")


def test_pages_that_lead_back_to_each_other_end(tmp_path):
    path = tmp_path / "a.tif"
    kept = stack(path, 3)
    content = bytearray(path.read_bytes())
    first = at = struct.unpack_from("<I", content, 4)[0]
    while True:
        link = at + 2 + 12 * struct.unpack_from("<H", content, at)[0]
        if not (at := struct.unpack_from("<I", content, link)[0]):
            break
    struct.pack_into("<I", content, link, first)
    path.write_bytes(content)
    assert pages(str(path)) == 3
    np.testing.assert_array_equal(both_ways(f"{path}#2"), kept[2])


def test_a_file_called_as_a_page_is(tmp_path):
    stack(tmp_path / "a.tif", 3)
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(tmp_path / "a.tif#1", "PNG")
    for source in (tmp_path, tmp_path / "a.tif"):
        with pytest.raises(DataError, match=r"a\.tif#1: is a file, and a page"):
            open_rows(source)


def test_a_tiff_of_pages_called_otherwise_is_told_its_name(tmp_path):
    stack(tmp_path / "a.png", 2)
    refused(tmp_path / "a.png", "several pictures", "call the file .tif", in_header=True)


def channels(folder, sizes):
    """The place of a picture whose channels are files of these sizes."""
    files = []
    for name, size in sizes.items():
        Image.new("L", size).save(folder / name)
        files.append(str(folder / name))
    return Pictures(files).grouped(["_vis", "_ir"])


def test_a_channel_that_cannot_be_read_is_named(tmp_path):
    pictures = channels(tmp_path, {"p_vis.png": (16, 12), "p_ir.png": (16, 12)})
    assert pictures.header(0) == (12, 16, 2, "uint8")
    (tmp_path / "p_ir.png").unlink()
    for ask in (lambda: pictures[0], lambda: pictures.header(0)):
        with pytest.raises(DataError, match=r"p\.png: of its channels, p_ir\.png: there is no such file; check"):
            ask()


def test_channels_of_two_sizes_show_in_the_header(tmp_path):
    pictures = channels(tmp_path, {"p_vis.png": (16, 12), "p_ir.png": (12, 12)})
    for ask in (lambda: pictures[0], lambda: pictures.header(0)):
        with pytest.raises(DataError, match=r"channels differ: 16 x 12 of uint8 in .*12 x 12 of uint8 in"):
            ask()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.csv", "a.parquet", "a.tif", "a.png", "t10k-images-idx3-ubyte"])
def test_a_pipe_is_refused_at_once(tmp_path, name):
    """Opening it would wait until somebody writes into it."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="regular file"):
        open_rows(tmp_path / name)[0]


@pytest.mark.timeout(20)
def test_a_pipe_in_a_folder_is_refused_at_once(tmp_path, grey):
    Image.fromarray(grey).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.tif")
    pictures = open_rows(tmp_path)
    assert len(pictures) == 2
    with pytest.raises(DataError, match=r"b\.tif: it is not a regular file"):
        pictures[1]
