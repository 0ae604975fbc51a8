"""Bytes <-> Container: one canonical form out, every limit checked on the way in."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

from arpc_codec.container.chunks import Chunk, ChunkType, encode_chunks, parse_chunks
from arpc_codec.container.cursor import Cursor, Field
from arpc_codec.container.header import Codec, Header, encode_header, parse_header
from arpc_codec.container.varint import CutError, encode_varint
from arpc_codec.errors import FormatError, TruncatedError, UnsupportedError, UsageError, whole_number

MAX_PIXELS = 2**29
FILE_CHECK_BYTES = 4
_NO_ALPHA = "an alpha plane beside a lossless picture, which has it as a channel"


class CutHeaderError(FormatError):
    """Not even the header is whole."""


@dataclass(frozen=True)
class Container:
    """A parsed file; `truncated` means that segments, chunks or a file check which the header announces are missing.

    rest: what arrived of a segment that was cut. missing: before so many bytes follow, nothing more is whole. sound:
    False when the file check of an HPAC file is wrong; all else was parsed, since most of the picture may be good.
    """

    header: Header
    segments: tuple[bytes, ...]
    chunks: tuple[Chunk, ...] = ()
    truncated: bool = False
    rest: bytes = b""
    sound: bool = True
    missing: int = 0

    @property
    def lacks(self) -> str:
        """What a file that is cut or has holes lacks; nothing when it is whole."""
        there, sent = len(self.segments), self.header.scales
        if self.truncated and self.header.lossless is not None:
            return "truncated: part of the lossless picture is missing"
        if self.truncated:
            arrived = f"{there} of {sent} {self.header.codec.noun}s arrived"
            return f"truncated: {arrived if there < sent else 'metadata at its end is missing'}"
        return "the file has holes: packets were lost" * self.header.holes


def write(container: Container) -> bytes:
    """The file's bytes, the same for equal containers; UsageError when it cannot be written."""
    header = container.header
    if container.truncated or len(container.segments) != header.scales:
        raise UsageError(f"{header.scales} segments announced, {len(container.segments)} to write")
    if not container.sound:
        raise UsageError("a damaged file would get a check that says it is good")
    if header.codec is Codec.HPAC and any(chunk.type == ChunkType.ALPHA for chunk in container.chunks):
        raise UsageError(_NO_ALPHA)
    out = bytearray(encode_header(header, has_tail=bool(container.chunks)))
    for segment in container.segments:
        out += encode_varint(len(segment)) + segment
    out += encode_chunks(container.chunks)
    return bytes(out) + (_file_check(out) if header.codec is Codec.HPAC else b"")


def read(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Container:
    """Parse a file, cut ones too; FormatError when not arpc or damaged, UnsupportedError when newer or larger."""
    return parse(data, max_pixels=max_pixels)[0]


def parse(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[Container, list[Field]]:
    """As `read`, with the fields that account for every byte of the file."""
    cursor = Cursor(data)
    try:
        header, has_tail = parse_header(cursor)
    except CutError as error:
        raise CutHeaderError("the file ends inside its header") from error
    if header.width * header.height > whole_number("max_pixels", max_pixels):
        raise UnsupportedError(f"{header.width} x {header.height} pixels exceed the limit of {max_pixels}")
    segments: list[bytes] = []
    chunks: list[Chunk] = []
    truncated, sound, rest, missing = False, True, b"", 0
    try:
        while len(segments) < header.scales:
            name = f"{header.codec.noun} {len(segments) + 1}"
            size = cursor.varint()
            cursor.mark(f"{name} length", f"{size} B")
            rest = data[cursor.offset :] if size > cursor.remaining else b""
            segments.append(cursor.take(size))
            cursor.mark(name, "coded bits", "payload")
        if has_tail:
            for chunk in parse_chunks(cursor):
                if header.codec is Codec.HPAC and chunk.type == ChunkType.ALPHA:
                    raise FormatError(_NO_ALPHA)
                chunks.append(chunk)
        if header.codec is Codec.HPAC:
            expected = _file_check(data[: cursor.offset])
            sound = cursor.take(FILE_CHECK_BYTES) == expected
            cursor.mark("file check", "CRC-32 of all bytes before it" if sound else "WRONG: the file is damaged")
        if cursor.remaining:
            raise FormatError(f"{cursor.remaining} bytes follow the end of the file's content")
    except CutError as error:
        truncated, missing = True, error.missing
        in_payload = len(segments) < header.scales
        cursor.mark_rest("cut", "what arrived of the next field", "payload" if in_payload else "metadata")
    return Container(header, tuple(segments), tuple(chunks), truncated, rest, sound, missing), cursor.fields


def _file_check(data: bytes | bytearray) -> bytes:
    """Of a lossless file, which must be provable."""
    return zlib.crc32(data).to_bytes(FILE_CHECK_BYTES, "big")


def truncate(
    data: bytes, *, scales: int | None = None, max_bytes: int | None = None, max_pixels: int = MAX_PIXELS
) -> bytes:
    """A whole file of the first `scales` segments, of at most `max_bytes` bytes, metadata kept, no model needed.

    UsageError when not even one segment fits or `scales` is no number from 1 on, TruncatedError when not even one has
    arrived, FormatError for a lossless file that is not whole.
    """
    if scales is None and max_bytes is None:
        raise UsageError("truncate needs a number of scales or of bytes")
    source = read(data, max_pixels=max_pixels)
    noun = source.header.codec.noun
    if scales is not None and whole_number("scales", scales) < 1:
        raise UsageError(f"at least one {noun} must stay, not {scales}")
    present = len(source.segments)
    if source.header.codec is Codec.HPAC and (source.truncated or not source.sound):
        raise FormatError("a lossless file that is cut or damaged cannot be made whole")
    if not present:
        raise TruncatedError(f"no complete {noun} has arrived")
    out = b""
    for kept in range(present if scales is None else min(scales, present), 0, -1):
        out = write(keep(source, kept))
        if max_bytes is None or len(out) <= max_bytes:
            return out
    least = f"one {noun}" if source.header.lossless is None else "a lossless file stays whole: it"
    raise UsageError(f"{least} takes {len(out)} bytes, more than the {max_bytes} allowed")


def keep(source: Container, scales: int) -> Container:
    """The first `scales` segments, which must be there, and all chunks as a whole file."""
    phases = source.header.phases if scales == source.header.scales else None
    header = replace(source.header, scales=scales, phases=phases)
    return Container(header, source.segments[:scales], source.chunks)
