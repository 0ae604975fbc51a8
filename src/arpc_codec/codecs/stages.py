"""One ProGIC stage <-> its packed segment: indices of one width in raster order, then a check byte."""

from __future__ import annotations

import numpy as np

from ..entropy import pack_bits, packed_checkpoint, unpack_bits
from ..errors import FormatError


def index_bits(entries: int) -> int:
    """Bits of an index into a codebook."""
    return (entries - 1).bit_length()


def packed_size(shape: tuple[int, int], entries: int) -> int:
    """Bytes of the packed segment of a stage of this shape."""
    return -(-shape[0] * shape[1] * index_bits(entries) // 8) + 1


def check_byte(indices_hw: np.ndarray, entries: int, fingerprint: bytes, stage: int) -> bytes:
    """The last byte of the segment of a stage, whichever form it has."""
    return bytes([packed_checkpoint(fingerprint, stage, pack_bits(indices_hw, index_bits(entries)))])


def write_stage(indices_hw: np.ndarray, entries: int, fingerprint: bytes, stage: int) -> bytes:
    """The packed segment of the indices of a stage, which counts from 0."""
    return pack_bits(indices_hw, index_bits(entries)) + check_byte(indices_hw, entries, fingerprint, stage)


def read_stage(segment: bytes, shape: tuple[int, int], entries: int, fingerprint: bytes, stage: int) -> np.ndarray:
    """int32 indices of that shape. Raises FormatError for what `write_stage` cannot have written."""
    packed, check = segment[:-1], segment[-1:]
    indices_hw = unpack_bits(packed, shape, index_bits(entries))
    if check != bytes([packed_checkpoint(fingerprint, stage, packed)]):
        raise FormatError("the check byte is wrong")
    if int(indices_hw.max()) >= entries:
        raise FormatError("an index is beyond the last entry")
    if pack_bits(indices_hw, index_bits(entries)) != packed:
        raise FormatError("bits that only fill up are not 0")
    return indices_hw
