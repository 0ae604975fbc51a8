"""PBM, PGM, PPM and PAM: raw, plain, of any maximum."""

import io

import numpy as np
import pytest
from PIL import Image

from arpc_codec.errors import ArpcError
from arpc_codec.imageio import ExactPicture, read_exact, write_exact

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("channels", [1, 3])
def test_pillow_reads_what_is_written(channels: int) -> None:
    samples = RNG.integers(0, 256, (5, 7, channels), dtype=np.uint8)
    image = Image.open(io.BytesIO(write_exact(ExactPicture(samples), "ppm")))
    assert np.array_equal(np.asarray(image).reshape(samples.shape), samples)


def test_16_bits() -> None:
    samples = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    picture = read_exact(b"P6 7 5 65535\n" + samples.astype(">u2").tobytes())
    assert picture == ExactPicture(samples)
    assert not picture.notes
    plain = b"P3\n# a comment\n7 5 # another\n65535\n" + b" ".join(b"%d" % value for value in samples.ravel()) + b"\n"
    assert read_exact(plain) == picture


@pytest.mark.parametrize("width", [1, 7, 8, 9])
def test_one_bit(width: int) -> None:
    black = RNG.integers(0, 2, (5, width), dtype=np.uint8)
    raw = b"P4\n%d 5\n" % width + np.packbits(black, axis=1).tobytes()
    plain = b"P1 %d 5\n" % width + b"\n".join(b"".join(b"%d" % value for value in row) for row in black)
    for data in (raw, plain):
        picture = read_exact(data)
        assert np.array_equal(picture.samples[..., 0], np.where(black, 0, 255))
        assert picture.notes == ("1-bit samples coded as 8 bits",)


@pytest.mark.parametrize("top", [3, 15])
def test_two_and_four_bits_are_spread(top: int) -> None:
    values = RNG.integers(0, top + 1, (4, 4, 1), dtype=np.uint8)
    picture = read_exact(b"P5 4 4 %d\n" % top + values.tobytes())
    assert np.array_equal(picture.samples, values * (255 // top))
    assert picture.notes == (f"{top.bit_length()}-bit samples coded as 8 bits",)


@pytest.mark.parametrize("top", [2, 100, 254, 256, 1023, 4095, 65534])
def test_another_maximum_scales_nothing(top: int) -> None:
    size = 1 if top < 256 else 2
    values = RNG.integers(0, top + 1, (4, 4, 3), dtype=np.uint16)
    picture = read_exact(b"P6 4 4 %d\n" % top + values.astype(f">u{size}").tobytes())
    assert np.array_equal(picture.samples, values)
    assert picture.bits == 8 * size
    assert picture.notes == (f"samples 0..{top} kept as they are: the maximum is not kept",)


def pam(fields: str, raster: bytes) -> bytes:
    return f"P7\n{fields}\nENDHDR\n".encode() + raster


def test_pam_headers() -> None:
    data = pam("# comment\nDEPTH 1\nWIDTH 2\n\nHEIGHT 1\nMAXVAL 1\nTUPLTYPE BLACKANDWHITE", b"\0\1")
    assert read_exact(data).samples.tolist() == [[[0], [255]]]
    assert read_exact(pam("DEPTH 3\nWIDTH 1\nHEIGHT 1\nMAXVAL 255", b"abc")).samples.tolist() == [[[97, 98, 99]]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P5 2 2 255\nabc", "ends early"),
        (b"P4 9 2\nabc", "ends early"),
        (b"P5 2 2\n", "no header"),
        (b"P5 -2 2 255\nabcd", "no header"),
        (b"P5 2 2 0\nabcd", "maximum of 0"),
        (b"P5 2 2 65536\nabcd", "maximum of 65536"),
        (b"P5 2 2 99\nabcd", "above the maximum"),
        (b"P5 0 2 255\n", "no pixels"),
        (b"P5 99999 99999 255\n", "exceed"),
        (b"P2 1 1 255\n-1", "no number"),
        (b"P2 1 1 255\n1 2", "2 samples instead of 1"),
        (b"P2 1 1 255\n256", "above the maximum"),
        (b"P2 1 1 255\n100000", "no number"),
        (b"P1 2 1\n12", "above the maximum"),
        (b"P5 1 1 255\naP5 1 1 255\na", "several pictures"),
        (pam("WIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE CMYK", b"abcd"), "4 channels CMYK"),
        (pam("WIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 255", b"ab"), "2 channels of unknown meaning"),
        (pam("WIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 99\nTUPLTYPE GRAYSCALE_ALPHA", b"ab"), "alpha with a maximum of 99"),
        (pam("WIDTH 1\nHEIGHT x\nDEPTH 1\nMAXVAL 255", b"a"), "no header of PAM"),
        (pam("WIDTH -1\nHEIGHT -1\nDEPTH 1\nMAXVAL 255", b"a"), "no header of PAM"),
        (b"P7\nWIDTH 1", "no header of PAM"),
    ],
)
def test_damage_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ArpcError, match=message):
        read_exact(data)


def test_bytes_behind_the_picture_are_noted() -> None:
    assert read_exact(b"P5 1 1 255\na\n").left_out == ()
    assert read_exact(b"P5 1 1 255\naxyz").left_out == ("3 bytes behind the picture not kept",)
    assert read_exact(b"P5 # by hand\n1 1 255\n#").left_out == ("comments in the header not kept",)
    assert read_exact(b"P5 1 1 255\n#").left_out == ()
