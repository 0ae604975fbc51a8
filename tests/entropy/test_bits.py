"""The bit coder: round trips, shortest sealing, refusals, damage."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arpc_codec.entropy import BitDecoder, BitEncoder, bits_cost, checkpoint
from arpc_codec.errors import FormatError, UsageError

CALLS = st.lists(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 65535)), max_size=60), max_size=4)


def arrays(call: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([bit for bit, _ in call], np.int32), np.array([count for _, count in call], np.int64)


def sample(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Bits drawn from the very probabilities they are coded with."""
    rng = np.random.default_rng(seed)
    p1 = np.clip((rng.beta(0.5, 0.5, size) * 65536).astype(np.int64), 1, 65535)
    return (rng.random(size) * 65536 < p1).astype(np.int32), p1


def sealed(*calls: tuple[np.ndarray, np.ndarray]) -> bytes:
    encoder = BitEncoder()
    for bits, p1 in calls:
        encoder.encode(bits, p1)
    return encoder.seal()


@given(CALLS, st.integers(0, 255))
def test_round_trip_in_calls_of_any_size(calls: list[list[tuple[int, int]]], byte: int) -> None:
    encoder = BitEncoder()
    for call in calls:
        encoder.encode(*arrays(call))
        encoder.encode_byte(byte)
    decoder = BitDecoder(encoder.seal())
    for call in calls:
        bits, p1 = arrays(call)
        assert np.array_equal(decoder.decode(p1), bits)
        assert decoder.decode_byte() == byte


def decodes(data: bytes, bits: np.ndarray, p1: np.ndarray) -> bool:
    try:
        return np.array_equal(BitDecoder(data).decode(p1), bits)
    except FormatError:
        return False


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 65535)), max_size=40))
def test_no_neighbour_one_byte_shorter_decodes(call: list[tuple[int, int]]) -> None:
    bits, p1 = arrays(call)
    data = sealed((bits, p1))
    assert decodes(data, bits, p1)
    if data:
        size = len(data) - 1
        below = int.from_bytes(data[:-1], "big")
        for number in range(max(0, below - 2), min(256**size, below + 3)):
            assert not decodes(number.to_bytes(size, "big"), bits, p1)


@pytest.mark.parametrize("seed", range(12))
def test_no_shorter_string_at_all_decodes(seed: int) -> None:
    bits, p1 = sample(seed, 24)
    data = sealed((bits, p1))
    for size in range(min(len(data), 3)):
        assert not any(decodes(number.to_bytes(size, "big"), bits, p1) for number in range(256**size))


def test_size_is_within_a_byte_of_the_ideal_on_average() -> None:
    excess = []
    for seed in range(100):
        bits, p1 = sample(seed, 50 * seed)
        excess.append(8 * len(sealed((bits, p1))) - bits_cost(bits, p1))
    assert np.mean(excess) < 6
    assert max(excess) < 16


@pytest.mark.parametrize("bit", [0, 1])
@pytest.mark.parametrize("count", [1, 32768, 65535])
def test_constant_streams(bit: int, count: int) -> None:
    bits, p1 = np.full(3000, bit, np.int32), np.full(3000, count)
    data = sealed((bits, p1))
    assert np.array_equal(BitDecoder(data).decode(p1), bits)
    assert 8 * len(data) <= bits_cost(bits, p1) + 16


def test_nothing_seals_to_nothing_and_sealing_is_repeatable() -> None:
    assert BitEncoder().seal() == b""
    encoder = BitEncoder()
    encoder.encode_byte(0x5A)
    assert encoder.seal() == encoder.seal() == b"\x5a"
    encoder.encode_byte(0xA5)
    assert encoder.seal() == b"\x5a\xa5"


def test_bytes_are_golden() -> None:
    """A change here is a change of the format."""
    bits, p1 = np.arange(64, dtype=np.int32) % 3 // 2, np.arange(64) * 1000 + 500
    assert sealed((bits, p1)).hex() == "f6f1e3d4eddb9f6e5a7985"


def test_memory_layout_and_integer_type_do_not_matter() -> None:
    bits, p1 = sample(3, 400)
    strided = np.repeat(bits, 2)[::2], np.repeat(p1, 2)[::2].astype(np.uint16)
    assert sealed(strided) == sealed((bits, p1))
    assert np.array_equal(BitDecoder(sealed((bits, p1))).decode(strided[1]), bits)


ZEROS, HALVES = np.zeros(4, np.int32), np.full(4, 32768)


@pytest.mark.parametrize(
    ("bits", "p1"),
    [
        (ZEROS.astype(np.int64), HALVES),
        (ZEROS + 2, HALVES),
        (ZEROS - 1, HALVES),
        (ZEROS.reshape(2, 2), HALVES.reshape(2, 2)),
        (ZEROS, HALVES[:3]),
        (ZEROS, HALVES.astype(np.float64)),
        (ZEROS, HALVES * 0),
        (ZEROS, HALVES * 2),
        (ZEROS, np.full(4, np.nan)),
        ([0] * 4, HALVES),
        (ZEROS, [32768] * 4),
    ],
)
def test_encode_refuses(bits: np.ndarray, p1: np.ndarray) -> None:
    with pytest.raises(UsageError):
        BitEncoder().encode(bits, p1)
    with pytest.raises(UsageError):
        bits_cost(bits, p1)


@pytest.mark.parametrize("p1", [HALVES * 2, HALVES * 0, HALVES / 65536, HALVES.reshape(2, 2), [32768]])
def test_decode_refuses(p1: np.ndarray) -> None:
    with pytest.raises(UsageError):
        BitDecoder(b"1234").decode(p1)


@pytest.mark.parametrize("value", [-1, 256])
def test_encode_byte_refuses(value: int) -> None:
    with pytest.raises(UsageError):
        BitEncoder().encode_byte(value)


def test_damage_gives_bits_or_a_format_error() -> None:
    bits, p1 = sample(7, 2000)
    data = sealed((bits, p1))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(data[: rng.integers(0, len(data) + 1)] + rng.bytes(2))
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        try:
            decoded = BitDecoder(bytes(damaged)).decode(p1)
        except FormatError:
            refused += 1
            continue
        assert decoded.dtype == np.int32
        assert decoded.shape == p1.shape
        assert set(np.unique(decoded)) <= {0, 1}
    assert refused


class _PanicException(BaseException):
    pass


_PanicException.__name__ = "PanicException"


@pytest.mark.parametrize(
    ("raised", "seen"), [(_PanicException(), FormatError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_rust_panics_become_format_errors(raised: BaseException, seen: type[BaseException]) -> None:
    class Broken:
        def decode(self, *_: object) -> None:
            raise raised

    decoder = BitDecoder(b"")
    decoder._coder = Broken()
    with pytest.raises(seen):
        decoder.decode(HALVES)


def test_cost_counts_bits() -> None:
    assert bits_cost(np.array([1, 0, 1], np.int32), np.array([32768, 16384, 16384])) == pytest.approx(
        1 + np.log2(4 / 3) + 2
    )
    assert bits_cost(np.zeros(0, np.int32), np.zeros(0, np.int64)) == 0


def test_checkpoint_depends_on_all_it_is_given() -> None:
    values = {
        checkpoint(fingerprint, scale, tokens)
        for fingerprint in (b"a" * 32, b"b" * 32)
        for scale in (0, 1)
        for tokens in (b"", b"\0", b"\1")
    }
    assert len(values) == 12
    assert checkpoint(b"a" * 32, 3, b"tokens") == zlib.crc32(b"a" * 32 + b"\x03tokens") & 0xFF
    with pytest.raises(UsageError):
        checkpoint(b"", 256, b"")
