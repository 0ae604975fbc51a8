"""What describes a picture comes from every file into an ExactPicture, and goes back to PNG and TIFF as theirs."""

import io
import struct
import zlib
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from arpc_codec.container import METADATA, Chunk, ChunkType, Resolution, Text, Unit, to_chunk, value_of
from arpc_codec.errors import ArpcError, FormatError
from arpc_codec.imageio import ExactPicture, fitted, read_exact, write_exact
from arpc_codec.imageio.texts import inflate

RGB = np.random.default_rng(8).integers(0, 256, (6, 9, 3), dtype=np.uint8)
EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
IPTC = b"\x1c\x02\x78\0\5a cup"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
CHRM = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
PIXELS = (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in RGB)))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    every = [(b"IHDR", struct.pack(">IIBBBBB", 9, 6, 8, 2, 0, 0, 0)), *chunks, PIXELS, (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in every
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and content of every chunk of a PNG file."""
    found, at = [], 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def raw_profile(kind: str, data: bytes) -> tuple[bytes, bytes]:
    """As ImageMagick writes it."""
    lines = "\n".join(data.hex()[at : at + 72] for at in range(0, 2 * len(data), 72))
    text = f"\n{kind}\n{len(data):8}\n{lines}\n"
    return b"zTXt", f"Raw profile type {kind}".encode() + b"\0\0" + zlib.compress(text.encode())


def resource(number: int, data: bytes) -> bytes:
    """One of Photoshop's."""
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)


def jpeg(*segments: tuple[int, bytes], behind: bytes = b"", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "JPEG", **options)
    inserted = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    # Behind the JFIF segment, which has 18 bytes.
    return out.getvalue()[:20] + inserted + out.getvalue()[20:] + behind


def tiff(tags: dict[int, Any] | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in (tags or {}).items():
        if isinstance(value, bytes):
            directory.tagtype[tag] = 2 if tag != 33723 else 7
        directory[tag] = value
    Image.fromarray(RGB).save(out, "TIFF", tiffinfo=directory, **options)
    return out.getvalue()


ALL_PNG = [
    (b"cICP", b"\x0c\x0d\0\1"),
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", CHRM),
    (b"sRGB", b"\1"),
    (b"eXIf", EXIF),
    (b"pHYs", struct.pack(">IIB", 11811, 5906, 1)),
    (b"tEXt", b"Title\0caf\xe9"),
    (b"iTXt", b"Comment\0\0\0ja\0" + "注釈\0喫茶店".encode()),
    (b"tIME", struct.pack(">H5B", 2026, 11, 29, 1, 2, 3)),
]


def test_png_comes_back_chunk_for_chunk() -> None:
    picture = read_exact(png(*ALL_PNG))
    assert not picture.left_out + picture.notes
    assert picture.resolution == Resolution(Fraction(11811), Fraction(5906), Unit.METRE)
    assert picture.texts == (
        Text("Title", "café"),
        Text("Comment", "喫茶店", "ja", "注釈"),
        Text("DateTime", "2026:11:29 01:02:03"),
    )
    assert fitted(picture, "png") == (picture, ())
    again = write_exact(picture)
    assert sorted(chunks_of(again))[:-1] != sorted(chunks_of(png()))[:-1]
    assert sorted(part for part in chunks_of(again) if part[0] != b"IDAT") == sorted(
        part for part in chunks_of(png(*ALL_PNG)) if part[0] != b"IDAT"
    )
    assert read_exact(again) == picture


def test_long_texts_are_compressed_in_either_form() -> None:
    latin, wide = "many words " * 50, "много слов " * 50
    data = png(
        (b"zTXt", b"a\0\0" + zlib.compress(latin.encode())),
        (b"iTXt", b"b\0\1\0\0\0" + zlib.compress(wide.encode())),
    )
    picture = read_exact(data)
    assert picture.texts == (Text("a", latin), Text("b", wide))
    again = write_exact(picture)
    assert read_exact(again) == picture
    assert [name for name, _ in chunks_of(again)][1:3] == [b"zTXt", b"iTXt"]
    shown = Image.open(io.BytesIO(again))
    assert (shown.text["a"], shown.text["b"]) == (latin, wide)


@pytest.mark.parametrize(
    "chunk",
    [
        (b"cICP", bytes(3)),
        (b"cHRM", CHRM[1:]),
        (b"pHYs", bytes(9)),
        (b"pHYs", struct.pack(">IIB", 1, 1, 2)),
        (b"tIME", struct.pack(">H5B", 2026, 13, 1, 0, 0, 0)),
        (b"zTXt", b"a\0\0junk"),
        (b"iTXt", b"a\0\0\0\0\0\xff"),
        (b"iTXt", b"a\0\0\0only one"),
        (b"tEXt", b"k" * 80 + b"\0long keyword"),
        (b"bKGD", bytes(6)),
    ],
)
def test_what_png_does_not_allow_or_has_no_place_is_named(chunk: tuple[bytes, bytes]) -> None:
    picture = read_exact(png(chunk))
    assert not picture.metadata
    assert picture.left_out == (f"PNG chunks not kept: {chunk[0].decode()}",)


def test_all_texts_together_inflate_to_a_limit() -> None:
    bomb = (b"zTXt", b"a\0\0" + zlib.compress(b"x" * (40 << 20)))
    picture = read_exact(png(bomb, bomb))
    assert len(picture.texts) == 1
    assert picture.left_out == ("PNG chunks not kept: zTXt",)


@pytest.mark.parametrize(
    ("chunk", "name", "value"),
    [
        (raw_profile("exif", b"Exif\0\0" + EXIF), "exif", EXIF),
        (raw_profile("APP1", b"Exif\0\0" + EXIF), "exif", EXIF),
        (raw_profile("APP1", b"http://ns.adobe.com/xap/1.0/\0" + XMP), "xmp", XMP),
        (raw_profile("xmp", XMP), "xmp", XMP),
        (raw_profile("iptc", resource(0x0404, IPTC)), "iptc", IPTC),
        (raw_profile("iptc", IPTC), "iptc", IPTC),
        ((b"eXIf", b"Exif\0\0" + EXIF), "exif", EXIF),
    ],
)
def test_metadata_in_texts(chunk: tuple[bytes, bytes], name: str, value: bytes) -> None:
    picture = read_exact(png(chunk))
    assert picture.metadata == {name: value}
    assert not picture.left_out
    assert read_exact(write_exact(picture)) == picture
    if name == "exif":
        assert Image.open(io.BytesIO(write_exact(picture))).getexif()[0x0112] == 6


def test_a_text_that_is_no_profile_or_a_second_one_stays_a_text() -> None:
    other = raw_profile("exif", b"Exif\0\0" + EXIF[:-1] + b"\1")
    for chunks in (((b"eXIf", EXIF), other), (other, (b"eXIf", EXIF))):
        picture = read_exact(png(*chunks))
        assert (picture.exif, [text.keyword for text in picture.texts]) == (EXIF, ["Raw profile type exif"])
        assert read_exact(write_exact(picture)) == picture
    assert read_exact(png((b"eXIf", EXIF), raw_profile("exif", b"Exif\0\0" + EXIF))).texts == ()
    broken = read_exact(png((b"tEXt", b"Raw profile type exif\0\nexif\n 9\nzz\n")))
    assert (broken.exif, len(broken.texts)) == (None, 1)


TAGS = {
    269: b"a name",
    270: b"a description",
    271: b"a camera",
    305: b"a program",
    306: b"2026:11:29 01:02:03",
    315: "Zoë".encode(),
    33432: b"mine\0also mine",
    33723: IPTC,
    42113: b"-9999",
    282: TiffImagePlugin.IFDRational(7200001, 24000),
    283: TiffImagePlugin.IFDRational(300, 1),
    296: 2,
}


def test_tiff_comes_back_tag_for_tag() -> None:
    data = tiff(TAGS)
    picture = read_exact(data)
    assert not picture.left_out + picture.notes
    assert picture.iptc == IPTC
    assert picture.resolution == Resolution(Fraction(7200001, 24000), Fraction(300), Unit.INCH)
    assert {text.keyword: text.text for text in picture.texts} == {
        "Title": "a name",
        "Description": "a description",
        "tiff:Make": "a camera",
        "Software": "a program",
        "DateTime": "2026:11:29 01:02:03",
        "Author": "Zoë",
        "Copyright": "mine\0also mine",
        "tiff:42113": "-9999",
    }
    again = write_exact(picture, "tiff")
    assert read_exact(again) == picture
    before, after = (Image.open(io.BytesIO(file)).tag_v2 for file in (data, again))
    assert {tag: after[tag] for tag in TAGS} == {tag: before[tag] for tag in TAGS}


@pytest.mark.parametrize(("unit", "name"), [(1, Unit.NONE), (2, Unit.INCH), (3, Unit.CENTIMETRE)])
def test_units_of_tiff(unit: int, name: Unit) -> None:
    picture = read_exact(tiff({282: TiffImagePlugin.IFDRational(7, 2), 283: 5, 296: unit}))
    assert picture.resolution == Resolution(Fraction(7, 2), Fraction(5), name)
    assert Image.open(io.BytesIO(write_exact(picture, "tiff"))).tag_v2[296] == unit


def test_from_tiff_to_png_and_from_png_to_tiff() -> None:
    picture = read_exact(tiff(TAGS))
    held, notes = fitted(picture, "png")
    assert notes == (
        "resolution of 300 x 300 per inch written as 11811 per metre",
        "texts that PNG cannot hold left out or changed: Copyright",
    )
    shown = Image.open(io.BytesIO(write_exact(held)))
    assert shown.text["Author"] == "Zoë"
    assert shown.text["Copyright"] == "mine\nalso mine"
    assert (b"tIME", struct.pack(">H5B", 2026, 11, 29, 1, 2, 3)) in chunks_of(write_exact(held))
    with pytest.raises(ArpcError, match="PNG cannot hold this picture exactly: resolution of"):
        write_exact(picture)
    back, more = fitted(read_exact(png(*ALL_PNG[:4], *ALL_PNG[5:])), "tiff")
    assert more == (
        "TIFF holds no cicp, gama, chrm, srgb: left out",
        "resolution of 11811 x 5906 per metre written as 118.11 x 59.06 per centimetre",
        "texts that TIFF cannot hold left out or changed: Comment",
    )
    tags = Image.open(io.BytesIO(write_exact(back, "tiff"))).tag_v2
    assert (tags[306], tags[269].encode("latin-1").decode()) == ("2026:11:29 01:02:03", "café")
    assert read_exact(write_exact(back, "tiff")) == back


def test_a_text_cannot_overwrite_what_tiff_needs() -> None:
    texts = tuple(Text(f"tiff:{tag}", "9") for tag in (256, 273, 34665, 330, 270, 65000, 99999))
    held, _ = fitted(ExactPicture(RGB, texts=texts), "tiff")
    assert held.texts == (Text("tiff:65000", "9"),)
    assert read_exact(write_exact(held, "tiff")) == held


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (jpeg(dpi=(300, 200)), (300, 200, Unit.INCH)),
        (jpeg()[:13] + b"\2\0\x76\0\x76" + jpeg()[18:], (118, 118, Unit.CENTIMETRE)),
        (jpeg()[:13] + b"\0\0\2\0\1" + jpeg()[18:], (2, 1, Unit.NONE)),
        (png((b"pHYs", struct.pack(">IIB", 4, 3, 0))), (4, 3, Unit.NONE)),
    ],
)
def test_resolutions(data: bytes, expected: tuple[int, int, Unit]) -> None:
    x, y, unit = expected
    assert read_exact(data).resolution == Resolution(Fraction(x), Fraction(y), unit)


def test_the_resolution_of_bmp() -> None:
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "BMP", dpi=(300, 150))
    assert read_exact(out.getvalue()).resolution == Resolution(Fraction(11811), Fraction(5906), Unit.METRE)
    assert Image.open(io.BytesIO(write_exact(read_exact(out.getvalue())))).info["dpi"] == pytest.approx(
        (300, 150), 1e-4
    )


def test_files_that_say_nothing_have_nothing() -> None:
    square = png((b"pHYs", struct.pack(">IIB", 1, 1, 0)))
    unitless = tiff({282: 1, 283: 1, 296: 1})
    for data in (jpeg(), square, png(), tiff(), unitless):
        assert (read_exact(data).metadata, read_exact(data).left_out) == ({}, ())
    exif = Image.Exif()
    exif[0x010E] = "words"
    # Pillow says 72 dpi of a JPEG file that has EXIF and no resolution.
    data = jpeg(exif=exif)
    assert Image.open(io.BytesIO(data[:2] + data[20:])).info["dpi"] == (72, 72)
    assert set(read_exact(data[:2] + data[20:]).metadata) == {"exif"}


def test_comments_and_iptc_of_jpeg() -> None:
    data = jpeg(
        (0xFE, "œuvre".encode()),
        (0xFE, b"caf\xe9"),
        (0xED, b"Photoshop 3.0\0" + resource(0x0404, IPTC) + resource(0x0425, bytes(16))),
    )
    picture = read_exact(data)
    assert picture.texts == (Text("Comment", "œuvre"), Text("Comment", "café"))
    assert picture.iptc == IPTC
    assert picture.left_out == ("Photoshop resources not kept: 0x0425",)


@pytest.mark.parametrize(
    ("data", "left_out"),
    [
        (jpeg(behind=b"motion photo"), ("12 bytes behind the picture not kept",)),
        (
            jpeg((0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0")),
            ("JPEG segments not kept: APP2 urn:iso:std:iso:ts:21496:-1", "gain map not kept"),
        ),
        (jpeg(xmp=b"<x hdrgm:Version='1.0'/>"), ("gain map not kept",)),
        (
            jpeg((0xE1, b"http://ns.adobe.com/xmp/extension/\0xx")),
            ("JPEG segments not kept: APP1 http://ns.adobe.com/xmp/extension/",),
        ),
        (jpeg((0xEB, b"\1\2")), ("JPEG segments not kept: APP11",)),
        # Of a picture in another, the end is that of the whole.
        (jpeg((0xE7, b"thumb\0" + b"\xff\xd9" * 3), progressive=True), ("JPEG segments not kept: APP7 thumb",)),
    ],
)
def test_what_a_jpeg_file_has_beside_its_picture_is_named(data: bytes, left_out: tuple[str, ...]) -> None:
    assert read_exact(data).left_out == left_out


def test_the_pictures_of_an_mpf_file_are_counted() -> None:
    out = io.BytesIO()
    image = Image.fromarray(RGB)
    image.save(out, "MPO", save_all=True, append_images=[image, image], xmp=b"<x hdrgm:Version='1.0'/>")
    first, second, third = read_exact(out.getvalue()).left_out
    assert (first, second) == ("MPF pictures not kept: 2", "gain map not kept")
    assert third.endswith("bytes behind the picture not kept")


@pytest.mark.parametrize("format", ["ppm", "pam", "webp"])
def test_formats_without_a_place_say_what_they_leave_out(format: str) -> None:
    picture = replace(read_exact(png(*ALL_PNG)), exif=None, iptc=IPTC)
    held, notes = fitted(picture, format)
    gone = "cicp, gama, chrm, srgb, resolution, texts, iptc"
    assert notes == (f"{format.upper()} holds no {gone}: left out",)
    assert read_exact(write_exact(held, format)) == ExactPicture(RGB)


def test_pictures_that_pillow_has_opened() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a cup")
    info.add_itxt("Comment", "喫茶店", "ja", "注釈")
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "PNG", pnginfo=info, dpi=(300, 300), icc_profile=PROFILE)
    file = read_exact(out.getvalue())
    for image in (Image.open(out), Image.open(out).copy()):
        picture = read_exact(image)
        assert (picture.texts, picture.icc) == (file.texts, PROFILE)
        assert picture.resolution == Resolution(Fraction(1499997, 5000), Fraction(1499997, 5000), Unit.INCH)
        assert fitted(picture, "png")[0].resolution == file.resolution
    opened = Image.open(io.BytesIO(tiff(TAGS)))
    assert read_exact(opened) == read_exact(tiff(TAGS))
    coloured = read_exact(Image.open(io.BytesIO(png(*ALL_PNG[1:4]))))
    assert coloured.metadata == {"gama": ALL_PNG[1][1], "chrm": CHRM, "srgb": b"\1"}
    wrong = Image.fromarray(RGB)
    wrong.info |= {"dpi": (0, 1), "gamma": [], "srgb": 700, "words": "\ud800", "photoshop": 3, "comment": 5}
    assert read_exact(wrong).metadata == {}


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
number = st.fractions(min_value=Fraction(1, 1000), max_value=10**6, max_denominator=1000)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keywords = st.sampled_from(["Title", "DateTime", "tiff:Make", "tiff:65000", "tiff:256", "Comment", "Zoë"]) | words
texts = st.builds(Text, keywords, words | st.just("2026:11:29 01:02:03"), st.sampled_from(["", "ja"]), words)
described = st.builds(
    ExactPicture,
    st.just(RGB),
    cicp=st.none() | st.binary(min_size=4, max_size=4),
    gama=st.none() | st.binary(min_size=4, max_size=4),
    chrm=st.none() | st.binary(min_size=32, max_size=32),
    srgb=st.none() | st.binary(min_size=1, max_size=1),
    resolution=st.none() | st.builds(Resolution.of, number, number, st.sampled_from(Unit)),
    texts=st.lists(texts, max_size=4).map(tuple),
    iptc=st.none() | st.binary(max_size=20).map(lambda data: b"\x1c" + data),
)


@given(described, st.sampled_from(["png", "tiff"]))
def test_what_fits_comes_back(picture: ExactPicture, format: str) -> None:
    held, notes = fitted(picture, format)
    assert read_exact(write_exact(held, format)) == held
    if not notes:
        assert replace(held, texts=()) == replace(picture, texts=())
        assert sorted(held.texts, key=str) == sorted(picture.texts, key=str)


@given(described)
def test_chunks_come_back(picture: ExactPicture) -> None:
    for name, value in picture.metadata.items():
        chunk = to_chunk(name, value)
        assert chunk.name == name
        assert value_of(chunk) == value


@given(st.sampled_from(METADATA[3:-1]), st.binary(max_size=40))
def test_any_bytes_in_a_chunk_are_a_value_or_damage(name: str, data: bytes) -> None:
    with suppress(FormatError):
        value = value_of(Chunk(ChunkType[name.upper()], data))
        assert value is None or value


@pytest.mark.parametrize(
    ("data", "is_value"),
    [
        (b"\1\3\1\4\1", True),
        (b"\2\7\2\5\3", True),
        (b"\0\4\1\3\1", True),
        (b"\1\6\2\4\1", False),
        (b"\1\3\1\x0c\x09", False),
        (b"\3\2\2\1\1", False),
        (b"\0\1\1\1\1", False),
        (b"\1\0\1\4\1", False),
        (b"\1\3\1\4\1\0", False),
    ],
)
def test_a_resolution_has_one_spelling(data: bytes, is_value: bool) -> None:
    chunk = Chunk(ChunkType.RESOLUTION, data)
    if is_value:
        assert to_chunk("resolution", value_of(chunk)) == chunk
    else:
        with pytest.raises(FormatError):
            value_of(chunk)


@pytest.mark.parametrize(("limit", "whole"), [(0, False), (99, False), (100, True), (101, True)])
def test_no_text_grows_beyond_what_is_left(limit: int, whole: bool) -> None:
    """Also where nothing is left: to zlib that would be no limit at all."""
    assert inflate(zlib.compress(bytes(100)), limit) == (bytes(100) if whole else None)
