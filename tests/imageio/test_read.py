"""Every kind of picture file, and the note for whatever the pixels cannot keep."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from arpc_codec.errors import ArpcError
from arpc_codec.imageio import read, read_exact, to_image

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def file(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def png_16(samples: np.ndarray, colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """PNG of big-endian 16-bit samples [H, W, C]; Pillow cannot write 16-bit colour."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(width, height, 16, colour_type, rows, *chunks)


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """PNG of rows of bytes, each behind its filter."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("format", ["PNG", "BMP", "PPM", "TIFF", "TGA"])
def test_rgb_is_exact_and_silent(format: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(file(Image.fromarray(RGB), format))
    for source in (path, str(path), path.read_bytes(), Image.open(path)):
        picture = read(source)
        assert np.array_equal(picture.pixels, RGB)
        assert (picture.alpha, picture.grey, picture.icc, picture.notes) == (None, False, None, ())


def test_grey_comes_back_as_one_channel() -> None:
    picture = read(file(Image.fromarray(GREY)))
    assert picture.grey
    assert np.array_equal(picture.pixels, np.stack([GREY] * 3, -1))
    assert not picture.notes
    image = to_image(picture.pixels, picture.alpha, picture.grey)
    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), GREY)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_kept(mode: str) -> None:
    alpha = RNG.integers(0, 255, (6, 9), dtype=np.uint8)
    image = Image.fromarray(GREY if mode == "LA" else RGB)
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        image = image.quantize(200, Image.Quantize.FASTOCTREE)
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    picture = read(file(image))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, alpha)
    assert picture.grey == (mode == "LA")


def test_opaque_alpha_is_none() -> None:
    image = Image.fromarray(RGB)
    image.putalpha(255)
    picture = read(file(image))
    assert picture.alpha is None
    assert np.array_equal(picture.pixels, RGB)


@pytest.mark.parametrize(("mode", "key"), [("L", 0), ("RGB", (0, 0, 0)), ("1", 0), ("P", 1)])
def test_a_transparent_colour_becomes_alpha(mode: str, key: object) -> None:
    image = Image.new(mode, (4, 2))
    if mode == "P":
        image.putpalette(bytes(range(12)))
    image.putpixel((0, 0), {"L": 9, "RGB": (9, 9, 9), "1": 1, "P": 1}[mode])
    picture = read(file(image, transparency=key))
    expected = np.zeros((2, 4), np.uint8) if mode != "P" else np.full((2, 4), 255, np.uint8)
    expected[0, 0] = 0 if mode == "P" else 255
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, expected)


def test_palette_becomes_rgb() -> None:
    image = Image.fromarray(RGB).quantize(16)
    picture = read(file(image))
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert not picture.grey


def test_one_bit() -> None:
    bits = GREY > 100
    picture = read(file(Image.fromarray(bits)))
    assert picture.grey
    assert np.array_equal(picture.pixels[..., 0], np.where(bits, 255, 0))
    assert picture.notes == ("1-bit samples coded as 8-bit grey",)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_rounded_and_noted(format: str) -> None:
    deep = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
    picture = read(file(Image.fromarray(deep), format))
    assert picture.grey
    assert np.array_equal(picture.pixels[..., 0], np.rint(deep / 257).astype(np.uint8))
    assert picture.notes == ("16-bit samples reduced to 8 bits",)


@pytest.mark.parametrize(("channels", "colour_type"), [(3, 2), (4, 6), (2, 4)])
def test_sixteen_bit_colour_is_noted(channels: int, colour_type: int) -> None:
    deep = RNG.integers(0, 65536, (6, 9, channels), dtype=np.uint16)
    picture = read(png_16(deep, colour_type))
    assert picture.notes == ("16-bit samples reduced to 8 bits",)
    assert (picture.alpha is not None) == (channels in (2, 4))
    assert np.abs(picture.pixels[..., 0].astype(int) - (deep[..., 0] >> 8)).max() <= 1


def test_sixteen_bit_grey_with_alpha_is_grey() -> None:
    samples = RNG.integers(0, 65536, (5, 7, 2), dtype=np.uint16)
    picture = read(png_16(samples, 4))
    assert picture.grey
    assert np.array_equal(picture.pixels, (samples[..., :1] >> 8).repeat(3, 2))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, samples[..., 1] >> 8)


def test_sixteen_bit_ppm_colour_is_noted() -> None:
    deep = RNG.integers(0, 65536, (6, 9, 3), dtype=np.uint16)
    picture = read(b"P6 9 6 65535\n" + deep.astype(">u2").tobytes())
    assert picture.notes == ("16-bit samples reduced to 8 bits",)


def test_sixteen_bit_transparent_colour() -> None:
    deep = np.full((2, 2, 3), 0x1234, np.uint16)
    deep[0, 0] = 0xFFFF
    picture = read(png_16(deep, 2, (b"tRNS", struct.pack(">HHH", 0x1234, 0x1234, 0x1234))))
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0], [0, 0]]


def test_what_8_bits_cannot_tell_of_a_transparent_colour_is_noted() -> None:
    deep = np.full((1, 2, 3), 0x0034, np.uint16)
    picture = read(png_16(deep, 2, (b"tRNS", struct.pack(">HHH", 0x0012, 0x0012, 0x0012))))
    assert picture.alpha is not None
    assert not picture.alpha.any()
    assert "transparent colour compared in 8 bits" in picture.notes


@pytest.mark.parametrize(("depth", "key"), [(1, 1), (2, 2), (4, 5), (8, 5)])
def test_the_transparent_grey_of_few_bits(depth: int, key: int) -> None:
    values = [key, 0, key]
    row = np.packbits([value >> bit & 1 for value in values for bit in range(depth)[::-1]]).tobytes()
    data = png(3, 1, depth, 0, b"\0" + row, (b"tRNS", struct.pack(">H", key)))
    grey = [value * 255 // (2**depth - 1) for value in values]
    # Pillow forgets the depth when it loads a picture.
    for opened in (lambda: data, lambda: Image.open(io.BytesIO(data))):
        picture = read(opened())
        assert picture.pixels[0, :, 0].tolist() == grey
        assert picture.alpha is not None
        assert picture.alpha.tolist() == [[0, 255, 0]]
        exact = read_exact(opened())
        assert exact.samples[0].tolist() == [[value, 255 * (value == 0)] for value in grey]


def test_float_and_wide_integers_are_stretched_and_noted() -> None:
    unit = np.linspace(0, 1, 54, dtype=np.float32).reshape(6, 9)
    picture = read(file(Image.fromarray(unit), "TIFF"))
    assert np.array_equal(picture.pixels[..., 0], np.rint(unit * 255))
    assert picture.notes == ("float samples 0..1 reduced to 8 bits",)
    wild = unit * 300 - 7
    wild[0, 0] = np.nan
    picture = read(file(Image.fromarray(wild), "TIFF"))
    assert "stretched" in picture.notes[0]
    assert "no numbers" in picture.notes[0]
    assert picture.pixels.min() == 0
    assert picture.pixels.max() == 255
    signed = np.arange(-20, 34, dtype=np.int32).reshape(6, 9)
    assert read(file(Image.fromarray(signed), "TIFF")).notes == ("32-bit samples -20..33 stretched to 8 bits",)


def test_cmyk_and_other_colour_models_are_noted() -> None:
    picture = read(file(Image.fromarray(RGB).convert("CMYK"), "TIFF"))
    assert picture.pixels.shape == RGB.shape
    assert any("CMYK" in note for note in picture.notes)
    assert any("Lab" in note for note in read(Image.new("LAB", (3, 2), (128, 128, 128))).notes)
    assert any("HSV" in note for note in read(Image.fromarray(RGB).convert("HSV")).notes)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_orientation_is_applied_once(orientation: int, mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(GREY))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "kept"
    data = file(image, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    picture = read(data)
    image = to_image(picture.pixels, picture.alpha, picture.grey, exif=picture.exif)
    assert image.mode == upright.mode
    assert np.array_equal(np.asarray(image), np.asarray(upright))
    again = Image.open(io.BytesIO(file(image, exif=image.info["exif"]))).getexif()
    assert again[0x0112] == 1
    assert again[0x010E] == "kept"


@pytest.mark.parametrize(
    "junk", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 9]
)
def test_broken_exif_is_no_error(junk: bytes) -> None:
    picture = read(file(Image.fromarray(RGB), "JPEG", exif=b"Exif\0\0" + junk, quality=100))
    assert picture.pixels.shape == RGB.shape


def swapped_profile() -> bytes:
    """The sRGB profile with the tags of its red and green primaries exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def test_colours_are_converted_through_the_profile() -> None:
    # Made once: a profile says the second it was made in.
    image, profile = Image.new("RGB", (4, 4), (255, 0, 0)), swapped_profile()
    picture = read(file(image, icc_profile=profile))
    assert picture.pixels[0, 0, 1] > 200
    assert picture.pixels[0, 0, 0] < 50
    assert picture.icc is None
    assert "converted to sRGB" in picture.notes[0]
    kept = read(file(image, icc_profile=profile), keep_icc=True)
    assert kept.pixels[0, 0].tolist() == [255, 0, 0]
    assert kept.icc == profile
    assert not kept.notes


def test_an_srgb_profile_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read(file(Image.fromarray(RGB), icc_profile=srgb))
    assert np.array_equal(picture.pixels, RGB)
    assert not picture.notes


@pytest.mark.parametrize("keep", [False, True])
def test_broken_and_foreign_profiles_are_ignored_with_a_note(keep: bool) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (b"junk", srgb[:200], b"\0" * 500):
        picture = read(file(Image.fromarray(RGB), icc_profile=profile), keep_icc=keep)
        assert np.array_equal(picture.pixels, RGB)
        assert "ICC profile" in picture.notes[0]
        assert picture.icc is None
    grey = read(file(Image.fromarray(GREY), icc_profile=srgb), keep_icc=keep)
    assert "ICC profile for RGB ignored" in grey.notes[0]


def test_metadata_is_found() -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    for format in ("JPEG", "WEBP"):
        assert read(file(Image.fromarray(RGB), format, xmp=xmp)).xmp == xmp


def test_frames_comments_and_gamma_are_noted() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = file(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert "only the first of 2 pictures in the file is used" in read(data).notes
    second = Image.open(io.BytesIO(data))
    second.seek(1)
    assert "only number 2 of 2 pictures in the file is used" in read(second).notes
    assert "text comments dropped" in read(file(frames[0], "JPEG", comment=b"hello")).notes
    gamma = png_16(np.zeros((2, 2, 3), np.uint16), 2, (b"gAMA", struct.pack(">I", 100000)))
    assert any("gamma" in note for note in read(gamma).notes)


def test_too_many_pixels() -> None:
    data = file(Image.new("1", (3000, 3000)))
    with pytest.raises(ArpcError, match="3000 x 3000 pixels exceed the limit of 8999999"):
        read(data, max_pixels=8_999_999)
    before = Image.MAX_IMAGE_PIXELS
    assert read(data, max_pixels=9_000_000).pixels.shape == (3000, 3000, 3)
    assert before == Image.MAX_IMAGE_PIXELS
    huge = b"P5 30000 30000 255\n"
    with pytest.raises(ArpcError, match="exceed"):
        read(huge)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello", "not a picture"),
        (b"\xa7A\n\x08", "an arpc file already"),
        (
            b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 16, 3) + bytes(99),
            "a PSD picture .* kind that cannot",
        ),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture that is damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_unreadable_files_give_one_line(data: bytes, message: str) -> None:
    with pytest.raises(ArpcError, match=message) as caught:
        read(data)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


PNG = file(Image.fromarray(RGB).resize((60, 40)), exif=Image.Exif())
JPEG = file(Image.fromarray(RGB).resize((60, 40)), "JPEG")


@pytest.mark.parametrize("place", [0.3, 0.5, 0.8])
def test_a_png_whose_pixels_are_damaged_is_refused(place: float) -> None:
    """Also where nothing but Pillow's search for EXIF behind the pixels comes upon it first."""
    broken = bytearray(file(Image.fromarray(RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8))))
    broken[int(place * len(broken))] ^= 255
    for source in (bytes(broken), Image.open(io.BytesIO(broken))):
        with pytest.raises(ArpcError, match="cannot be read as a picture"):
            read(source)


@settings(max_examples=150)
@given(st.sampled_from([PNG, JPEG]), st.data())
def test_damaged_files_give_a_picture_or_one_line(good: bytes, data: st.DataObject) -> None:
    broken = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 4)) if broken else 0):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    # Anything but ArpcError fails the test.
    with suppress(ArpcError):
        assert read(bytes(broken), max_pixels=1 << 20).pixels.ndim == 3
