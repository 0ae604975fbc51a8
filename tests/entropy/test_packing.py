"""Integers of a fixed width in bytes, and the check byte of what is packed so."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.entropy import pack_bits, packed_checkpoint, unpack_bits
from arpc_codec.errors import FormatError


@given(st.integers(0, 2**32), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 16))
@settings(max_examples=60)
def test_values_come_back(seed: int, shape: list[int], bits: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << bits, shape)
    packed = pack_bits(values, bits)
    assert len(packed) == -(-values.size * bits // 8)
    assert np.array_equal(unpack_bits(packed, tuple(shape), bits), values)
    for other in (packed[:-1], packed + b"\0"):
        with pytest.raises(FormatError, match="do not hold"):
            unpack_bits(other, tuple(shape), bits)


def test_the_highest_bit_comes_first() -> None:
    assert pack_bits(np.array([1, 1023, 512]), 10) == bytes([0b00000000, 0b01111111, 0b11111000, 0b00000000])


def test_checkpoint_of_packed_bits_is_a_crc8() -> None:
    """Its known value, 0xF4 for the digits 1 to 9, is for a start of 0."""
    start = packed_checkpoint(b"f" * 32, 4, b"")
    assert start == zlib.crc32(b"f" * 32 + b"\x04") & 0xFF
    assert packed_checkpoint(b"f" * 32, 4, bytes([start]) + b"123456789") == 0xF4


def test_damage_within_eight_adjacent_bits_is_always_noticed() -> None:
    packed = bytes(range(40, 100))
    wanted = packed_checkpoint(b"", 0, packed)
    whole = int.from_bytes(packed, "big")
    for position in range(8 * len(packed) - 7):
        for pattern in range(1, 256):
            damaged = (whole ^ pattern << position).to_bytes(len(packed), "big")
            assert packed_checkpoint(b"", 0, damaged) != wanted
