"""TIFF of every kind through the lossy reader: right, or refused in one line that says what it is."""

import io
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import arpc_codec
from arpc_codec.cli.main import main
from arpc_codec.errors import ArpcError
from arpc_codec.imageio import read, read_exact

tifffile = pytest.importorskip("tifffile", reason="tifffile (with scikit-image, extra: test) is not installed")
pytest.importorskip("imagecodecs", reason="imagecodecs is not installed (extra: deep)")

RNG = np.random.default_rng(8)
RGB = RNG.integers(0, 65536, (6, 9, 3), dtype=np.uint16)
GREY = RGB[..., 0].copy()
BYTES = (RGB >> 8).astype(np.uint8)


def tiff(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, array, metadata=None, software=False, **options)
    return out.getvalue()


def planes(samples: np.ndarray[Any, Any], **options: Any) -> bytes:
    return tiff(np.moveaxis(samples, -1, 0).copy(), planarconfig="separate", **options)


def rounded(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.rint(samples / 257).astype(np.uint8)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("turn", [1, 6])
def test_deep_planes_and_white_is_zero(byteorder: str, compression: str | None, turn: int) -> None:
    options = {"byteorder": byteorder, "compression": compression, "extratags": [(274, 3, 1, turn, True)]}
    upright = RGB if turn == 1 else np.rot90(RGB, -1)
    colour = read(planes(RGB, photometric="rgb", **options))
    assert np.array_equal(colour.pixels, rounded(upright))
    assert colour.notes == ("16-bit samples reduced to 8 bits",)
    grey = read(tiff(65535 - GREY, photometric="miniswhite", **options))
    assert np.array_equal(grey.pixels[..., 0], rounded(upright[..., 0]))
    assert grey.grey
    alpha = np.stack([GREY, RGB[..., 1]], -1)
    both = read(planes(alpha, photometric="minisblack", extrasamples=["unassalpha"], **options))
    assert both.alpha is not None
    assert np.array_equal(both.alpha, rounded(upright[..., 1]))


def test_the_exact_reader_sees_the_same() -> None:
    for data in (planes(RGB, photometric="rgb"), tiff(65535 - GREY, photometric="miniswhite")):
        exact = read_exact(data).samples
        assert np.array_equal(read(data).pixels, np.broadcast_to(rounded(exact), RGB.shape))


@pytest.mark.parametrize(
    ("array", "options", "kind"),
    [
        (BYTES[..., 0].view(np.int8), {"photometric": "minisblack"}, "signed 8-bit grey"),
        (BYTES.view(np.int8), {"photometric": "rgb"}, "signed 8-bit RGB"),
        (RGB.astype(np.float32), {"photometric": "rgb"}, "float RGB"),
        (GREY.astype(np.float32), {"photometric": "miniswhite"}, "float white-is-zero grey"),
        (GREY.astype(np.float16), {"photometric": "minisblack"}, "16-bit float grey"),
        (GREY.astype(np.complex64), {"photometric": "minisblack"}, "complex"),
        (GREY >> 4, {"photometric": "minisblack", "bitspersample": 12}, "12-bit grey"),
        (RGB.astype(np.uint32), {"photometric": "rgb"}, "32-bit RGB"),
    ],
)
def test_what_cannot_be_read_says_what_it_is(array: np.ndarray[Any, Any], options: dict[str, Any], kind: str) -> None:
    with pytest.raises(ArpcError, match=f"{kind}.* TIFF is not supported") as caught:
        read(tiff(array, **options))
    assert caught.value.exit_code == 1


def test_deep_planes_of_cmyk_are_refused() -> None:
    cmyk = RNG.integers(0, 65536, (6, 9, 4), dtype=np.uint16)
    with pytest.raises(ArpcError, match="16-bit planar CMYK TIFF is not supported"):
        read(planes(cmyk, photometric="separated"))


def test_wide_unsigned_integers_do_not_wrap() -> None:
    assert "32-bit" in read(tiff(GREY.astype(np.uint32) << 8, photometric="minisblack")).notes[0]
    with pytest.raises(ArpcError, match="beyond 2147483647"):
        read(tiff(GREY.astype(np.uint32) << 16, photometric="minisblack"))


def test_a_palette_of_small_numbers() -> None:
    colours = RNG.integers(0, 256, (3, 256)).astype(np.uint16)
    indices = BYTES[..., 0]
    for scale in (1, 256, 257):
        data = tiff(indices, photometric="palette", colormap=(colours * scale).astype(np.uint16))
        assert np.array_equal(read(data).pixels, colours.T[indices])


def test_pictures_that_pillow_misreads_are_refused_when_it_has_opened_them(tmp_path: Any) -> None:
    """What Pillow opened is garbage by then, for both kinds of codecs and for its plugin."""
    for data, kind in (
        (planes(RGB, photometric="rgb"), "16-bit planar RGB"),
        (tiff(65535 - GREY, photometric="miniswhite"), "16-bit white-is-zero grey"),
    ):
        for lossless in (False, True):
            with pytest.raises(ArpcError, match=f"Pillow reads {kind} TIFF wrong: give the file itself"):
                arpc_codec.encode(Image.open(io.BytesIO(data)), lossless=lossless)
            with pytest.raises(OSError, match="give the file itself"):
                Image.open(io.BytesIO(data)).save(tmp_path / "a.arpc", lossless=lossless)
    with pytest.raises(ArpcError, match="signed 8-bit grey"):
        read_exact(Image.open(io.BytesIO(tiff(BYTES[..., 0].view(np.int8), photometric="minisblack"))))


def test_what_pillow_reads_right_stays() -> None:
    assert np.array_equal(read(tiff(BYTES, photometric="rgb", bigtiff=True, tile=(16, 16))).pixels, BYTES)
    assert np.array_equal(read(planes(BYTES, photometric="rgb")).pixels, BYTES)
    assert np.abs(read(tiff(RGB, photometric="rgb")).pixels - (RGB / 257)).max() < 1
    cmyk = RNG.integers(0, 256, (6, 9, 4), dtype=np.uint8)
    assert np.array_equal(
        read(planes(cmyk, photometric="separated")).pixels, read(tiff(cmyk, photometric="separated")).pixels
    )
    pages = io.BytesIO()
    with tifffile.TiffWriter(pages) as writer:
        for page in (RGB, RGB[::-1]):
            writer.write(np.moveaxis(page, -1, 0).copy(), planarconfig="separate", photometric="rgb", metadata=None)
    picture = read(pages.getvalue())
    assert np.array_equal(picture.pixels, rounded(RGB))
    assert "only the first picture in the file is used" in picture.notes


@pytest.mark.parametrize("extras", [["unspecified"], ["unassalpha", "unspecified"], ["unspecified"] * 2])
def test_extra_channels_are_noted(extras: list[str]) -> None:
    more = RNG.integers(0, 256, (6, 9, len(extras)), dtype=np.uint8)
    picture = read(tiff(np.concatenate([BYTES, more], 2), photometric="rgb", extrasamples=extras))
    assert np.array_equal(picture.pixels, BYTES)
    assert (picture.alpha is not None) == ("unassalpha" in extras)
    assert any("extra channel" in note for note in picture.notes)


def test_alpha_without_a_meaning_and_iptc_are_noted() -> None:
    data = tiff(np.dstack([BYTES, BYTES[..., :1]]), photometric="rgb", extrasamples=["unassalpha"])
    unknown = data.replace((338).to_bytes(2, "little") + b"\3\0", (65000).to_bytes(2, "little") + b"\3\0")
    assert any("unspecified meaning" in note for note in read(unknown).notes)
    assert not read(data).notes
    iptc = tiff(BYTES, photometric="rgb", extratags=[(33723, 7, 4, b"\x1c\2\0\0", True)])
    assert "IPTC or Photoshop data dropped" in read(iptc).notes


def test_the_command_refuses_in_one_line(tmp_path: Any) -> None:
    path = tmp_path / "f.tif"
    path.write_bytes(tiff(RGB.astype(np.float32), photometric="rgb"))
    for codec in ("arpc", "progic"):
        result = CliRunner().invoke(main, ["encode", str(path), "-c", codec])
        assert result.exit_code == 1
        assert result.stderr == f"arpc: {path}: float RGB TIFF is not supported\n"
    assert not path.with_suffix(".arpc").exists()
