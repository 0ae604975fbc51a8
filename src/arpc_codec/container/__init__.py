"""The `.arpc` container: bytes <-> header, segments, chunks. Standard library only; spec: `formats/arpc-v1.md`."""

from arpc_codec.container.captions import MAX_CAPTION_BYTES
from arpc_codec.container.chunks import Chunk, ChunkType
from arpc_codec.container.container import MAX_PIXELS, Container, CutHeaderError, keep, read, truncate, write
from arpc_codec.container.description import COLOURS, METADATA, Resolution, Text, Unit, to_chunk, value_of
from arpc_codec.container.header import (
    PHASES,
    Codec,
    Colour,
    Header,
    LosslessMode,
    writable,
)
from arpc_codec.container.info import Info, info

__all__ = [
    "COLOURS",
    "MAX_CAPTION_BYTES",
    "MAX_PIXELS",
    "METADATA",
    "PHASES",
    "Chunk",
    "ChunkType",
    "Codec",
    "Colour",
    "Container",
    "CutHeaderError",
    "Header",
    "Info",
    "LosslessMode",
    "Resolution",
    "Text",
    "Unit",
    "info",
    "keep",
    "read",
    "to_chunk",
    "truncate",
    "value_of",
    "writable",
    "write",
]
