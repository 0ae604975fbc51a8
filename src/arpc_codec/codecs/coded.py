"""What the entropy coder needs of one scale of one tile, kept until the whole picture is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from arpc_codec.entropy import BitEncoder, checkpoint
from arpc_codec.entropy.guard import encode_list
from arpc_codec.prior.context import PHASES, phase_mask
from arpc_codec.scales import Schedule

# A check byte comes behind as many coded tokens at least, and behind the last scale.
CHECKED_TOKENS = 16
# Bytes that a shelf takes at once: so many that the allocator keeps them apart from everything else.
_SLAB = 1 << 26

# (bits [n] bool, counts [n] uint16 or, of a guarded prior, logits [n]) of every call
Log = list[tuple[np.ndarray, np.ndarray]]


class Shelf:
    """Room for arrays that outlive a tile.

    Small arrays that stay, between the large ones that come and go with every tile, leave holes that the next large
    ones do not fit into: 6 GB for a picture of 8,000 x 8,000.
    """

    def __init__(self) -> None:
        self._slab, self._used = np.empty(0, np.uint8), 0

    def put(self, array: np.ndarray) -> np.ndarray:
        """A copy that stays."""
        size = -(-array.nbytes // 8) * 8
        if self._used + size > len(self._slab):
            self._slab, self._used = np.empty(max(_SLAB, size), np.uint8), 0
        place = self._slab[self._used : self._used + array.nbytes].view(array.dtype).reshape(array.shape)
        self._used += size
        place[...] = array
        return place


@dataclass(frozen=True)
class CodedScale:
    """bits [n] and values [n] of all binary decisions in order, of which `ends` are before the end of each phase.

    values: counts or, where `guarded`, logits of a prior that needs guard lists. packed: the tokens, eight bits a byte,
    of a `shape` [h, w, bits].
    """

    scale: int
    bits: np.ndarray
    values: np.ndarray
    ends: tuple[int, ...]
    packed: np.ndarray
    shape: tuple[int, int, int]
    guarded: bool = False

    @classmethod
    def of(cls, scale: int, logs: list[Log], tokens_hwd: Tensor, guarded: bool) -> CodedScale:
        """From the calls of each phase."""
        bits, values = (np.concatenate(part) for part in zip(*(call for log in logs for call in log), strict=True))
        ends = tuple(accumulate(sum(len(drawn) for drawn, _ in log) for log in logs))
        height, width, size = tokens_hwd.shape
        return cls(scale, bits, values, ends, np.packbits(tokens_hwd.cpu().numpy()), (height, width, size), guarded)

    @property
    def tokens_hwd(self) -> np.ndarray:
        """bool [h, w, bits]."""
        return np.unpackbits(self.packed, count=int(np.prod(self.shape))).view(bool).reshape(self.shape)

    def on(self, shelf: Shelf) -> CodedScale:
        """The same with its arrays on a shelf."""
        bits, values, packed = (shelf.put(array) for array in (self.bits, self.values, self.packed))
        return replace(self, bits=bits, values=values, packed=packed)

    def stream(self, check: int | None, phases: int = len(PHASES), guard: float = 0.0) -> bytes:
        """The sealed stream of the first `phases` phases, and a check byte if given; guard: as in `encode_list`."""
        encoder, end = BitEncoder(), self.ends[phases - 1]
        counts = encode_list(encoder, self.values[:end], guard) if self.guarded else self.values[:end]
        encoder.encode(self.bits[:end].astype(np.int32), counts)
        if check is not None:
            encoder.encode_byte(check)
        return encoder.seal()

    def grows(self, phases: int) -> bool:
        """Whether the last of so many phases has any token."""
        return self.ends[phases - 1] > (self.ends[phases - 2] if phases > 1 else 0)


def coded_positions(bits_hwd: Tensor, phases: int) -> Tensor:
    """[h, w] bool: the positions of the first `phases` phases."""
    height, width = bits_hwd.shape[:2]
    coded = torch.zeros(height, width, dtype=torch.bool, device=bits_hwd.device)
    for phase in range(phases):
        coded |= phase_mask(height, width, phase, bits_hwd.device)
    return coded


class Checks:
    """Check bytes of one tile, scale by scale: each covers all tokens since the one before it."""

    def __init__(self, fingerprint: bytes, schedule: Schedule) -> None:
        self.fingerprint, self.schedule = fingerprint, schedule
        self._first, self._tokens, self._count = 0, b"", 0

    def take(self, scale: int, bits_hwd: Tensor, phases: int = len(PHASES)) -> int | None:
        """The check byte behind a scale of which so many phases are coded, if there is one."""
        coded = coded_positions(bits_hwd, phases)
        packed = np.packbits((bits_hwd & coded[..., None]).cpu().numpy()).tobytes()
        if self._count:
            packed = self._tokens + bytes([scale]) + packed
        else:
            self._first = scale
        self._tokens, self._count = packed, self._count + int(coded.sum())
        if self._count < CHECKED_TOKENS and scale + 1 < len(self.schedule):
            return None
        self._count = 0
        return checkpoint(self.fingerprint, self._first, packed)


def segment(
    tile: Sequence[CodedScale], fingerprint: bytes, schedule: Schedule, phases: int = len(PHASES), guard: float = 0.0
) -> bytes:
    """The stream of the last of some scales of a tile, of which so many phases are sent."""
    checks = Checks(fingerprint, schedule)
    *before, last = tile[unchecked(schedule[: len(tile) - 1]) :]
    for scale in before:
        checks.take(scale.scale, torch.from_numpy(scale.tokens_hwd))
    return last.stream(checks.take(last.scale, torch.from_numpy(last.tokens_hwd), phases), phases, guard)


def unchecked(sizes: Schedule, phases: int = len(PHASES)) -> int:
    """Number from 0 of the first of some leading scales that no check byte covers; their count if there is none.

    phases: of the last one. The last scale of a picture has a check byte in any case.
    """
    first = tokens = 0
    for scale, (height, width) in enumerate(sizes, 1):
        last = scale == len(sizes)
        tokens += int(coded_positions(torch.empty(height, width, 0), phases).sum()) if last else height * width
        if tokens >= CHECKED_TOKENS:
            first, tokens = scale, 0
    return first
