"""The symbol coder: round trips, refusals, damage, and the intervals that the specification gives its symbols."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arpc_codec.entropy.symbols import COUNT, SymbolDecoder, SymbolEncoder, probabilities
from arpc_codec.errors import FormatError, UsageError

WORD = 1 << 32


def message(seed: int, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.choice(COUNT - 1, (m - 1,), replace=False) + 1)
    row = np.diff(np.concatenate([[0], starts, [COUNT]]))
    counts = np.stack([rng.permutation(row) for _ in range(n)])
    return rng.integers(0, m, n).astype(np.int32), counts


def sealed(symbols: np.ndarray, counts: np.ndarray) -> bytes:
    encoder = SymbolEncoder()
    encoder.encode(symbols, probabilities(counts))
    return encoder.seal()


@given(st.integers(0, 2**32), st.integers(1, 200), st.integers(2, 66))
def test_round_trip_in_parts(seed: int, n: int, m: int) -> None:
    symbols, counts = message(seed, n, m)
    decoder = SymbolDecoder(sealed(symbols, counts))
    half = n // 2
    parts = [decoder.decode(probabilities(counts[:half])), decoder.decode(probabilities(counts[half:]))]
    assert np.array_equal(np.concatenate(parts), symbols)


@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(2, 33))
def test_the_shortest_string_is_decoded_and_no_shorter_one_is(seed: int, n: int, m: int) -> None:
    symbols, counts = message(seed, max(n, 1), m)
    symbols, counts = symbols[:n], counts[:n]
    encoder, chances = SymbolEncoder(), probabilities(counts)
    encoder.encode(symbols, chances)
    shortest = encoder.shortest()
    assert len(shortest) <= len(encoder.seal())
    assert np.array_equal(SymbolDecoder(shortest).decode(chances), symbols)
    if shortest:
        # All numbers that decode form an interval: only these two shorter ones are next to it.
        below = int.from_bytes(shortest[:-1], "big")
        for near in {below, min(below + 1, 256 ** (len(shortest) - 1) - 1)}:
            try:
                found = SymbolDecoder(near.to_bytes(len(shortest) - 1, "big")).decode(chances)
            except FormatError:
                continue
            assert not np.array_equal(found, symbols)


def test_intervals_are_those_of_the_specification() -> None:
    """A range decoder written from formats/arpc-v1.md reads the same symbols."""
    symbols, counts = message(5, 500, 66)
    data = sealed(symbols, counts)
    words = np.frombuffer(data + bytes(-len(data) % 4), ">u4").tolist() + [0] * 4
    low, width, point, place = 0, WORD * WORD - 1, words[0] * WORD + words[1], 2
    for symbol, row in zip(symbols, counts, strict=True):
        starts = [0, *np.cumsum(row)[:-1].tolist()]
        edges = [start * (2**24 - len(row)) // COUNT + j for j, start in enumerate(starts)] + [2**24]
        unit = width >> 24
        quantile = (point - low) % WORD**2 // unit
        found = max(j for j, edge in enumerate(edges) if edge <= quantile)
        assert found == symbol
        low, width = (low + unit * edges[found]) % WORD**2, unit * (edges[found + 1] - edges[found])
        if width < WORD:
            low, width = low * WORD % WORD**2, width * WORD
            point, place = (point * WORD + words[place]) % WORD**2, place + 1


@pytest.mark.parametrize(
    ("symbols", "counts"),
    [
        (np.zeros(1, np.int64), np.array([[1, COUNT - 1]])),
        (np.zeros(2, np.int32), np.array([[1, COUNT - 1]])),
        (np.array([2], np.int32), np.array([[1, COUNT - 1]])),
        (np.zeros(1, np.int32), np.array([[0, COUNT]])),
        (np.zeros(1, np.int32), np.array([[1, COUNT - 2]])),
        (np.zeros(1, np.int32), np.array([[0.5, 0.5]])),
        (np.zeros(1, np.int32), np.array([COUNT])),
    ],
)
def test_refused(symbols: np.ndarray, counts: np.ndarray) -> None:
    with pytest.raises(UsageError):
        SymbolEncoder().encode(symbols, probabilities(counts))


@given(st.binary(max_size=40), st.integers(0, 2**32))
def test_any_bytes_decode_or_are_refused(data: bytes, seed: int) -> None:
    _, counts = message(seed, 40, 8)
    try:
        found = SymbolDecoder(data).decode(probabilities(counts))
    except FormatError:
        return
    assert found.min() >= 0
    assert found.max() < 8
