"""One byte per scale or stage that ties the decoded tokens to the model that coded them."""

from __future__ import annotations

import zlib

from arpc_codec.errors import UsageError

# x^8 + x^2 + x + 1, highest bit first, without its leading 1.
_POLYNOMIAL = 0x07


def checkpoint(fingerprint: bytes, scale: int, tokens: bytes) -> int:
    """Low byte of the CRC-32 of model fingerprint, scale index (0..255, one byte) and that scale's tokens."""
    if not 0 <= scale <= 255:
        raise UsageError(f"scale index {scale} is not in 0..255")
    return zlib.crc32(tokens, zlib.crc32(bytes([scale]), zlib.crc32(fingerprint))) & 0xFF


def packed_checkpoint(fingerprint: bytes, stage: int, packed: bytes) -> int:
    """CRC-8 of a stage's packed tokens that starts from the `checkpoint` of no tokens.

    A range coder spreads damage over all that follows; in packed bits it stays where it is. A CRC-8 notices all
    damage within eight adjacent bits, the low byte of a CRC-32 does not.
    """
    return crc8(checkpoint(fingerprint, stage, b""), packed)


def crc8(start: int, data: bytes) -> int:
    """CRC-8 of some bytes that starts from another, 0..255."""
    for byte in data:
        start = _CRC8[start ^ byte]
    return start


def crc8_start(end: int, data: bytes) -> int:
    """The start from which `crc8` of these bytes is `end`."""
    for byte in reversed(data):
        end = _BACK[end] ^ byte
    return end


def _crc8(byte: int) -> int:
    for _ in range(8):
        byte = byte << 1 ^ (0x100 | _POLYNOMIAL if byte & 0x80 else 0)
    return byte


_CRC8 = [_crc8(byte) for byte in range(256)]
# The table is a permutation, since the polynomial ends in 1.
_BACK = [_CRC8.index(byte) for byte in range(256)]
