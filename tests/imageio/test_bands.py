"""Large pictures are converted some rows at a time: the same as at once, in less memory."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from arpc_codec.errors import ArpcError, FormatError
from arpc_codec.imageio import alpha as alpha_module
from arpc_codec.imageio import pack_alpha, png, read, read_exact, reading, unpack_alpha
from arpc_codec.tile import Tile

RNG = np.random.default_rng(6)
RGBA = RNG.integers(0, 256, (23, 17, 4), dtype=np.uint8)


def stored(mode: str, orientation: int = 1, **options: object) -> bytes:
    """A PNG file (TIFF for CMYK) with that EXIF orientation."""
    image = Image.fromarray(RGBA).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "TIFF" if mode == "CMYK" else "PNG", exif=exif, **options)
    return out.getvalue()


def deep() -> bytes:
    """Grey of 16 bits, which is stretched by what occurs anywhere in the picture."""
    out = io.BytesIO()
    Image.fromarray(np.arange(23 * 17, dtype=np.int32).reshape(23, 17) * 1000 - 500).save(out, "TIFF")
    return out.getvalue()


KINDS = {mode: stored(mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK")}
KINDS |= {f"turned {turn}": stored("RGBA", turn) for turn in range(2, 9)}
KINDS["key"] = stored("RGB", transparency=tuple(RGBA[20, 3, :3].tolist()))
KINDS["profile"] = stored("RGB", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes())
KINDS["deep"] = deep()


@pytest.mark.parametrize("kind", KINDS)
def test_bands_are_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(KINDS[kind])
    monkeypatch.setattr(reading, "BAND_PIXELS", 17 * 5)
    found = read(KINDS[kind])
    assert np.array_equal(found.pixels, whole.pixels)
    assert (found.alpha is None) == (whole.alpha is None)
    assert found.alpha is None or np.array_equal(found.alpha, whole.alpha)
    assert (found.grey, found.icc, found.exif, found.notes) == (whole.grey, whole.icc, whole.exif, whole.notes)


@pytest.mark.parametrize("band", [1, 18 * 4, 1 << 20])
def test_alpha_in_bands(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpha_module, "BAND_BYTES", band)
    plane = RGBA[..., 3]
    data = pack_alpha(plane)
    assert np.array_equal(unpack_alpha(data, 23, 17), plane)
    for area in (Tile(0, 0, 1, 1), Tile(3, 2, 9, 11), Tile(22, 16, 1, 1)):
        assert np.array_equal(unpack_alpha(data, 23, 17, area), plane[area.window])
        for bad in (data[:-5], data + b"x", pack_alpha(plane[:-1])):
            with pytest.raises(FormatError):
                unpack_alpha(bad, 23, 17, area)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read the Linux way")
def test_memory_of_reading(tmp_path: Path) -> None:
    """Pillow's 4 bytes a pixel and ours of 3, for a turned picture with a profile too, and one band."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (7000, 6000), (9, 8, 7)).save(tmp_path / "a.png", exif=exif, icc_profile=icc)
    code = f"""
import resource
from arpc_codec.imageio import read
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
assert read({str(tmp_path / "a.png")!r}).pixels.shape == (7000, 6000, 3)
print(peak() - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert grown < 7 * 7000 * 6000 + 12 * reading.BAND_PIXELS


@pytest.mark.parametrize("band", [1, 7, 1 << 20])
def test_png_rows_are_counted_in_bands(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the inflated rows are cut up, a whole file is whole and one that lacks a row is not."""
    monkeypatch.setattr(png, "_BAND", band)
    flat = np.zeros((40, 90, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(flat).save(out, "PNG")
    assert np.array_equal(read_exact(out.getvalue()).samples, flat)
    taller = out.getvalue()[:16] + struct.pack(">II", 90, 41) + out.getvalue()[24:29]
    taller += struct.pack(">I", zlib.crc32(taller[12:])) + out.getvalue()[33:]
    with pytest.raises(ArpcError, match="ends early"):
        read_exact(taller)
