"""One segment holds the streams of all tiles: a lone one as it is, several each behind its length."""

from __future__ import annotations

from collections.abc import Sequence

from arpc_codec.container.varint import CutError, decode_varint, encode_varint
from arpc_codec.errors import FormatError


def join_streams(streams: Sequence[bytes]) -> bytes:
    """The segment of some streams."""
    if len(streams) == 1:
        return streams[0]
    return b"".join(encode_varint(len(stream)) + stream for stream in streams)


def split_streams(segment: bytes, count: int) -> list[bytes]:
    """Streams of the tiles in one segment. Raises FormatError when the lengths do not fit."""
    if count == 1:
        return [segment]
    streams, offset = [], 0
    try:
        for _ in range(count):
            size, offset = decode_varint(segment, offset)
            streams.append(segment[offset : offset + size])
            offset += size
    except CutError as error:
        raise FormatError("a tile's stream is cut") from error
    if offset != len(segment):
        raise FormatError("the tiles' streams do not fill their segment")
    return streams
