"""Value tables and stored tiles: exact round trips, refusal of damage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.codecs.stored import deflated, read_deflated
from arpc_codec.codecs.values import Values, choose, pack, read_values, unpack, write_values
from arpc_codec.container.cursor import Cursor
from arpc_codec.errors import FormatError

SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 4))


@given(st.integers(0, 2**32), SHAPES, st.integers(1, 16))
@settings(max_examples=60)
def test_tiles_come_back(seed: int, shape: tuple[int, int, int], bits: int) -> None:
    tile = np.random.default_rng(seed).integers(0, 1 << bits, shape).astype(np.int32)
    assert np.array_equal(read_deflated(deflated(tile, bits), shape, bits), tile)


@given(st.integers(0, 2**32), SHAPES, st.sampled_from([np.uint8, np.uint16]), st.integers(1, 40))
@settings(max_examples=60)
def test_values_come_back(seed: int, shape: tuple[int, int, int], dtype: type, step: int) -> None:
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(seed)
    samples = (rng.integers(0, top // step + 1, (shape[0] * 8, shape[1] * 8, shape[2])) * step).astype(dtype)
    values = choose(samples)
    packed = pack(samples, values)
    assert packed.max() < 1 << values.bits
    cursor = Cursor(write_values(values) + b"rest")
    again = read_values(cursor, shape[2], 8 * np.dtype(dtype).itemsize)
    assert cursor.remaining == 4
    assert np.array_equal(unpack(packed, again, dtype), samples)


def test_twelve_of_sixteen_bits_need_twelve() -> None:
    """What a camera writes: 12 bits, shifted up."""
    samples = (np.random.default_rng(0).integers(0, 4096, (256, 256, 1)) << 4).astype(np.uint16)
    assert choose(samples).bits == 12


def test_damage_is_refused() -> None:
    tile = np.arange(60, dtype=np.int32).reshape(4, 5, 3)
    for data in (b"", b"\1abc", deflated(tile, 8)[:-3], deflated(tile, 8) + b"x", b"\2" + deflated(tile, 8)[1:]):
        with pytest.raises(FormatError):
            read_deflated(data, tile.shape, 8)
    for data in (b"\0", b"\x09\0\0\0", b"\x08\3abc"):
        with pytest.raises(FormatError):
            read_values(Cursor(data), 1, 8)


@pytest.mark.parametrize("used", [None, np.array([0, 7, 9, 200])])
@pytest.mark.parametrize("number", [4, 255, 256])
def test_numbers_that_stand_for_no_value_are_refused(used: np.ndarray | None, number: int) -> None:
    packed, values = np.zeros((2, 3, 1), np.int32), Values((used,), 2)
    assert not unpack(packed, values, np.uint8).any()
    packed[1, 2, 0] = number
    with pytest.raises(FormatError):
        unpack(packed, values, np.uint8)


def test_gaps_by_chance_are_no_reason_to_pack() -> None:
    """Of a small deep picture most values do not occur, which says nothing about those that do."""
    rng = np.random.default_rng(0)
    noise = rng.normal(30000, 800, (64, 64, 3)).astype(np.uint16)
    assert choose(noise).used == (None,) * 3
    sparse = (noise // 97 * 97).astype(np.uint16)
    assert all(used is not None for used in choose(sparse).used)
