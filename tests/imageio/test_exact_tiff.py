"""TIFF files as tifffile and Pillow write them."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from arpc_codec.container import Text
from arpc_codec.errors import ArpcError
from arpc_codec.imageio import ExactPicture, read_exact, write_exact

tifffile = pytest.importorskip("tifffile", reason="tifffile (with scikit-image, extra: test) is not installed")

RNG = np.random.default_rng(7)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)


def tiff(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    if options.get("bitspersample", 1) not in (1, 8, 16):
        pytest.importorskip("imagecodecs", reason="imagecodecs, with which tifffile packs bits, is not installed")
    out = io.BytesIO()
    tifffile.imwrite(out, array, metadata=None, software=False, **options)
    return out.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "deflate", "predictor": 2},
        {"compression": "lzw"},
        {"tile": (16, 16)},
        {"rowsperstrip": 4},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "deflate"},
        {"bigtiff": True},
    ],
)
def test_layouts(dtype: type, channels: int, byteorder: str, options: dict[str, Any]) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed (extra: deep)")
    samples = RNG.integers(0, np.iinfo(dtype).max + 1, (11, 21, channels), dtype=dtype)
    array = samples[..., 0] if channels == 1 else samples
    if options.get("planarconfig"):
        array = np.moveaxis(samples, -1, 0)
        options = {**options, "planarconfig": "separate" if channels > 1 else None}
    photometric = "rgb" if channels > 2 else "minisblack"
    extra = ["unassalpha"] if channels in (2, 4) else None
    data = tiff(array, photometric=photometric, extrasamples=extra, byteorder=byteorder, **options)
    assert imagecodecs.tiff_decode(data).size == samples.size
    if data.startswith(b"MM\0+"):
        with pytest.raises(ArpcError, match="BigTIFF"):
            read_exact(data)
        return
    picture = read_exact(data)
    assert picture == ExactPicture(samples)
    assert not picture.notes + picture.left_out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tifffile_reads_what_is_written(dtype: type, channels: int) -> None:
    samples = RNG.integers(0, np.iinfo(dtype).max + 1, (7, 10, channels), dtype=dtype)
    data = write_exact(ExactPicture(samples, icc=b"icc", xmp=b"<x/>"), "tiff")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        assert np.array_equal(page.asarray().reshape(samples.shape), samples)
        assert page.tags[700].value == b"<x/>"
        assert page.tags[34675].value == b"icc"
    if dtype == np.uint8 or channels == 1:
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))).reshape(samples.shape), samples)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_few_bits(bits: int, photometric: str) -> None:
    values = GREY >> (8 - bits)
    data = tiff(values.astype(bool) if bits == 1 else values, bitspersample=bits, photometric=photometric)
    if photometric == "miniswhite":
        values = (1 << bits) - 1 - values
    picture = read_exact(data)
    assert np.array_equal(picture.samples[..., 0], values * (255 // ((1 << bits) - 1)))
    assert picture.notes[0] == f"{bits}-bit samples coded as 8-bit grey"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_white_is_zero(dtype: type, byteorder: str) -> None:
    if dtype == np.uint16:
        pytest.importorskip("imagecodecs", reason="imagecodecs is not installed (extra: deep)")
    grey = RNG.integers(0, np.iinfo(dtype).max + 1, (6, 9), dtype=dtype)
    picture = read_exact(tiff(grey, photometric="miniswhite", byteorder=byteorder))
    assert np.array_equal(picture.samples[..., 0], np.iinfo(dtype).max - grey)
    assert picture.notes == ("white was stored as 0: samples inverted",)


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_palettes_of_8_bits(factor: int) -> None:
    palette = RNG.integers(0, 256, (256, 3), dtype=np.uint16)
    picture = read_exact(tiff(GREY, photometric="palette", colormap=palette.T * np.uint16(factor)))
    assert picture.bits == 8
    assert np.array_equal(picture.samples, palette[GREY])
    assert picture.notes == ("palette coded as colours",)


def test_palettes_of_16_bits() -> None:
    palette = RNG.integers(0, 65536, (256, 3), dtype=np.uint16)
    picture = read_exact(tiff(GREY, photometric="palette", colormap=palette.T))
    assert picture.bits == 16
    assert np.array_equal(picture.samples, palette[GREY])


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_orientation_becomes_exif_and_goes_back(orientation: int, byteorder: str) -> None:
    data = tiff(GREY, byteorder=byteorder, extratags=[(274, 3, 1, orientation, False)])
    picture = read_exact(data)
    assert np.array_equal(picture.samples[..., 0], GREY)
    for target in ("png", "tiff"):
        again = write_exact(picture, target)
        assert read_exact(again) == picture
        assert Image.open(io.BytesIO(again)).getexif()[0x0112] == orientation


def test_metadata_and_notes() -> None:
    tags = [(700, 1, 3, b"abc", False), (33550, 12, 3, (1.0, 1.0, 0.0), False), (65000, 3, 1, 7, False)]
    picture = read_exact(tiff(GREY, iccprofile=b"profile", description="text", extratags=tags))
    texts = (Text("Description", "text"),)
    assert picture == ExactPicture(GREY[..., None], icc=b"profile", xmp=b"abc", texts=texts)
    assert picture.left_out == ("TIFF tags not kept: ModelPixelScaleTag, 65000",)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("byteorder", "<>")
def test_iptc_as_numbers_of_either_order(order: str, byteorder: str) -> None:
    iptc = b"\x1c\x02\x78\0\3cup"
    tags = [(33723, 4, 2, struct.unpack(f"{order}2I", iptc), False)]
    picture = read_exact(tiff(GREY, byteorder=byteorder, extratags=tags))
    assert (picture.iptc, picture.left_out) == (iptc, ())


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (GREY.astype(np.float32), {}, "signed and float samples"),
        (GREY.astype(np.int8), {}, "signed and float samples"),
        (GREY.astype(np.int16), {}, "signed and float samples"),
        (GREY.astype(np.uint32), {}, "samples of 32 bits"),
        (GREY.astype(np.uint16), {"bitspersample": 12}, "samples of 12 bits"),
        (np.dstack([GREY] * 4), {"photometric": "separated"}, "CMYK colours"),
        (np.dstack([GREY] * 3), {"photometric": "cielab"}, "Lab colours"),
        (np.dstack([GREY] * 3), {"photometric": "ycbcr"}, "YCbCr colours"),
        (np.dstack([GREY] * 4), {"photometric": "rgb", "extrasamples": ["assocalpha"]}, "4 channels"),
        (np.dstack([GREY] * 4), {"photometric": "rgb", "extrasamples": ["unspecified"]}, "4 channels"),
        (np.dstack([GREY] * 5), {"photometric": "rgb", "extrasamples": ["unassalpha", "unspecified"]}, "5 channels"),
        (np.stack([GREY] * 2), {"photometric": "minisblack"}, "several pictures"),
    ],
)
def test_what_is_refused(array: np.ndarray[Any, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArpcError, match=f"{message}.* cannot be kept exactly"):
        read_exact(tiff(array, **options))


def test_other_refusals() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(GREY, photometric="minisblack", subifds=1)
        writer.write(GREY, photometric="minisblack")
    with pytest.raises(ArpcError, match="several pictures"):
        read_exact(out.getvalue())
    turned = tiff(GREY, bigtiff=True, extratags=[(274, 3, 1, 6, False)])
    exif = Image.Exif()
    exif.load(read_exact(turned).exif)
    assert exif[274] == 6
    assert np.array_equal(read_exact(turned).samples[..., 0], GREY)
    whole = tiff(GREY, photometric="minisblack")
    # The tag of the height, and then what follows the header, are made unusable.
    entry = whole.index(b"\x01\x01\x04\0")
    with pytest.raises(ArpcError, match="ImageLength"):
        read_exact(whole[:entry] + b"\x01\x02" + whole[entry + 2 :])
    with pytest.raises(ArpcError):
        read_exact(b"II*\0\xff\xff\xff\xff")
