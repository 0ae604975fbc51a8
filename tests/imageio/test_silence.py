"""The libraries that read pictures say nothing by themselves: errors are ours, in one line."""

import struct
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from arpc_codec.errors import ArpcError
from arpc_codec.imageio import read, read_exact

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
Read = Callable[[bytes], object]


def tiff(compression: str) -> bytearray:
    file = BytesIO()
    (NOISE.convert("1") if compression == "group4" else NOISE).save(file, "TIFF", compression=compression)
    return bytearray(file.getvalue())


@pytest.mark.parametrize("reader", [read, read_exact])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"])
def test_of_damaged_tiff(compression: str, reader: Read, capfd: pytest.CaptureFixture[str]) -> None:
    data = tiff(compression)
    for start in range(8, len(data) - 300, len(data) // 5):
        spoilt = data[:]
        spoilt[start : start + 200] = bytes(200)
        with suppress(ArpcError):
            reader(bytes(spoilt))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("reader", [read, read_exact])
def test_of_tiff_with_strange_tags(reader: Read, capfd: pytest.CaptureFixture[str]) -> None:
    data = tiff("tiff_lzw")
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    # The last tag becomes one that nobody knows: a warning of libtiff.
    struct.pack_into("<HHII", data, start + 2 + 12 * (count - 1), 65000, 3, 1, 5)
    reader(bytes(data))
    assert capfd.readouterr().err == ""


def test_others_hear_libtiff_as_before(capfd: pytest.CaptureFixture[str]) -> None:
    data = tiff("tiff_lzw")
    data[len(data) // 4 : len(data) // 4 + 200] = bytes(200)

    def told() -> str:
        with pytest.raises(OSError, match="decoder error"):
            Image.open(BytesIO(data)).load()
        return capfd.readouterr().err

    before = told()
    with pytest.raises(ArpcError):
        read(bytes(data))
    assert capfd.readouterr().err == ""
    assert told() == before
