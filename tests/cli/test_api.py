"""`arpc_codec.encode`, `decode` and `info` around the codec."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import arpc_codec
from arpc_codec.errors import FormatError, ModelError, TruncatedError, UnsupportedError, UsageError

pytestmark = pytest.mark.usefixtures("stand_in")
Y, X = np.mgrid[:32, :48]
RGB = np.stack([X * 5, Y * 7, X + Y], -1).astype(np.uint8)


def test_arrays_and_pictures_give_the_same_bytes() -> None:
    data = arpc_codec.encode(RGB, scales=3, caption="a")
    assert data == arpc_codec.encode(Image.fromarray(RGB), scales=3, caption="a")
    picture = arpc_codec.decode(data)
    assert (picture.mode, picture.size) == ("RGB", (48, 32))
    assert arpc_codec.info(data).caption == "a"
    assert arpc_codec.info(data).scales_declared == 3


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_modes_come_back(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(RGB[..., 0]))
    picture = arpc_codec.decode(arpc_codec.encode(image))
    assert picture.mode == mode
    if mode.endswith("A"):
        assert np.array_equal(np.asarray(picture)[..., -1], RGB[..., 0])


def test_kept_exif_is_where_pillow_looks() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "words"
    Image.fromarray(RGB).save(out, "PNG", exif=exif)
    picture = arpc_codec.decode(arpc_codec.encode(Image.open(out), keep=("exif",)))
    assert picture.getexif()[0x010E] == "words"


def test_rates_exclude_each_other() -> None:
    assert len(arpc_codec.encode(RGB, target_bytes=200)) <= 200
    assert len(arpc_codec.encode(RGB, target_bpp=1)) <= 48 * 32 / 8
    for rates in ({"scales": 1, "target_bytes": 9}, {"target_bpp": 0}, {"target_bytes": 0}, {"scales": 0}):
        with pytest.raises(UsageError):
            arpc_codec.encode(RGB, **rates)


@pytest.mark.parametrize("array", [RGB[..., 0], RGB.astype(np.float32), RGB[:0], RGB[..., :2]])
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UsageError):
        arpc_codec.encode(array)


def test_errors() -> None:
    data = arpc_codec.encode(RGB)
    with pytest.raises(TruncatedError):
        arpc_codec.decode(data[:-1])
    assert arpc_codec.decode(data[:-1], allow_truncated=True).size == (48, 32)
    spoilt = bytearray(data)
    spoilt[-5] ^= 0x55
    with pytest.raises(FormatError, match="scale 6"):
        arpc_codec.decode(bytes(spoilt))
    assert arpc_codec.decode(bytes(spoilt), scales=5).size == (48, 32)
    with pytest.raises(FormatError):
        arpc_codec.decode(b"junk")
    with pytest.raises(UnsupportedError):
        arpc_codec.decode(b"\xa7A\n\xc8")
    with pytest.raises(ModelError):
        arpc_codec.encode(RGB, model="huge")
    with pytest.raises(UsageError):
        arpc_codec.encode(RGB, device="abacus")


def test_attributes() -> None:
    assert isinstance(arpc_codec.__version__, str)
    with pytest.raises(AttributeError):
        arpc_codec.nothing  # noqa: B018


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_lossless_picture_is_no_bomb(
    channels: int, bits: int, micro_home: Path, micro_lossless: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's limit is for what it reads itself; here --max-pixels is."""
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    samples = np.arange(30 * 20 * channels).reshape(30, 20, channels).astype(f"uint{bits}")
    data = arpc_codec.encode(samples, lossless=True, model="micro-lossless")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    if bits == 16 and channels > 1:
        with pytest.raises(UsageError, match="decode_array"):
            arpc_codec.decode(data)
        return
    image = arpc_codec.decode(data)
    assert image.mode == ("I;16" if bits == 16 else ["L", "LA", "RGB", "RGBA"][channels - 1])
    assert np.array_equal(np.asarray(image).reshape(samples.shape), samples)
