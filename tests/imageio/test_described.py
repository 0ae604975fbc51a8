"""Colours that are told without an ICC profile: converted to sRGB, kept as a profile, or refused."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageCms, features

import arpc_codec
from arpc_codec.cli.main import main
from arpc_codec.errors import ArpcError
from arpc_codec.imageio import read, read_exact

RNG = np.random.default_rng(10)
# Within the gamut of sRGB after any of these conversions.
RGB = RNG.integers(90, 166, (6, 9, 3), dtype=np.uint8)
GREY = np.arange(256, dtype=np.uint8).reshape(4, 64)
D65 = (0.3127, 0.329)
SRGB = (*D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
P3 = (*D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
BT2020 = (*D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)


def png(pixels: np.ndarray[Any, Any], *chunks: tuple[bytes, bytes]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    more = (struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks)
    return out.getvalue()[:33] + b"".join(more) + out.getvalue()[33:]


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(gamma * 100000))


def chrm(chromaticities: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(value * 100000) for value in chromaticities))


def to_xyz(chromaticities: tuple[float, ...]) -> np.ndarray[Any, Any]:
    white, *primaries = ((x / y, 1, (1 - x - y) / y) for x, y in np.reshape(chromaticities, (4, 2)))
    columns = np.array(primaries).T
    return columns * np.linalg.solve(columns, np.array(white))


def linear(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    unit = samples / 255
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)


def shown(light: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def expected(chromaticities: tuple[float, ...], gamma: float | None) -> np.ndarray[Any, Any]:
    """RGB as sRGB, by the definitions; all these whites are D65."""
    light = linear(RGB) if gamma is None else (RGB / 255) ** gamma
    return shown(light @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(chromaticities)).T)


CASES = {
    "cICP Display P3": ([(b"cICP", bytes([12, 13, 0, 1]))], P3, None),
    "cICP BT.2020": ([(b"cICP", bytes([9, 14, 0, 1]))], BT2020, None),
    "cICP linear": ([(b"cICP", bytes([1, 8, 0, 1]))], SRGB, 1.0),
    "cICP before sRGB": ([(b"cICP", bytes([12, 13, 0, 1])), (b"sRGB", b"\0")], P3, None),
    "cHRM and gAMA, P3": ([gama(1 / 2.2), chrm(P3)], P3, 2.2),
    "cHRM and gAMA, Adobe RGB": ([gama(0.45471), chrm(ADOBE)], ADOBE, 563 / 256),
    "cHRM alone": ([chrm(P3)], P3, None),
    "gAMA alone": ([gama(1 / 1.8)], SRGB, 1.8),
}


@pytest.mark.parametrize("case", CASES)
def test_png_is_converted(case: str) -> None:
    chunks, chromaticities, gamma = CASES[case]
    data = png(RGB, *chunks)
    picture = read(data)
    right = expected(chromaticities, gamma)
    assert np.abs(right - RGB).max() > 5
    assert np.abs(picture.pixels - right).max() < 1.6
    assert len(picture.notes) == 1
    assert "converted to sRGB" in picture.notes[0]
    assert picture.icc is None
    assert np.array_equal(read(Image.open(io.BytesIO(data))).pixels, picture.pixels)
    kept = read(data, keep_icc=True)
    assert np.array_equal(kept.pixels, RGB)
    assert kept.icc is not None
    again = io.BytesIO()
    Image.fromarray(RGB).save(again, "PNG", icc_profile=kept.icc)
    assert np.array_equal(read(again.getvalue()).pixels, picture.pixels)


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"cICP", bytes([1, 13, 0, 1]))],
        [(b"cICP", bytes([1, 1, 0, 1]))],
        [(b"cICP", bytes([2, 2, 0, 1]))],
        [gama(0.45455)],
        [gama(0.45455), chrm(SRGB)],
        [(b"sRGB", b"\0"), gama(1.0), chrm(P3)],
    ],
)
def test_srgb_under_another_name_is_silent(chunks: list[tuple[bytes, bytes]]) -> None:
    picture = read(png(RGB, *chunks))
    assert np.array_equal(picture.pixels, RGB)
    assert not picture.notes


def test_cicp_goes_before_the_profile_and_the_profile_before_the_rest() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    iccp = (b"iCCP", b"x\0\0" + zlib.compress(profile))
    assert np.array_equal(read(png(RGB, iccp, gama(1.0))).pixels, RGB)
    assert np.abs(read(png(RGB, iccp, (b"cICP", bytes([12, 13, 0, 1])))).pixels - expected(P3, None)).max() < 1.6


def test_grey_has_a_gamma_too() -> None:
    picture = read(png(GREY, gama(1.0)))
    assert picture.grey
    assert np.abs(picture.pixels[..., 0] - shown(GREY / 255)).max() < 1.6
    assert read(png(GREY, gama(1.0)), keep_icc=True).icc is not None
    assert not read(png(GREY, (b"cICP", bytes([12, 13, 0, 1])))).notes


@pytest.mark.parametrize(("curve", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("keep_icc", [False, True])
def test_hdr_is_refused(curve: int, name: str, keep_icc: bool) -> None:
    data = png(RGB, (b"cICP", bytes([9, curve, 0, 1])))
    for source in (data, Image.open(io.BytesIO(data))):
        with pytest.raises(ArpcError, match=rf"HDR colours \({name}\) cannot be shown as sRGB"):
            read(source, keep_icc=keep_icc)
    assert np.array_equal(read_exact(data).samples, RGB)


def test_what_makes_no_sense_is_a_note() -> None:
    for chunks in (
        [chrm((0, 0, 0, 0, 0, 0, 0, 0))],
        [chrm((*D65, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3))],
        [chrm((*D65, 9, 9, 0.3, 0.6, 0.1, 0.1))],
        [gama(0.0)],
        [(b"cICP", bytes([77, 13, 0, 1]))],
        [(b"cICP", bytes([1, 10, 0, 1]))],
    ):
        picture = read(png(RGB, *chunks))
        assert np.array_equal(picture.pixels, RGB)
        assert any("taken as sRGB" in note for note in picture.notes)
    with pytest.raises(ArpcError, match="narrow-range"):
        read(png(RGB, (b"cICP", bytes([1, 13, 0, 0]))))
    assert np.array_equal(read(png(RGB, (b"cICP", b"\1"))).pixels, RGB)


def test_bmp_and_jpeg_2000_have_profiles_that_pillow_does_not_see() -> None:
    kept = read(png(RGB, chrm(P3)), keep_icc=True).icc
    assert kept is not None
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "BMP")
    pixels = out.getvalue()[54:]
    header = struct.pack("<IiiHHIIiiII", 124, 9, 6, 1, 24, 0, len(pixels), 0, 0, 0, 0).ljust(56, b"\0") + b"DEBM"
    header = header.ljust(112 - 14 + 14, b"\0") + struct.pack("<II", 124 + len(pixels), len(kept)) + bytes(4)
    data = b"BM" + struct.pack("<IHHI", 138 + len(pixels) + len(kept), 0, 0, 138) + header + pixels + kept
    assert np.abs(read(data).pixels - expected(P3, None)).max() < 1.6
    assert read_exact(data).icc == kept
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "JPEG2000", irreversible=False)
    old = struct.pack(">I", 15) + b"colr" + b"\1\0\0" + struct.pack(">I", 16)
    new = struct.pack(">I", 11 + len(kept)) + b"colr" + b"\2\0\0" + kept
    whole = out.getvalue()
    at = whole.index(b"jp2h") - 4
    size = int.from_bytes(whole[at : at + 4], "big") + len(new) - len(old)
    assert old in whole
    data = (whole[:at] + struct.pack(">I", size) + whole[at + 4 :]).replace(old, new)
    assert np.abs(read(data).pixels - expected(P3, None)).max() < 1.6


@pytest.mark.skipif(not features.check("avif"), reason="Pillow is without AVIF here")
def test_avif_code_points() -> None:
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "AVIF", quality=100, subsampling="4:4:4")
    plain = read(out.getvalue())
    assert not plain.notes
    at = out.getvalue().index(b"colrnclx") + 8

    def with_points(primaries: int, curve: int) -> bytes:
        return out.getvalue()[:at] + struct.pack(">HH", primaries, curve) + out.getvalue()[at + 4 :]

    picture = read(with_points(12, 13))
    assert np.abs(picture.pixels - expected(P3, None)).max() < 4
    assert "Display P3" in picture.notes[0]
    with pytest.raises(ArpcError, match="PQ"):
        read(with_points(9, 16))


def test_adobe_rgb_of_cameras() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 0xFFFF, 0xA005: {1: "R03"}}
    out = io.BytesIO()
    Image.fromarray(RGB[:1, :1]).resize((8, 8)).save(out, "JPEG", quality=100, subsampling=0, exif=exif)
    picture = read(out.getvalue())
    assert "Adobe RGB" in picture.notes[0]
    assert np.abs(picture.pixels[0, 0] - expected(ADOBE, 563 / 256)[0, 0]).max() < 4


def test_tiff_chromaticities() -> None:
    tags = {318: P3[:2], 319: P3[2:]}
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "TIFF", tiffinfo=tags)
    for source in (out.getvalue(), Image.open(io.BytesIO(out.getvalue()))):
        assert np.abs(read(source).pixels - expected(P3, 2.2)).max() < 1.6


def test_iptc_is_noted() -> None:
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", 4) + b"\x1c\2\0\0"
    segment = b"Photoshop 3.0\0" + resource
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "JPEG")
    data = out.getvalue()[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + out.getvalue()[2:]
    assert "IPTC dropped" in read(data).notes


def test_the_command_python_and_pillow_convert(micro_home: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ways give the same file as the converted picture does."""
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    path = tmp_path / "p3.png"
    path.write_bytes(png(RGB.repeat(6, 0).repeat(6, 1), (b"cICP", bytes([12, 13, 0, 1]))))
    coded = arpc_codec.encode(read(path).pixels, model="micro", scales=3)
    assert arpc_codec.encode(path, model="micro", scales=3) == coded
    result = CliRunner().invoke(main, ["encode", str(path), "-m", "micro", "-k", "3"])
    assert result.exit_code == 0, result.output
    assert "converted to sRGB" in result.stderr
    assert (tmp_path / "p3.arpc").read_bytes() == coded
    path.write_bytes(png(RGB, (b"cICP", bytes([9, 16, 0, 1]))))
    result = CliRunner().invoke(main, ["encode", "-f", str(path), "-m", "micro"])
    assert result.exit_code == 1
    assert "HDR colours (PQ)" in result.stderr
    # Of cICP Pillow knows nothing once it has loaded the pixels.
    path.write_bytes(png(RGB.repeat(6, 0).repeat(6, 1), gama(1 / 2.2), chrm(P3)))
    with Image.open(path) as image:
        image.save(tmp_path / "q.arpc", model="micro", scales=3)
    assert (tmp_path / "q.arpc").read_bytes() == arpc_codec.encode(read(path).pixels, model="micro", scales=3)
