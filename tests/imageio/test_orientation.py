"""Pixels are turned once, whatever the format, and what is kept of a turned picture says 1 in every spelling."""

import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, features
from PIL.TiffImagePlugin import ImageFileDirectory_v2

import arpc_codec
from arpc_codec.cli.main import main
from arpc_codec.imageio import read, read_exact
from arpc_codec.imageio.orientation import set_upright, stated, upright_xmp

RNG = np.random.default_rng(9)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
UPRIGHT = {
    1: RGB,
    2: RGB[:, ::-1],
    3: RGB[::-1, ::-1],
    4: RGB[::-1],
    5: RGB.swapaxes(0, 1),
    6: np.rot90(RGB, -1),
    7: RGB[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(RGB),
}
SHORT, LONG, BYTE = 3, 4, 1
XMP = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><r:Description {}</r:Description></x:xmpmeta>"


def file(format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, format, **options)
    return out.getvalue()


def exif(orientation: int, kind: int = SHORT, order: str = "<") -> bytes:
    """TIFF bytes of an EXIF block with an orientation of a type, and a text."""
    value = struct.pack(order + {SHORT: "H", LONG: "I", BYTE: "B"}[kind], orientation).ljust(4, b"\0")
    entries = struct.pack(order + "HHI", 274, kind, 1) + value + struct.pack(order + "HHI4s", 305, 2, 4, b"abc")
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + "HIH", 42, 8, 2) + entries + bytes(4)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file with chunks behind its header."""
    whole = file()
    more = (struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks)
    return whole[:33] + b"".join(more) + whole[33:]


def said(tiff: bytes | None) -> int:
    assert tiff is not None
    found = Image.Exif()
    found.load(tiff)
    return found[274]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_tiff_is_turned_once(turn: int, compression: str | None) -> None:
    data = file("TIFF", tiffinfo={274: turn}, compression=compression)
    loaded = Image.open(io.BytesIO(data))
    loaded.load()
    for source in (data, Image.open(io.BytesIO(data)), loaded, loaded.copy()):
        assert np.array_equal(read(source).pixels, UPRIGHT[turn])
    assert np.array_equal(read_exact(data).samples, RGB)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_every_format_is_turned_alike(format: str) -> None:
    options = {"tiffinfo": {274: 6}} if format == "TIFF" else {"exif": b"Exif\0\0" + exif(6)}
    picture = read(file(format, **options, **({"lossless": True} if format == "WEBP" else {})))
    assert np.array_equal(picture.pixels, UPRIGHT[6])


@pytest.mark.parametrize("turn", [3, 6])
def test_tiff_with_the_orientation_in_xmp_alone(turn: int) -> None:
    tags = ImageFileDirectory_v2()
    tags[700] = XMP.format(f'tiff:Orientation="{turn}">').encode()
    tags.tagtype[700] = 1
    data = file("TIFF", tiffinfo=tags)
    picture = read(data)
    assert np.array_equal(picture.pixels, UPRIGHT[turn])
    assert picture.xmp is not None
    assert b'tiff:Orientation="1"' in picture.xmp
    exact = read_exact(data)
    assert np.array_equal(exact.samples, RGB)
    assert exact.xmp == tags[700]


def test_a_turned_tiff_through_the_commands(micro_home, tmp_path, monkeypatch) -> None:
    """The whole way: the command, Python and Pillow give a picture of 96 x 160."""
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    path = tmp_path / "o.tif"
    Image.new("RGB", (160, 96)).save(path, tiffinfo={274: 6})
    result = CliRunner().invoke(main, ["encode", str(path), "-m", "micro", "-k", "2"])
    assert result.exit_code == 0, result.output
    assert arpc_codec.decode((tmp_path / "o.arpc").read_bytes()).size == (96, 160)
    result = CliRunner().invoke(main, ["verify", str(tmp_path / "o.arpc"), "--against", str(path)])
    assert result.exit_code == 0, result.output
    assert arpc_codec.decode(arpc_codec.encode(path, model="micro", scales=1)).size == (96, 160)
    with Image.open(path) as image:
        image.save(tmp_path / "p.arpc", model="micro", scales=1)
    with Image.open(tmp_path / "p.arpc") as image:
        assert image.size == (96, 160)


@pytest.mark.parametrize("kind", [SHORT, LONG, BYTE])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_kept_exif_says_1(kind: int, order: str, prefix: bytes) -> None:
    picture = read(png((b"eXIf", prefix + exif(6, kind, order))))
    assert np.array_equal(picture.pixels, UPRIGHT[6])
    assert said(picture.exif) == 1
    assert b"abc" in (picture.exif or b"")


def test_exif_of_a_jpeg_says_1() -> None:
    picture = read(file("JPEG", exif=b"Exif\0\0" + exif(8, LONG)))
    assert picture.pixels.shape == (9, 6, 3)
    assert said(picture.exif) == 1


def test_exif_with_the_mark_of_the_other_order_says_1() -> None:
    """As some cameras write it; Pillow takes it."""
    swapped = b"MM*\0" + exif(6, order=">")[4:]
    picture = read(png((b"eXIf", swapped)))
    assert np.array_equal(picture.pixels, UPRIGHT[6])
    assert said(picture.exif) == 1


def test_upright_bytes_are_not_copied() -> None:
    for tiff in (exif(1), exif(1, order=">"), file("TIFF"), b"II*\0", b"", b"II*\0\xff\xff\xff\xff"):
        assert set_upright(tiff) is tiff


@pytest.mark.skipif(not features.check("avif"), reason="Pillow is without AVIF here")
def test_avif_is_turned_once() -> None:
    """It says so beside the pixels, and perhaps in the EXIF block too."""
    red = Image.new("RGB", (16, 8))
    red.paste("red", (0, 0, 8, 8))
    out = io.BytesIO()
    red.save(out, "AVIF", exif=b"Exif\0\0" + exif(6))
    picture = read(out.getvalue())
    assert picture.pixels.shape == (16, 8, 3)
    assert picture.pixels[:6, :, 0].min() > 200
    assert picture.pixels[10:].max() < 50
    assert picture.exif is None or said(picture.exif) == 1


SPELLINGS = [
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6">',
    "tiff:Orientation = '6' >",
    "><tiff:Orientation>6</tiff:Orientation>",
    "><tiff:Orientation\n>\n 6 </tiff:Orientation >",
    'xmlns:t="http://ns.adobe.com/tiff/1.0/" t:Orientation="6">',
    'tiff:Orientation="6"><tiff:Orientation>6</tiff:Orientation>',
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("coding", ["utf-8", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("with_exif", [True, False])
def test_kept_xmp_says_1(spelling: str, coding: str, with_exif: bool) -> None:
    text = XMP.format(spelling)
    options = {"exif": b"Exif\0\0" + exif(6)} if with_exif else {}
    picture = read(file("WEBP", lossless=True, xmp=text.encode(coding), **options))
    assert np.array_equal(picture.pixels, UPRIGHT[6])
    assert picture.xmp == text.replace("6", "1").encode(coding)


def test_other_xmp_keeps_its_bytes() -> None:
    for packet in (b"<x/>", b"\xff\xfe\0", b"<x crs:Orientation='6' tiff:OrientationX='6'/>", b"\xff<x/>"):
        assert read(file("WEBP", xmp=packet)).xmp == packet


def test_xmp_whose_orientation_cannot_be_set_is_dropped_with_a_note() -> None:
    packet = XMP.format("><tiff:Orientation><r:value>6</r:value></tiff:Orientation>").encode()
    picture = read(file("WEBP", xmp=packet))
    assert picture.xmp is None
    assert any("XMP with an orientation" in note for note in picture.notes)


@pytest.mark.parametrize(
    "packet",
    [
        lambda size: b"tiff:Orientation " * (size // 2),
        lambda size: b"<tiff:Orientation" * (size // 2) + b" " * size,
        lambda size: b"".join(
            b"xmlns:p%d='http://ns.adobe.com/tiff/1.0/' p%d:Orientation='6' " % (n, n) for n in range(size // 5)
        ),
        lambda size: b"tiff:Orientation='" + b"6" * size + b"'",
    ],
    ids=["names", "elements", "prefixes", "digits"],
)
def test_hostile_packets_take_time_by_their_length(packet: Callable[[int], bytes]) -> None:
    def seconds(size: int) -> float:
        hostile = packet(size)
        start = time.process_time()
        kept = upright_xmp(hostile)
        assert kept is None or b"='6" not in kept
        stated(None, hostile)
        return time.process_time() - start

    # Four times the length takes four times as long; if every part looked at all others, it would be sixteen.
    quarter = seconds(25_000)
    assert seconds(100_000) < 10 * quarter
