"""The alpha plane's bytes: exact round trip, PNG's filter, bounded inflation."""

import io
import struct
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from arpc_codec.errors import FormatError
from arpc_codec.imageio import pack_alpha, unpack_alpha


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_round_trip(alpha: np.ndarray) -> None:
    data = pack_alpha(alpha)
    assert np.array_equal(unpack_alpha(data, *alpha.shape), alpha)


def test_a_png_reader_understands_the_plane() -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (7, 11), dtype=np.uint8)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 11, 7, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pack_alpha(alpha)) + chunk(b"IEND", b"")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), alpha)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        unpack_alpha(data, 5, 5)


@given(st.data())
def test_damage_is_refused_or_gives_a_plane(data: st.DataObject) -> None:
    packed = bytearray(pack_alpha(np.arange(64, dtype=np.uint8).reshape(8, 8)))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(FormatError):
        assert unpack_alpha(bytes(packed), 8, 8).shape == (8, 8)


@pytest.mark.parametrize("shape", [(4, 5), (5, 4), (6, 6), (1, 1)])
def test_another_size_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(FormatError):
        unpack_alpha(pack_alpha(np.zeros((5, 5), np.uint8)), *shape)


def test_bytes_behind_the_stream_and_other_filters_are_refused() -> None:
    good = pack_alpha(np.zeros((2, 2), np.uint8))
    with pytest.raises(FormatError):
        unpack_alpha(good + b"x", 2, 2)
    with pytest.raises(FormatError, match="filter"):
        unpack_alpha(zlib.compress(b"\0\0\0" * 2), 2, 2)
    with pytest.raises(FormatError):
        unpack_alpha(good[:-1], 2, 2)


def test_a_bomb_is_not_inflated() -> None:
    bomb = zlib.compress(bytes(1 << 26), 9)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            unpack_alpha(bomb, 100, 100)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
