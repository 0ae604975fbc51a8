"""Unsigned LEB128, one spelling per number, at most 32 bits."""

from __future__ import annotations

from arpc_codec.errors import FormatError, UsageError

MAX_VARINT = 2**32 - 1
_MAX_BYTES = 5


class CutError(FormatError):
    """The bytes end inside a field, at least `missing` early: fatal in a header, a truncated file after it."""

    def __init__(self, text: str, missing: int = 1) -> None:
        super().__init__(text)
        self.missing = missing


def encode_varint(value: int) -> bytes:
    """Shortest LEB128 of 0 <= value < 2**32; UsageError outside that range."""
    if not 0 <= value <= MAX_VARINT:
        raise UsageError(f"{value} does not fit a 32-bit unsigned number")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, offset: int) -> tuple[int, int]:
    """(value, offset behind it); CutError when the bytes end inside it, FormatError unless minimal and 32-bit."""
    value = 0
    for index in range(_MAX_BYTES):
        if offset + index >= len(data):
            raise CutError(f"the file ends inside a number at byte {offset}")
        byte = data[offset + index]
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            if index and not byte:
                raise FormatError(f"number at byte {offset} is not in its shortest form")
            if value > MAX_VARINT:
                break
            return value, offset + index + 1
    raise FormatError(f"number at byte {offset} is larger than 32 bits")
