"""Pixels to files and chunks, and back."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from arpc_codec.container import Chunk, ChunkType
from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.imageio import (
    ExactPicture,
    Picture,
    apply_alpha,
    format_of,
    from_chunks,
    read,
    to_chunks,
    write_exact,
    written,
)

RNG = np.random.default_rng(4)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 255, (6, 9), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("name", ["a.png", "a.PPM", "a.webp"])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_lossless_formats_round_trip(name: str, grey: bool, alpha: np.ndarray | None, tmp_path: Path) -> None:
    pixels = np.repeat(RGB[..., :1], 3, 2) if grey else RGB
    file, notes = written(pixels, alpha, grey, format_of(name))
    (tmp_path / name).write_bytes(file)
    picture = read(tmp_path / name)
    assert np.array_equal(picture.pixels, pixels)
    if name.endswith(("png", "webp")):
        assert not notes
        assert (picture.alpha is None) == (alpha is None)
        if alpha is not None:
            assert np.array_equal(picture.alpha, alpha)
    else:
        assert notes == (("PPM holds no transparency: dropped",) if alpha is not None else ())
    if not name.endswith("webp"):
        assert picture.grey == grey


def test_jpeg_has_no_transparency() -> None:
    file, notes = written(RGB, ALPHA, False, "jpeg")
    assert notes == ("JPEG holds no transparency: dropped",)
    assert Image.open(io.BytesIO(file)).format == "JPEG"


def test_pgm_is_grey(tmp_path: Path) -> None:
    for alpha in (None, ALPHA):
        with pytest.raises(ArpcError, match="PGM holds no colours: use PPM"):
            written(RGB, alpha, False, "pgm")
    grey = np.repeat(RGB[..., :1], 3, 2)
    file, notes = written(grey, ALPHA, True, "pgm")
    assert notes == ("PGM holds no transparency: dropped",)
    assert file == b"P5\n9 6\n255\n" + RGB[..., 0].tobytes()
    assert write_exact(ExactPicture(np.ascontiguousarray(RGB[..., :1])), tmp_path / "b.pgm") == file


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
def test_metadata_travels(format: str) -> None:
    exif, xmp = Image.Exif(), b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    exif[0x010E] = "kept"
    file, _ = written(RGB, None, False, format, icc=SRGB, exif=exif.tobytes().removeprefix(b"Exif\0\0"), xmp=xmp)
    picture = read(file, keep_icc=True)
    assert picture.icc == SRGB
    assert picture.xmp == xmp
    assert Image.open(io.BytesIO(file)).getexif()[0x010E] == "kept"


@pytest.mark.parametrize("format", ["png", "ppm", "webp", "jpeg"])
def test_hostile_metadata_is_no_error(format: str) -> None:
    junk = b"\xff\0junk" * 20_000
    for value in (junk, b"x"):
        written(RGB, None, False, format, icc=value, exif=value, xmp=value)


def test_formats_and_limits() -> None:
    assert [format_of(name) for name in ("x/a.jpg", "b.PGM", "b.pnm")] == ["jpeg", "pgm", "ppm"]
    for name in ("a", "a.arpc", "a.bmp"):
        with pytest.raises(UsageError):
            format_of(name)
    with pytest.raises(UsageError):
        written(RGB, None, False, "bmp")
    with pytest.raises(ArpcError, match="WEBP"):
        written(np.zeros((1, 20_000, 3), np.uint8), None, False, "webp")


def test_chunks_hold_what_is_kept_and_notes_tell_the_rest() -> None:
    picture = Picture(RGB, ALPHA, icc=b"i", exif=b"ee", xmp=b"xxx")
    chunks, notes = to_chunks(picture)
    assert [chunk.type for chunk in chunks] == [ChunkType.ALPHA]
    assert len(notes) == 3
    chunks, notes = to_chunks(picture, ("icc", "exif", "xmp"))
    assert len(chunks) == 4
    extras = from_chunks(chunks, 6, 9)
    assert (extras.icc, extras.exif, extras.xmp, extras.notes) == (b"i", b"ee", b"xxx", ())
    assert extras.alpha is not None
    assert np.array_equal(extras.alpha, ALPHA)
    assert to_chunks(Picture(RGB), ("exif",)) == ((), ("no usable EXIF to keep",))
    with pytest.raises(UsageError):
        to_chunks(picture, ("exif", "iptc"))


def test_a_damaged_alpha_chunk_is_a_note() -> None:
    extras = from_chunks([Chunk(ChunkType.ALPHA, b"junk")], 6, 9)
    assert extras.alpha is None
    assert "damaged" in extras.notes[0]


def test_alpha_policies() -> None:
    picture = Picture(RGB, ALPHA)
    assert apply_alpha(picture, "keep") is picture
    dropped = apply_alpha(picture, "drop")
    assert dropped.alpha is None
    assert np.array_equal(dropped.pixels, RGB)
    assert dropped.notes == ("transparency dropped",)
    flat = apply_alpha(picture, "#ff8000")
    weight = ALPHA[..., None] / 255
    assert np.abs(flat.pixels - (RGB * weight + np.array([255, 128, 0]) * (1 - weight))).max() <= 0.51
    assert apply_alpha(Picture(RGB), "#ff8000").notes == ()
    grey = Picture(np.repeat(RGB[..., :1], 3, 2), ALPHA, grey=True)
    assert apply_alpha(grey, "#808080").grey
    assert not apply_alpha(grey, "#808081").grey
    for policy in ("", "#12345", "white", "#gggggg"):
        with pytest.raises(UsageError):
            apply_alpha(picture, policy)
