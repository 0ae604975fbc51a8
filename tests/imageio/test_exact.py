"""Exact pictures: what goes in comes back, and what could not is refused."""

import io
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from arpc_codec.container import Text
from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.imageio import EXACT_FORMATS, ExactPicture, read_exact, write_exact

RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = np.ascontiguousarray(RGB[..., :1])
DEEP = RNG.integers(0, 65536, (6, 9, 4), dtype=np.uint16)
needs_imagecodecs = pytest.mark.skipif(
    find_spec("imagecodecs") is None, reason="imagecodecs is not installed (extra: deep)"
)


def file(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def pictures(**metadata: st.SearchStrategy[bytes | None]) -> st.SearchStrategy[ExactPicture]:
    """Small pictures of every layout and depth."""
    shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
    samples = st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: arrays(dtype, shapes))
    return st.builds(ExactPicture, samples, **metadata)


block = st.none() | st.binary(min_size=1, max_size=40)


@needs_imagecodecs
@given(pictures(icc=block, exif=block, xmp=block))
def test_png_round_trip(picture: ExactPicture) -> None:
    again = read_exact(write_exact(picture))
    assert again == picture
    assert again.samples.flags.c_contiguous
    assert not again.notes


@needs_imagecodecs
@given(pictures(icc=block, xmp=block))
def test_tiff_round_trip(picture: ExactPicture) -> None:
    again = read_exact(write_exact(picture, "tiff"))
    assert again == picture
    assert not again.notes


@given(pictures())
def test_pam_round_trip(picture: ExactPicture) -> None:
    assert read_exact(write_exact(picture, "pam")) == picture


@pytest.mark.parametrize("format", ["png", "tiff", "ppm", "pam"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (301, 203)])
def test_grey_needs_no_imagecodecs(
    format: str, dtype: type, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    samples = RNG.integers(0, np.iinfo(dtype).max + 1, (*shape, 1), dtype=dtype)
    assert read_exact(write_exact(ExactPicture(samples), format)) == ExactPicture(samples)


@needs_imagecodecs
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_several_bands_and_strips(format: str) -> None:
    rows = np.arange(900, dtype=np.uint16)[:, None, None]
    samples = np.ascontiguousarray(rows * 64 + np.arange(700, dtype=np.uint16)[:, None] + DEEP[0, 0])
    assert samples.nbytes > 4 << 20
    assert read_exact(write_exact(ExactPicture(samples), format)) == ExactPicture(samples)


@pytest.mark.parametrize("source", ["png", "tiff"])
def test_without_imagecodecs_16_bit_colour_is_one_clear_line(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_exact(ExactPicture(DEEP), source)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ArpcError, match=r"pip install 'arpc-codec\[deep\]'"):
        read_exact(data)


@pytest.mark.parametrize(
    ("format", "mode"),
    [(format, mode) for format in ("BMP", "JPEG", "PCX") for mode in ("1", "L", "P", "RGB") if format + mode != "JPEGP"]
    + [
        (format, mode)
        for format in ("WEBP", "GIF", "TGA", "PNG", "TIFF")
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA")
    ]
    + [("PPM", mode) for mode in ("1", "L", "RGB")],
)
def test_eight_bits_are_what_pillow_shows(format: str, mode: str) -> None:
    image = Image.fromarray(np.dstack([RGB, GREY])).convert(mode)
    data = file(image, format)
    # What a format lacks Pillow converts when it writes.
    shown = Image.open(io.BytesIO(data))
    colours = "RGBA" if shown.has_transparency_data else "RGB"
    expected = np.asarray(shown.convert({"1": "L", "P": colours}.get(shown.mode, shown.mode)))
    picture = read_exact(data)
    assert picture.bits == 8
    assert np.array_equal(picture.samples.reshape(expected.shape), expected)
    if format in ("PNG", "TIFF", "BMP", "TGA") and mode in ("L", "RGB", "RGBA"):
        assert not set(" ".join(picture.notes).split()) & {"coded", "decoded"}


def test_colours_under_full_transparency_are_kept() -> None:
    samples = np.concatenate([RGB, np.zeros((6, 9, 1), np.uint8)], axis=2)
    for format in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True, "exact": True} if format == "WEBP" else {}
        assert np.array_equal(read_exact(file(Image.fromarray(samples), format, **options)).samples, samples)
    for target in ("png", "tiff", "pam", "webp"):
        assert read_exact(write_exact(ExactPicture(samples), target)) == ExactPicture(samples)


def test_nothing_is_turned_and_metadata_keeps_its_bytes() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()
    for format in ("JPEG", "PNG", "WEBP"):
        picture = read_exact(file(Image.fromarray(RGB), format, exif=data, icc_profile=b"no profile", lossless=True))
        assert picture.samples.shape == RGB.shape
        assert picture.exif == data.removeprefix(b"Exif\0\0")
        assert picture.icc == b"no profile"
    for format in ("JPEG", "WEBP"):
        assert read_exact(file(Image.fromarray(RGB), format, xmp=b"<x/>\xff")).xmp == b"<x/>\xff"


def test_the_profile_of_a_bmp_file() -> None:
    plain = file(Image.fromarray(RGB), "BMP")
    pixels = plain[54:]
    header = b"\x7c\0\0\0" + plain[18:54] + bytes(16) + b"DEBM" + bytes(52)
    header += (124 + len(pixels)).to_bytes(4, "little") + (4).to_bytes(4, "little") + bytes(4)
    data = b"BM" + bytes(8) + (14 + 124).to_bytes(4, "little") + header + pixels
    picture = read_exact(data + b"icc!")
    assert picture.icc == b"icc!"
    assert np.array_equal(picture.samples, RGB)
    with pytest.raises(ArpcError, match="ends early"):
        read_exact(data)


def test_notes_name_what_is_not_kept() -> None:
    jpeg = read_exact(file(Image.fromarray(RGB), "JPEG", comment=b"hello"))
    assert jpeg.notes == ("the pixels are kept as decoded from JPEG",)
    assert jpeg.texts == (Text("Comment", "hello"),)
    two = read_exact(file(Image.fromarray(RGB), "MPO", save_all=True, append_images=[Image.fromarray(RGB)]))
    assert two.left_out[0] == "MPF pictures not kept: 1"
    assert two.left_out[1].endswith(" bytes behind the picture not kept")
    assert len(two.left_out) == 2
    bits = b"BM" + (58).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    bits += np.array([40, 1, 1], "<i4").tobytes() + b"\1\0\x10\0" + bytes(24) + b"\xff\x7f\0\0"
    assert read_exact(bits).notes == ("samples of 5 or 6 bits coded as 8 bits",)


def test_arrays() -> None:
    for array in (RGB, GREY, GREY[..., 0], DEEP, DEEP[..., :2], DEEP[::2, ::-1], DEEP.astype(">u2")):
        picture = read_exact(array)
        assert np.array_equal(picture.samples.reshape(array.shape), array)
        assert picture.samples.dtype in (np.uint8, np.uint16)
        assert picture.bits == 8 * array.itemsize
    bad: list[np.ndarray[Any, Any]] = [
        RGB.astype(np.int16),
        RGB.astype(np.float32),
        RGB > 3,
        RGB.astype(np.uint32),
        RGB[None],
        RGB[0, 0],
        np.zeros((0, 3), np.uint8),
        np.zeros((2, 2, 0), np.uint8),
        np.zeros((2, 2, 5), np.uint8),
    ]
    for array in bad:
        with pytest.raises(UsageError):
            read_exact(array)
    with pytest.raises(ArpcError, match="exceed"):
        read_exact(RGB, max_pixels=53)


def test_pil_pictures() -> None:
    image = Image.fromarray(RGB)
    assert np.array_equal(read_exact(image).samples, RGB)
    image.info["transparency"] = tuple(RGB[0, 0])
    keyed = read_exact(image)
    assert keyed.samples.shape == (6, 9, 4)
    assert keyed.samples[0, 0, 3] == 0
    deep = Image.fromarray(DEEP[..., 0])
    assert np.array_equal(read_exact(deep).samples[..., 0], DEEP[..., 0])
    with pytest.raises(ArpcError, match="give the file itself"):
        read_exact(Image.open(io.BytesIO(write_exact(ExactPicture(DEEP)))))


@pytest.mark.parametrize("mode", ["F", "I", "CMYK", "LAB", "YCbCr", "HSV", "La", "RGBa", "RGBX"])
def test_modes_that_are_refused(mode: str) -> None:
    with pytest.raises(ArpcError, match="cannot be kept exactly"):
        read_exact(Image.new(mode, (2, 2)))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_refused(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    with pytest.raises(ArpcError, match="cannot be kept exactly"):
        read_exact(file(frames[0], format, save_all=True, append_images=frames[1:]))


def test_files_that_are_refused(tmp_path: Path) -> None:
    cases = {
        b"": "empty",
        b"hello": "not a picture",
        b"\xa7A\n\x08": "an arpc file already",
        file(Image.fromarray(RGB), "SGI"): "SGI files cannot be read exactly",
        file(Image.fromarray(RGB).convert("CMYK"), "JPEG"): "CMYK colours",
        b"Pf\n1 1\n-1.0\n" + bytes(4): "float samples",
    }
    for data, message in cases.items():
        with pytest.raises(ArpcError, match=message):
            read_exact(data)
    with pytest.raises(OSError, match="nothing"):
        read_exact(tmp_path / "nothing")


def test_formats() -> None:
    assert EXACT_FORMATS == ("png", "tiff", "ppm", "pgm", "pam", "webp")
    picture = ExactPicture(RGB)
    for name in ("a.png", Path("b.TIF"), "c.tiff", "d.pnm", "e.pam", "f.webp", *{*EXACT_FORMATS} - {"pgm"}):
        assert read_exact(write_exact(picture, name)) == picture
        assert not os.path.exists(name)
    for name in ("jpeg", "a.jpg"):
        with pytest.raises(UsageError, match="JPEG cannot hold pictures exactly"):
            write_exact(picture, name)
    with pytest.raises(UsageError, match="cannot tell the format"):
        write_exact(picture, "a.gif")


@pytest.mark.parametrize(
    ("format", "picture"),
    [
        ("ppm", ExactPicture(DEEP)),
        ("pgm", ExactPicture(RGB)),
        ("ppm", ExactPicture(RGB, xmp=b"x")),
        ("pam", ExactPicture(RGB, icc=b"x")),
        ("tiff", ExactPicture(RGB, exif=b"II*\0")),
        ("webp", ExactPicture(DEEP)),
        ("webp", ExactPicture(GREY)),
        ("webp", ExactPicture(np.full((2, 2, 4), 255, np.uint8))),
    ],
)
def test_a_format_that_cannot_hold_the_picture(format: str, picture: ExactPicture) -> None:
    with pytest.raises(ArpcError, match="hold"):
        write_exact(picture, format)


def test_webp_holds_metadata() -> None:
    picture = ExactPicture(RGB, icc=b"icc", exif=b"II*\0", xmp=b"x")
    assert read_exact(write_exact(picture, "webp")) == picture


def test_the_picture_itself() -> None:
    picture = ExactPicture(RGB, notes=("a",))
    assert picture == ExactPicture(RGB.copy())
    assert picture != ExactPicture(RGB.astype(np.uint16))
    assert picture != ExactPicture(RGB, xmp=b"x")
    assert picture != "picture"
    for bad in (RGB[0], RGB.astype(np.int8), RGB[:, ::2], RGB[:0], RGB.astype(">u2")):
        with pytest.raises(UsageError):
            ExactPicture(bad)
    with pytest.raises(UsageError):
        ExactPicture(RGB, icc=b"")


GOOD = [
    *(file(Image.fromarray(RGB), format) for format in ("PNG", "TIFF", "BMP", "WEBP", "PPM", "JPEG", "TGA")),
    file(Image.fromarray(RGB).quantize(9), "GIF"),
    write_exact(ExactPicture(DEEP, icc=b"icc" * 9, xmp=b"xmp")),
    *(write_exact(ExactPicture(DEEP), format) for format in ("tiff", "pam")),
    b"P3 2 2 300 1 2 3 4 5 6 7 8 9 10 11 300\n",
]


@settings(max_examples=200)
@given(st.sampled_from(GOOD), st.data())
def test_damaged_files_give_a_picture_or_one_line(good: bytes, data: st.DataObject) -> None:
    broken = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 4)) if broken else 0):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    # Anything but ArpcError fails the test.
    with suppress(ArpcError):
        assert read_exact(bytes(broken), max_pixels=1 << 20).samples.ndim == 3


@needs_imagecodecs
@pytest.mark.parametrize("index", range(len(GOOD) - 1))
def test_a_cut_file_never_gives_other_samples(index: int) -> None:
    good = GOOD[index]
    whole = read_exact(good)
    for length in range(0, len(good), 7):
        with suppress(ArpcError):
            assert read_exact(good[:length]) == whole


def test_too_many_pixels() -> None:
    wide = Image.new("L", (3000, 1))
    for format in ("PNG", "TIFF", "PPM", "BMP"):
        with pytest.raises(ArpcError, match="3000 x 1 pixels exceed the limit of 2999"):
            read_exact(file(wide, format), max_pixels=2999)
        assert read_exact(file(wide, format), max_pixels=3000).samples.shape == (1, 3000, 1)


def test_shared_files_are_read_as_imagecodecs_reads_them(shared_dir: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed (extra: deep)")
    files = sorted((shared_dir / "data" / "lossless").glob("*.png"))
    if not files:
        pytest.skip("no folder data/lossless in ../shared")
    for path in files:
        expected = imagecodecs.png_decode(path.read_bytes())
        picture = read_exact(path)
        assert picture.samples.dtype == expected.dtype, path.name
        assert np.array_equal(picture.samples.reshape(expected.shape), expected), path.name
