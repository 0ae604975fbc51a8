"""Bits <-> bytes with the range coder; probabilities are integer counts, so nothing is rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from arpc_codec.entropy.rangecoder import BERNOULLI, RangeEncoder, guarded, range_decoder
from arpc_codec.errors import FormatError, UsageError

PROBABILITY_BITS = 16
_ONE = 1 << PROBABILITY_BITS

Bits = npt.NDArray[np.int32]
Counts = npt.NDArray[np.integer[Any]]


class BitEncoder:
    """Collects bits with their probabilities and seals them to the shortest byte string that decodes."""

    def __init__(self) -> None:
        self._coder = RangeEncoder()
        self._bits: list[Bits] = []
        self._p1: list[npt.NDArray[np.float64]] = []

    def encode(self, bits: Bits, p1: Counts) -> None:
        """Append int32 bits (n,) of 0 and 1 with P(bit = 1) = p1 / 65536, integers (n,) in 1..65535.

        UsageError on any other dtype, shape or value.
        """
        bits = _checked_bits(bits, p1)
        probabilities = _probabilities(p1)
        self._coder.encode(bits, BERNOULLI, probabilities)
        self._bits.append(bits)
        self._p1.append(probabilities)

    def encode_byte(self, value: int) -> None:
        """Append 0..255 as eight fair bits, highest first; UsageError outside that range."""
        if not 0 <= value <= 255:
            raise UsageError(f"{value} is not a byte")
        self.encode(np.array([value >> shift & 1 for shift in range(7, -1, -1)], np.int32), _fair_byte())

    def seal(self) -> bytes:
        """The shortest byte string whose zero-padded decoding gives back every bit so far; b"" for no bits.

        The string is found by decoding candidates, so whatever it returns is known to decode.
        """
        if not self._bits:
            return b""
        bits, p1 = np.concatenate(self._bits), np.concatenate(self._p1)
        best = self._coder.get_compressed().astype(">u4").tobytes()
        # A size that decodes implies every larger one, and the least is nearly always a few bytes from the
        # end: step back in doubling strides until one fails, then bisect.
        fails, stride = -1, 1
        while len(best) - fails > 1:
            size = max(0, len(best) - stride) if fails < 0 else (len(best) + fails) // 2
            shorter = _shortened(best, size, bits, p1)
            if shorter is None:
                fails = size
            else:
                best, stride = shorter, 2 * stride
        return best


class BitDecoder:
    """Reads back, in the order of encoding, what a BitEncoder sealed."""

    def __init__(self, data: bytes) -> None:
        self._coder = range_decoder(data)

    def decode(self, p1: Counts) -> Bits:
        """The next int32 bits (n,) for the counts (n,) they were encoded with.

        UsageError on bad counts, FormatError when the bytes are impossible; other damage passes unnoticed.
        """
        return guarded(self._coder, BERNOULLI, _probabilities(p1))

    def decode_byte(self) -> int:
        """The next value written by `encode_byte`; FormatError as `decode`."""
        return int(np.packbits(self.decode(_fair_byte()).astype(np.uint8))[0])


def bits_cost(bits: Bits, p1: Counts) -> float:
    """Ideal cost in bits of coding `bits` with counts `p1`; same checks as `BitEncoder.encode`."""
    bits = _checked_bits(bits, p1)
    probabilities = _probabilities(p1)
    return float(-np.log2(np.where(bits == 1, probabilities, 1 - probabilities)).sum())


def _fair_byte() -> Counts:
    return np.full(8, _ONE // 2, np.int32)


def _decodes(data: bytes, p1: npt.NDArray[np.float64], bits: Bits) -> bool:
    try:
        return bool(np.array_equal(guarded(range_decoder(data), BERNOULLI, p1), bits))
    except FormatError:
        return False


def _shortened(whole: bytes, size: int, bits: Bits, p1: npt.NDArray[np.float64]) -> bytes | None:
    """A string of `size` bytes that decodes like the longer `whole`; None when there is none.

    All numbers that decode form an interval around `whole`, so only its two neighbours of that size can.
    """
    below = whole[:size]
    candidates = [below]
    if below.strip(b"\xff"):
        candidates.append((int.from_bytes(below, "big") + 1).to_bytes(size, "big"))
    return next((candidate for candidate in candidates if _decodes(candidate, p1, bits)), None)


def _checked_bits(bits: Bits, p1: Counts) -> Bits:
    """Contiguous bits; UsageError unless they are int32, one-dimensional, 0 or 1, and as many as `p1`."""
    if not isinstance(bits, np.ndarray) or bits.dtype != np.int32 or bits.ndim != 1:
        raise UsageError("bits must be a one-dimensional int32 array")
    if bits.shape != np.shape(p1):
        raise UsageError(f"{bits.size} bits with probabilities of shape {np.shape(p1)}")
    if bits.size and (bits.min() < 0 or bits.max() > 1):
        raise UsageError("bits must be 0 or 1")
    return np.ascontiguousarray(bits)


def _probabilities(p1: Counts) -> npt.NDArray[np.float64]:
    """Contiguous float64 P(bit = 1); exact, because a 16-bit count over 2**16 is."""
    if not isinstance(p1, np.ndarray) or p1.dtype.kind not in "iu" or p1.ndim != 1:
        raise UsageError("probabilities must be a one-dimensional integer array of counts")
    if p1.size and (p1.min() < 1 or p1.max() >= _ONE):
        raise UsageError(f"counts must be in 1..{_ONE - 1}")
    return np.ascontiguousarray(p1, np.float64) / _ONE
