"""One byte per scale that ties the decoded tokens to the model that coded them."""

from __future__ import annotations

import zlib

from arpc_codec.errors import UsageError


def checkpoint(fingerprint: bytes, scale: int, tokens: bytes) -> int:
    """Low byte of the CRC-32 of model fingerprint, scale index (0..255, one byte) and that scale's tokens."""
    if not 0 <= scale <= 255:
        raise UsageError(f"scale index {scale} is not in 0..255")
    return zlib.crc32(tokens, zlib.crc32(bytes([scale]), zlib.crc32(fingerprint))) & 0xFF
