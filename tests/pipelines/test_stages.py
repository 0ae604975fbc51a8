"""One ProGIC stage and its segment: any number of entries, and no damage that passes."""

from __future__ import annotations

import numpy as np
import pytest

from arpc_codec.codecs.stages import index_bits, read_stage, write_stage
from arpc_codec.entropy import pack_bits, packed_checkpoint
from arpc_codec.errors import FormatError

FINGERPRINT = bytes(range(32))


def random_indices(shape: tuple[int, int], entries: int) -> np.ndarray:
    return np.random.default_rng(entries).integers(0, entries, shape)


@pytest.mark.parametrize("entries", [2, 3, 1000, 1024, 1025, 65536])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 16)])
def test_indices_come_back(entries: int, shape: tuple[int, int]) -> None:
    indices = random_indices(shape, entries)
    indices[-1, -1] = entries - 1
    segment = write_stage(indices, entries, FINGERPRINT, 2)
    assert len(segment) == -(-indices.size * index_bits(entries) // 8) + 1
    assert np.array_equal(read_stage(segment, shape, entries, FINGERPRINT, 2), indices)


@pytest.mark.parametrize(("entries", "bits"), [(2, 1), (3, 2), (4, 2), (1000, 10), (1024, 10), (1025, 11)])
def test_bits_of_an_index(entries: int, bits: int) -> None:
    assert index_bits(entries) == bits


def test_every_changed_byte_is_damage() -> None:
    segment = write_stage(random_indices((2, 3), 1024), 1024, FINGERPRINT, 0)
    for at in range(len(segment)):
        for change in range(1, 256):
            damaged = segment[:at] + bytes([segment[at] ^ change]) + segment[at + 1 :]
            with pytest.raises(FormatError):
                read_stage(damaged, (2, 3), 1024, FINGERPRINT, 0)


def test_other_lengths_stages_and_models_are_damage() -> None:
    segment = write_stage(random_indices((2, 3), 1024), 1024, FINGERPRINT, 0)
    for wrong in (b"", segment[:1], segment[:-1], segment + b"\0"):
        with pytest.raises(FormatError):
            read_stage(wrong, (2, 3), 1024, FINGERPRINT, 0)
    for shape, fingerprint, stage in (((3, 3), FINGERPRINT, 0), ((2, 3), bytes(32), 0), ((2, 3), FINGERPRINT, 1)):
        with pytest.raises(FormatError):
            read_stage(segment, shape, 1024, fingerprint, stage)


@pytest.mark.parametrize("packed", [pack_bits(np.array([[5, 1000]]), 10), b"\x01\x40\x31"])
def test_what_a_right_check_cannot_excuse(packed: bytes) -> None:
    """An index beyond the last entry; fill bits that are not 0."""
    with pytest.raises(FormatError, match=r"entry|fill"):
        read_stage(packed + bytes([packed_checkpoint(FINGERPRINT, 0, packed)]), (1, 2), 1000, FINGERPRINT, 0)
