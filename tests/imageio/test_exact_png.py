"""PNG files of every colour type and depth, against imagecodecs where it is installed and against the specification."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from arpc_codec.errors import ArpcError
from arpc_codec.imageio import ExactPicture, read_exact, write_exact

RNG = np.random.default_rng(6)
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Of each interlacing pass: first row, first column, step of rows, step of columns.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def packed(samples: np.ndarray[Any, Any], depth: int) -> bytes:
    """Rows of values [H, W, C] of `depth` bits, each behind filter type 0."""
    if depth == 16:
        rows = samples.astype(">u2").view(np.uint8).reshape(len(samples), -1)
    else:
        bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., -depth:]
        rows = np.packbits(bits.reshape(len(samples), -1), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in rows)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    values: np.ndarray[Any, Any],
    depth: int,
    colour_type: int,
    *chunks: tuple[bytes, bytes],
    interlaced: bool = False,
    behind: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    """PNG of values [H, W, C] as the file stores them."""
    height, width = values.shape[:2]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [values[top::down, left::right] for top, left, down, right in passes]
    data = b"".join(packed(part, depth) for part in parts if part.size)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    every = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data)), *behind, (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(*part) for part in every)


def values_of(depth: int, colour_type: int, shape: tuple[int, int] = (11, 13)) -> np.ndarray[Any, Any]:
    return RNG.integers(0, 1 << depth, (*shape, CHANNELS[colour_type]), dtype=np.uint16)


KINDS = [(depth, 0) for depth in (1, 2, 4, 8, 16)] + [(depth, kind) for depth in (8, 16) for kind in (2, 4, 6)]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("depth", "colour_type"), KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (11, 13)])
def test_every_colour_type(depth: int, colour_type: int, interlaced: bool, shape: tuple[int, int]) -> None:
    if depth == 16 and colour_type:
        pytest.importorskip("imagecodecs", reason="imagecodecs is not installed (extra: deep)")
    values = values_of(depth, colour_type, shape)
    picture = read_exact(png(values, depth, colour_type, interlaced=interlaced))
    assert picture.samples.dtype == (np.uint16 if depth == 16 else np.uint8)
    spread = 255 // ((1 << depth) - 1) if depth < 8 else 1
    assert np.array_equal(picture.samples, values * spread)
    assert picture.notes == ((f"{depth}-bit samples coded as 8-bit grey",) if depth < 8 else ())


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("interlaced", [False, True])
def test_palettes(depth: int, interlaced: bool) -> None:
    indices = values_of(depth, 3)
    palette = RNG.integers(0, 256, (1 << depth, 3), dtype=np.uint8)
    picture = read_exact(png(indices, depth, 3, (b"PLTE", palette.tobytes()), interlaced=interlaced))
    assert np.array_equal(picture.samples, palette[indices[..., 0]])
    assert picture.notes == ("palette coded as colours",)
    some = png(indices, depth, 3, (b"PLTE", palette.tobytes()), (b"tRNS", b"\0\x80"), interlaced=interlaced)
    alpha = np.full(1 << depth, 255, np.uint8)
    alpha[:2] = 0, 128
    # The colours of transparent entries are kept too.
    assert np.array_equal(read_exact(some).samples, np.c_[palette, alpha][indices[..., 0]])


@pytest.mark.parametrize(("depth", "colour_type"), [kind for kind in KINDS if kind[1] in (0, 2)])
def test_transparent_colours(depth: int, colour_type: int) -> None:
    if (depth, colour_type) == (16, 2):
        pytest.importorskip("imagecodecs", reason="imagecodecs is not installed (extra: deep)")
    values = values_of(depth, colour_type)
    key = values[3, 4].copy()
    # One value off in the low bits only: with 16 bits it must not count as the same.
    values[0, 0] = key
    values[0, 0, 0] ^= 1
    data = png(values, depth, colour_type, (b"tRNS", key.astype(">u2").tobytes()))
    samples = read_exact(data).samples
    assert samples.shape[2] == CHANNELS[colour_type] + 1
    expected = np.where((values == key).all(axis=2), 0, np.iinfo(samples.dtype).max)
    assert np.array_equal(samples[..., -1], expected)
    assert "transparent colour coded as alpha" in read_exact(data).notes


def test_16_bit_colour_is_not_reduced() -> None:
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed (extra: deep)")
    values = np.arange(60_000, dtype=np.uint16).reshape(100, 200, 3)
    picture = read_exact(png(values, 16, 2))
    assert picture.bits == 16
    assert np.array_equal(picture.samples, values)
    reduced = np.asarray(Image.open(io.BytesIO(png(values, 16, 2))))
    assert reduced.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_others_read_what_is_written(dtype: type, channels: int) -> None:
    samples = RNG.integers(0, np.iinfo(dtype).max + 1, (7, 10, channels), dtype=dtype)
    data = write_exact(ExactPicture(samples))
    if dtype == np.uint8 or channels == 1:
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))).reshape(samples.shape), samples)
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed (extra: deep)")
    assert np.array_equal(imagecodecs.png_decode(data).reshape(samples.shape), samples)
    assert read_exact(imagecodecs.png_encode(samples)) == ExactPicture(samples)


def test_pillow_finds_the_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    tiff = exif.tobytes().removeprefix(b"Exif\0\0")
    picture = ExactPicture(np.zeros((2, 3, 3), np.uint8), icc=b"profile" * 9, exif=tiff, xmp=b"<x/>")
    image = Image.open(io.BytesIO(write_exact(picture)))
    assert image.info["icc_profile"] == picture.icc
    assert image.getexif()[0x0112] == 6
    assert image.info["XML:com.adobe.xmp"] == "<x/>"


def text(keyword: bytes, body: bytes, compressed: bool = False) -> tuple[bytes, bytes]:
    return b"iTXt", keyword + b"\0" + bytes([compressed, 0]) + b"en\0\0" + body


def test_metadata_beyond_the_limits_of_decoders() -> None:
    long = RNG.bytes(3 << 20)
    picture = ExactPicture(np.zeros((1, 1, 1), np.uint8), icc=long, exif=long, xmp=long)
    assert read_exact(write_exact(picture)) == picture
    values = np.zeros((1, 1, 1), np.uint16)
    data = png(values, 8, 0, text(b"XML:com.adobe.xmp", zlib.compress(bytes(3 << 20) + b"x"), True))
    assert read_exact(data).xmp == bytes(3 << 20) + b"x"


def test_notes_name_the_chunks_that_are_not_kept() -> None:
    values = values_of(8, 2)
    others = [(b"gAMA", bytes(3)), (b"tEXt", b"ab"), text(b"", b"b"), (b"iCCP", b"a\0\0junk"), (b"eXIf", b"")]
    picture = read_exact(png(values, 8, 2, *others) + b"behind")
    assert picture == ExactPicture(values.astype(np.uint8))
    assert picture.left_out == (
        "PNG chunks not kept: eXIf, gAMA, iCCP, iTXt, tEXt",
        "6 bytes behind the picture not kept",
    )
    # Only the first of two counts, and metadata may stand behind the pixels.
    two = png(values, 8, 2, behind=((b"eXIf", b"1"), (b"eXIf", b"2"), text(b"XML:com.adobe.xmp", b"x")))
    assert read_exact(two).exif == b"1"
    assert read_exact(two).xmp == b"x"
    assert read_exact(two).left_out == ("PNG chunks not kept: eXIf",)


def test_an_inflation_bomb_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = (b"iCCP", b"a\0\0" + zlib.compress(bytes(80 << 20)))
    picture = read_exact(png(values_of(8, 0), 8, 0, bomb))
    assert picture.icc is None
    assert picture.left_out == ("PNG chunks not kept: iCCP",)
    # Nor is what would not be kept inflated.
    inflated: list[bytes] = []
    monkeypatch.setattr("arpc_codec.imageio.png.inflate", lambda packed: inflated.append(packed) or b"profile")
    many = read_exact(png(values_of(8, 0), 8, 0, *[(b"iCCP", b"a\0\0" + bytes([n])) for n in range(9)]))
    assert (many.icc, many.left_out) == (b"profile", picture.left_out)
    assert inflated == [b"\0"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SIGNATURE, "ends early"),
        (SIGNATURE + chunk(b"IEND", b""), "no header"),
        (png(values_of(8, 0), 8, 0)[:-12], "ends early"),
        (png(values_of(8, 0), 8, 0).replace(b"IDAT", b"IDAU"), "checksum of chunk 2"),
        (png(values_of(8, 0), 8, 0, (b"CgBI", bytes(4))), "its chunk 'CgBI'"),
        (png(values_of(8, 0), 8, 0, (b"fdAT", bytes(4))), "an animation"),
        (png(values_of(8, 3), 8, 3, (b"PLTE", bytes(9))), "palette is too short"),
        (png(values_of(8, 3), 8, 3, (b"PLTE", bytes(768)), (b"tRNS", bytes(257))), "palette is too short"),
        (png(values_of(8, 2), 8, 2, (b"tRNS", bytes(2))), "transparent colour does not fit"),
        (png(values_of(8, 0), 8, 5), "cannot be read|not a picture"),
        (png(np.zeros((0, 4, 1), np.uint16), 8, 0), "no pixels"),
    ],
)
def test_damage_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ArpcError, match=message) as caught:
        read_exact(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("depth", "colour_type"), [(8, 0), (8, 2), (8, 6), (16, 0), (16, 2), (16, 6), (1, 0)])
def test_missing_rows_are_refused(depth: int, colour_type: int) -> None:
    """The checksums of chunks are right, but the stream of pixels in them ends early."""
    if depth == 16 and colour_type:
        pytest.importorskip("imagecodecs", reason="imagecodecs is not installed (extra: deep)")
    good = png(values_of(depth, colour_type, (9, 8)), depth, colour_type)
    tall = good.replace(good[8:33], chunk(b"IHDR", struct.pack(">II", 8, 12) + good[24:29]))
    with pytest.raises(ArpcError):
        read_exact(tall)


SAMPLES = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.mark.parametrize("body", [b"", b"MM\0*"])
def test_the_prefix_of_exif_is_no_part_of_it(body: bytes) -> None:
    picture = ExactPicture(SAMPLES, exif=b"Exif\0\0" * 2 + body)
    assert picture.exif == (body or None)
    written = write_exact(ExactPicture(SAMPLES, exif=b"here"))
    at = written.index(b"eXIf") - 4
    named = chunk(b"eXIf", b"Exif\0\0" + body)
    again = read_exact(written[:at] + named + written[at + 12 + len(b"here") :])
    assert again == ExactPicture(SAMPLES, exif=body or None)
    assert not again.left_out
