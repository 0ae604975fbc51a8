"""Guard lists: noise within the guard never changes a bit, whatever the logits; without the list it does."""

from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.entropy import BitDecoder, BitEncoder
from arpc_codec.entropy.guard import COUNTS, MAX_GUARD, STEP, GuardList, encode_list, grid_counts
from arpc_codec.errors import ModelError, UsageError


def near_edges(size: int, guard: float, rng: np.random.Generator) -> np.ndarray:
    """Logits [size], half of them at, or about one or two guards away from, an edge or the ends of the grid."""
    logits = rng.normal(0, 3, size)
    edges = rng.integers(-20, 20, size) * STEP + STEP / 2
    close = edges + guard * rng.choice([-2, -1.001, -1, -0.999, -0.5, 0, 0.5, 0.999, 1, 1.001, 2], size)
    return np.where(rng.random(size) < 0.5, close, logits)


def across(logits: np.ndarray, guard: float) -> np.ndarray:
    """Each logit moved towards, and where the guard suffices just over, the nearest edge."""
    distance = (logits / STEP - np.floor(logits / STEP) - 0.5) * STEP
    return logits - np.clip(distance * 1.001, -guard, guard)


def coded(logits: np.ndarray, bits: np.ndarray, guard: float) -> bytes:
    encoder = BitEncoder()
    encoder.encode(bits, encode_list(encoder, logits, guard))
    return encoder.seal()


def decoded(data: bytes, logits: np.ndarray, parts: int) -> np.ndarray:
    """Read in several calls, as phases are."""
    decoder = BitDecoder(data)
    guards = GuardList(decoder, len(logits))
    return np.concatenate([decoder.decode(guards.counts(part)) for part in np.array_split(logits, parts)])


def test_the_table_is_the_rounded_sigmoid() -> None:
    getcontext().prec = 50
    for row, count in zip(range(-16, 17), COUNTS, strict=True):
        assert count == int((65536 / (1 + (Decimal(-row) / 2).exp())).to_integral_value()), row
    assert np.array_equal(grid_counts(np.arange(-16, 17) * 0.5), COUNTS)
    assert np.array_equal(grid_counts(np.array([-1e30, -8.1, 0.2499, 0.25, 8.1, 1e30])), COUNTS[[0, 0, 16, 17, 32, 32]])


@settings(max_examples=300)
@given(
    st.integers(0, 2**32),
    st.integers(1, 400),
    # A millionth of the smallest is still more than float64 rounds a logit of 8 by: noise stays within the guard.
    st.just(0.0) | st.floats(1e-8, MAX_GUARD, exclude_max=True),
    st.booleans(),
)
def test_noise_within_the_guard_is_harmless(seed: int, size: int, guard: float, worst: bool) -> None:
    rng = np.random.default_rng(seed)
    logits = near_edges(size, guard, rng)
    bits = rng.integers(0, 2, size).astype(np.int32)
    moved = across(logits, guard * 0.999999) if worst else logits + rng.uniform(-0.999999, 0.999999, size) * guard
    assert np.array_equal(decoded(coded(logits, bits, guard), moved, 1 + seed % 5), bits)


def test_many_seeds_of_noise() -> None:
    rng = np.random.default_rng(1)
    logits = near_edges(2000, 1e-3, rng)
    bits = rng.integers(0, 2, 2000).astype(np.int32)
    data = coded(logits, bits, 1e-3)
    for _ in range(200):
        assert np.array_equal(decoded(data, logits + rng.uniform(-1, 1, 2000) * 0.999999e-3, 4), bits)


def test_without_the_list_the_same_noise_does_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    logits = near_edges(400, 1e-3, rng)
    bits = (rng.random(400) < 0.5).astype(np.int32)
    moved = across(logits, 0.999e-3)
    data = coded(logits, bits, 1e-3)
    assert np.array_equal(decoded(data, moved, 1), bits)
    assert not np.array_equal(decoded(coded(logits, bits, 0.0), moved, 1), bits)
    monkeypatch.setattr(GuardList, "counts", lambda self, values: grid_counts(values))
    assert not np.array_equal(decoded(data, moved, 1), bits)


def test_lists_cost_what_their_items_inform() -> None:
    """A few percent above log2 of the ways to choose the items, and one bit for each side."""
    rng = np.random.default_rng(3)
    logits = rng.uniform(-8, 8, 50_000)
    for guard in (1e-4, 1e-3, 1e-2):
        encoder = BitEncoder()
        encode_list(encoder, logits, guard)
        share = 2 * guard / STEP
        ideal = len(logits) * (-share * np.log2(share) - (1 - share) * np.log2(1 - share) + share)
        assert abs(8 * len(encoder.seal()) / ideal - 1) < 0.3
    empty = BitEncoder()
    assert np.array_equal(encode_list(empty, np.zeros(9), 0.1), np.full(9, 32768))
    assert len(empty.seal()) <= 1


@pytest.mark.parametrize("guard", [-1e-9, MAX_GUARD, 1.0, float("nan")])
def test_guards_out_of_range_are_refused(guard: float) -> None:
    with pytest.raises(UsageError, match="guard"):
        encode_list(BitEncoder(), np.zeros(3), guard)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(ModelError, match="no numbers"):
        grid_counts(np.array([0.0, value]))
