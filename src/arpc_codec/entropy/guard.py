"""Bits coded with logits that no two machines compute alike: a coarse grid, and a list of the bits near its edges.

Each logit goes to the nearest row of a table of probabilities. Where two machines might choose different rows, because
the logit lies within a guard of the edge between them, the encoder's choice is listed ahead of the bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arpc_codec.entropy.bits import PROBABILITY_BITS, BitDecoder, BitEncoder
from arpc_codec.errors import ModelError, UsageError

Logits = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]

_ONE = 1 << PROBABILITY_BITS
# Distance of two rows. Finer rows cost fewer bits, but more of them are near an edge.
STEP = 0.5
# round(65536 / (1 + exp(-k / 2))) for k = 0, 1, ... 16, as integers because exp differs between machines.
_ABOVE = (
    *(32768, 40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357),
    *(64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514),
)
COUNTS = np.array([_ONE - count for count in _ABOVE[:0:-1]] + list(_ABOVE), np.int32)
_LAST = len(_ABOVE) - 1
# Of an edge and a logit both within a guard of it, noise makes at most two guards: less than half a step.
MAX_GUARD = STEP / 4
_EXPONENT_BITS = 4


def _edges(logits: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int32], Logits]:
    """(row below the nearest edge, distance to that edge, positive above it). ModelError for what is not finite."""
    units = logits.astype(np.float64) / STEP
    if not np.isfinite(units).all():
        raise ModelError("the prior computes logits that are no numbers")
    below = np.clip(np.floor(units), -_LAST, _LAST - 1)
    return (below + _LAST).astype(np.int32), (units - below - 0.5) * STEP


def grid_counts(logits: npt.NDArray[np.floating]) -> Counts:
    """P(bit = 1) as counts of 65536 of the rows nearest to logits of any shape."""
    below, distance = _edges(logits)
    return COUNTS[below + (distance >= 0)]


def encode_list(encoder: BitEncoder, logits: npt.NDArray[np.floating], guard: float) -> Counts:
    """List the bits whose logits [n] lie within `guard` of an edge; returns the counts [n] to code the bits with.

    Raises UsageError for a guard that is not in 0 .. MAX_GUARD, ModelError for logits that are not finite.
    """
    if not 0 <= guard < MAX_GUARD:
        raise UsageError(f"the guard must be at least 0 and less than {MAX_GUARD}, not {guard}")
    below, distance = _edges(logits)
    listed, sides = np.abs(distance) <= guard, (distance >= 0).astype(np.int32)
    count = int(listed.sum())
    _fair(encoder, [count > 0])
    if count:
        exponent = min(range(1 << _EXPONENT_BITS), key=lambda e: _cost(count, len(listed), e))
        _fair(encoder, [bool(exponent >> bit & 1) for bit in reversed(range(_EXPONENT_BITS))])
        encoder.encode(listed.astype(np.int32), np.full(len(listed), 1 << exponent, np.int32))
        _fair(encoder, sides[listed])
    return COUNTS[below + sides]


class GuardList:
    """What `encode_list` wrote for `size` bits, and with it the counts of these bits in order."""

    def __init__(self, decoder: BitDecoder, size: int) -> None:
        self.listed = np.zeros(size, bool)
        self.sides = np.zeros(size, np.int32)
        self._next = 0
        if not _read_fair(decoder, 1)[0]:
            return
        exponent = int(_read_fair(decoder, _EXPONENT_BITS) @ (1 << np.arange(_EXPONENT_BITS)[::-1]))
        self.listed = decoder.decode(np.full(size, 1 << exponent, np.int32)) > 0
        self.sides[self.listed] = _read_fair(decoder, int(self.listed.sum()))

    def counts(self, logits: npt.NDArray[np.floating]) -> Counts:
        """Counts [n] of the next n bits."""
        window = slice(self._next, self._next + len(logits))
        self._next = window.stop
        below, distance = _edges(logits)
        return COUNTS[below + np.where(self.listed[window], self.sides[window], distance >= 0)]


def _cost(count: int, size: int, exponent: int) -> float:
    """Bits that flags with P(1) = 2^exponent / 65536 take, `count` of `size` being set."""
    share = 2.0 ** (exponent - PROBABILITY_BITS)
    return float(-count * np.log2(share) - (size - count) * np.log2(1 - share))


def _fair(encoder: BitEncoder, bits: npt.ArrayLike) -> None:
    values = np.asarray(bits, np.int32)
    encoder.encode(values, np.full(len(values), _ONE // 2, np.int32))


def _read_fair(decoder: BitDecoder, size: int) -> npt.NDArray[np.int32]:
    return decoder.decode(np.full(size, _ONE // 2, np.int32))
