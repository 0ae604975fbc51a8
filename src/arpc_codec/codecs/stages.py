"""One ProGIC stage <-> its packed segment: indices of one width in raster order and a check byte (formats/arpc-v1.md).

In a file with holes a map of the positions that arrived comes first, and only their indices follow. Here the index of
a position that is absent is ABSENT.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np

from arpc_codec.entropy import pack_bits, packed_checkpoint, unpack_bits
from arpc_codec.errors import FormatError

ABSENT = -1


def index_bits(entries: int) -> int:
    """Bits of an index into a codebook."""
    return (entries - 1).bit_length()


def pack_stage(indices_hw: np.ndarray, bits: int, holes: bool = False) -> bytes:
    """The segment of a stage without its check byte; `holes` says that it begins with a map."""
    if not holes:
        return pack_bits(indices_hw, bits)
    there_hw = indices_hw != ABSENT
    return pack_bits(there_hw, 1) + pack_bits(indices_hw[there_hw], bits)


def unpack_stage(packed: bytes, shape: tuple[int, int], bits: int, holes: bool = False) -> np.ndarray:
    """int32 indices of that shape; undoes `pack_stage`. Raises FormatError for what it cannot have written."""
    if holes:
        map_bytes = -(-shape[0] * shape[1] // 8)
        there_hw = unpack_bits(packed[:map_bytes], shape, 1) == 1
        indices_hw = np.full(shape, ABSENT, np.int32)
        indices_hw[there_hw] = unpack_bits(packed[map_bytes:], (int(there_hw.sum()),), bits)
    else:
        indices_hw = unpack_bits(packed, shape, bits)
    if pack_stage(indices_hw, bits, holes) != packed:
        raise FormatError("bits that only fill up are not 0")
    return indices_hw


def packed_size(shape: tuple[int, int], entries: int) -> int:
    """Bytes of the packed segment of a stage of this shape without holes."""
    return -(-shape[0] * shape[1] * index_bits(entries) // 8) + 1


def check_byte(packed: bytes, fingerprint: bytes, stage: int) -> bytes:
    """The last byte of the segment of a stage, whichever form it has; `packed`: what `pack_stage` makes of it."""
    return bytes([packed_checkpoint(fingerprint, stage, packed)])


def write_stage(indices_hw: np.ndarray, entries: int, fingerprint: bytes, stage: int) -> bytes:
    """The packed segment of the indices of a stage, which counts from 0."""
    packed = pack_stage(indices_hw, index_bits(entries))
    return packed + check_byte(packed, fingerprint, stage)


def read_stage(
    segment: bytes, shape: tuple[int, int], entries: int, fingerprint: bytes, stage: int, holes: bool = False
) -> np.ndarray:
    """int32 indices of that shape. Raises FormatError for what no writer of stages can have written."""
    packed, check = segment[:-1], segment[-1:]
    indices_hw = unpack_stage(packed, shape, index_bits(entries), holes)
    if check != check_byte(packed, fingerprint, stage):
        raise FormatError("the check byte is wrong")
    if int(indices_hw.max()) >= entries:
        raise FormatError("an index is beyond the last entry")
    if int(indices_hw.max()) == ABSENT:
        raise FormatError("it has no position")
    return indices_hw


def lost_positions(depth_hw: np.ndarray, stages: int) -> tuple[int, ...]:
    """Per stage how many positions lack it, from how many stages each position has."""
    return tuple(int((depth_hw < stage).sum()) for stage in range(1, stages + 1))


def describe_lost(lost: tuple[int, ...], positions: int) -> str:
    """What stages lack, for people; nothing when they lack nothing."""
    parts = []
    for count, group in groupby(range(1, len(lost) + 1), key=lambda stage: lost[stage - 1]):
        first, *others = group
        if count:
            parts.append(f"stages {first}-{others[-1]} lack {count}" if others else f"stage {first} lacks {count}")
    return f"of {positions} positions {', '.join(parts)}" if parts else ""
