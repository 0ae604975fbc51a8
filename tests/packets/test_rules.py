"""Which positions a packet holds, and the arithmetic of parities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.packets.parity import groups, protect, recover
from arpc_codec.packets.partition import partition, run, slant


def nearest(count: int, m: int) -> int:
    """Squared distance between the nearest positions of a packet, by looking at all of them."""
    side = range(-count, count + 1)
    return min(r * r + c * c for r in side for c in side if (c + m * r) % count == 0 and (r, c) != (0, 0))


@pytest.mark.parametrize("count", range(1, 14))
def test_positions_of_a_packet_are_as_far_apart_as_can_be(count: int) -> None:
    distances = [nearest(count, m) for m in range(count)]
    assert slant(count) == distances.index(max(distances))


@pytest.mark.parametrize("count", range(4, 200))
def test_a_lost_packet_leaves_every_hole_its_four_neighbours(count: int) -> None:
    owner = (np.arange(20)[None] + slant(count) * np.arange(20)[:, None]) % count
    assert not (owner[1:] == owner[:-1]).any()
    assert not (owner[:, 1:] == owner[:, :-1]).any()
    if count > 4:
        assert not (owner[1:, 1:] == owner[:-1, :-1]).any()
        assert not (owner[1:, :-1] == owner[:-1, 1:]).any()


@given(st.integers(1, 40), st.integers(1, 40), st.data(), st.booleans())
def test_packets_hold_every_position_once(rows: int, cols: int, data: st.DataObject, interleaved: bool) -> None:
    count = data.draw(st.integers(1, rows * cols + 9))
    parts = partition(rows, cols, count, interleaved)
    held = [parts.positions(number) for number in range(count)]
    assert sorted(np.concatenate(held).tolist()) == list(range(rows * cols))
    assert parts.largest == max(map(len, held))
    for number, positions in enumerate(held):
        assert (np.diff(positions) > 0).all()
        if interleaved:
            row, col = np.divmod(positions, cols)
            assert ((col + slant(count) * row) % count == number).all()


def test_runs_are_nearly_equal() -> None:
    for length in range(1, 40):
        for count in range(1, length + 1):
            runs = [run(length, count, number) for number in range(count)]
            assert [part.stop for part in runs] == [*(part.start for part in runs[1:]), length]
            assert {part.stop - part.start for part in runs} <= {length // count, -(-length // count)}


@settings(max_examples=60)
@given(st.integers(1, 128), st.integers(1, 20), st.data())
def test_any_as_many_packets_give_back_the_others(count: int, length: int, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    members = rng.integers(0, 256, (count, length)).astype(np.uint8)
    lost = rng.choice(count, data.draw(st.integers(1, count)), replace=False)
    parities = rng.choice(128, len(lost), replace=False)
    there = {number: members[number] for number in range(count) if number not in lost}
    sums = {int(parity): protect(members, int(parity)) for parity in parities}
    back = recover(count, there, sums)
    assert sorted(back) == sorted(lost.tolist())
    assert all(np.array_equal(content, members[number]) for number, content in back.items())
    sums.popitem()
    assert recover(count, there, sums) == {}


def product(a: int, b: int) -> int:
    """In GF(2^8), bit by bit."""
    total = 0
    for bit in range(8):
        if b >> bit & 1:
            total ^= a << bit
    for bit in range(14, 7, -1):
        if total >> bit & 1:
            total ^= 0x11D << (bit - 8)
    return total


def test_parity_as_the_specification_says() -> None:
    members = np.array([[1, 0, 255], [7, 80, 3], [0, 0, 200]], np.uint8)
    for parity in (0, 5, 127):
        total = [0, 0, 0]
        for j, content in enumerate(members.tolist()):
            factor = next(x for x in range(256) if product(x, (128 + parity) ^ j) == 1)
            total = [t ^ product(factor, byte) for t, byte in zip(total, content, strict=True)]
        assert protect(members, parity).tolist() == total


def test_groups() -> None:
    assert [groups(count) for count in (1, 128, 129, 256, 257)] == [1, 1, 2, 2, 3]
