"""Tail chunks: metadata behind the payload, the exception rather than the rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from arpc_codec.container.cursor import Cursor
from arpc_codec.container.varint import encode_varint
from arpc_codec.errors import FormatError, UnsupportedError, UsageError

_CRITICAL = 0x80
_MAX_COUNT = 127


class ChunkType(IntEnum):
    """Chunk types of version 1; bit 7 says that a reader must understand the chunk."""

    ICC = 0x01
    EXIF = 0x02
    XMP = 0x03
    ALPHA = 0x84
    CICP = 0x06
    GAMA = 0x07
    CHRM = 0x08
    SRGB = 0x09
    RESOLUTION = 0x0A
    TEXTS = 0x0B
    IPTC = 0x0C


@dataclass(frozen=True)
class Chunk:
    """One tail chunk; `type` is a ChunkType or the byte of an ancillary type unknown to this version."""

    type: int
    data: bytes

    @property
    def name(self) -> str:
        """Lower-case name of a known type, `chunk 0x..` of any other."""
        return ChunkType(self.type).name.lower() if self.type in set(ChunkType) else f"chunk {self.type:#04x}"


def encode_chunks(chunks: Iterable[Chunk]) -> bytes:
    """Count and chunks in canonical order, b"" for none; UsageError on a bad or repeated type."""
    ordered = sorted(chunks, key=lambda chunk: _order(chunk.type))
    out = bytearray(encode_varint(len(ordered)) if ordered else b"")
    previous = 0
    for chunk in ordered:
        problem = _problem(chunk.type, previous)
        if problem or not 0 <= chunk.type <= 255 or _is_unknown_critical(chunk.type):
            raise UsageError(problem or f"chunk type {chunk.type:#04x} cannot be written")
        previous = _order(chunk.type)
        out += bytes([chunk.type]) + encode_varint(len(chunk.data)) + chunk.data
    return bytes(out)


def parse_chunks(cursor: Cursor) -> Iterator[Chunk]:
    """Chunks as they become complete; CutError when the bytes end, FormatError or UnsupportedError as due."""
    count = cursor.varint()
    if not 1 <= count <= _MAX_COUNT:
        raise FormatError(f"{count} tail chunks: 1..{_MAX_COUNT} allowed")
    cursor.mark("chunk count", str(count), "metadata")
    previous = 0
    for _ in range(count):
        type_ = cursor.byte()
        problem = _problem(type_, previous)
        if problem:
            raise FormatError(problem)
        if _is_unknown_critical(type_):
            raise UnsupportedError(f"unknown critical chunk {type_:#04x}")
        previous = _order(type_)
        size = cursor.varint()
        name = Chunk(type_, b"").name
        cursor.mark(f"{name} head", f"type {type_:#04x}, {size} B", "metadata")
        chunk = Chunk(type_, cursor.take(size))
        cursor.mark(name, "data", "metadata")
        yield chunk


def _order(type_: int) -> int:
    return type_ & ~_CRITICAL


def _is_unknown_critical(type_: int) -> bool:
    return bool(type_ & _CRITICAL) and type_ not in set(ChunkType)


def _problem(type_: int, previous: int) -> str | None:
    """Why a chunk of this type may not follow `previous`; None when it may."""
    if _order(type_) <= previous:
        return f"chunk type {type_:#04x} is zero, repeated or out of order"
    if any(_order(type_) == _order(known) and type_ != known for known in ChunkType):
        return f"chunk type {type_:#04x} has the wrong critical bit"
    return None
