"""One packet <-> its bytes (formats/packets-v1.md)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum

from arpc_codec.container import MAX_PIXELS, Codec, Header
from arpc_codec.container.cursor import Cursor
from arpc_codec.container.header import encode_fields, parse_fields
from arpc_codec.container.varint import CutError, encode_varint
from arpc_codec.errors import FormatError, UnsupportedError, UsageError
from arpc_codec.packets.parity import MOST_OF_GROUP, groups
from arpc_codec.packets.partition import Partition, partition, run
from arpc_codec.scales import latent_size

MAGIC = b"\xa7P"
# Most bytes of a packet, and most packets of a kind.
LARGEST = 65535
MOST = 65536
# Bits of an index.
MOST_BITS = 24
# A latent of fewer positions may not say how many bits its indices have, so it is not divided.
DIVISIBLE = 8
CHECK_BYTES = 4
_INTERLEAVED = 0x08


class Kind(IntEnum):
    """What a packet holds."""

    POSITIONS = 0
    BYTES = 1
    METADATA = 2


@dataclass(frozen=True)
class Packet:
    """Part `number` of `count` of a kind, of the file whose CRC-32 is `image`; from `count` on parities.

    header: of the file, without its caption unless that conditions the prior. metadata: how many bytes the caption, if
    it is not in the header, and tail chunks take. size: of bytes only; how many all packets have. stages, bits,
    interleaved, starts: of positions only; how many stages each has, bits of an index, whether they form a lattice, and
    the start of the check byte of each stage.
    """

    image: int
    header: Header
    metadata: int
    kind: Kind
    count: int
    number: int
    content: bytes = b""
    size: int = 0
    stages: int = 0
    bits: int = 0
    interleaved: bool = False
    starts: bytes = b""

    @property
    def is_parity(self) -> bool:
        """Whether it holds no content of the file, but helps to recover some."""
        return self.number >= self.count

    @property
    def length(self) -> int:
        """Bytes that its content must have: for a parity those of the longest packet."""
        if self.kind is Kind.POSITIONS:
            parts = self.partition
            positions = parts.largest if self.is_parity else len(parts.positions(self.number))
            return -(-positions * self.stages * self.bits // 8)
        size = self.size if self.kind is Kind.BYTES else self.metadata
        if self.is_parity:
            return -(-size // self.count)
        part = run(size, self.count, self.number)
        return part.stop - part.start

    @property
    def partition(self) -> Partition:
        """What each packet of its kind and count holds."""
        return partition(*latent_size(self.header.height, self.header.width), self.count, self.interleaved)


def write(packet: Packet) -> bytes:
    """The bytes of a packet. Raises UsageError for a header out of range."""
    out = bytearray(MAGIC)
    out.append(packet.kind << 4 | _INTERLEAVED * packet.interleaved | packet.stages)
    out += packet.image.to_bytes(4, "big")
    out += encode_fields(packet.header, has_tail=False)
    for number in (packet.metadata, packet.count - 1, packet.number):
        out += encode_varint(number)
    if packet.kind is Kind.POSITIONS:
        out += bytes([packet.bits]) + packet.starts
    elif packet.kind is Kind.BYTES:
        out += encode_varint(packet.size)
    out += packet.content
    return bytes(out) + zlib.crc32(out).to_bytes(CHECK_BYTES, "big")


def parse(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Packet:
    """Undoes `write`. Raises FormatError for what is not a packet or damaged, UnsupportedError for newer or larger."""
    if data[: len(MAGIC)] != MAGIC:
        raise FormatError("not a packet")
    body = data[:-CHECK_BYTES]
    if len(data) > LARGEST or zlib.crc32(body) != int.from_bytes(data[-CHECK_BYTES:], "big"):
        raise FormatError("damaged: its check is wrong")
    try:
        packet = _parse(Cursor(body))
    except CutError as error:
        raise FormatError("not a packet: it ends inside its header") from error
    header = packet.header
    if header.width * header.height > max_pixels:
        raise UnsupportedError(f"{header.width} x {header.height} pixels exceed the limit of {max_pixels}")
    problem = _problem(packet)
    if problem:
        raise FormatError(f"not a packet: {problem}")
    return packet


def _parse(cursor: Cursor) -> Packet:
    cursor.take(len(MAGIC))
    lead = cursor.byte()
    if lead >> 6:
        raise UnsupportedError(f"packet version {(lead >> 6) + 1}; this reader knows version 1")
    if lead >> 4 not in set(Kind):
        raise UnsupportedError(f"unknown kind of packet {lead >> 4}")
    kind, stages = Kind(lead >> 4), lead & 7
    image = int.from_bytes(cursor.take(4), "big")
    start = cursor.offset
    header, has_tail = parse_fields(cursor)
    try:
        canonical = encode_fields(header, has_tail=has_tail) == cursor.data[start : cursor.offset]
    except UsageError as error:
        raise FormatError(f"not a packet: {error}") from error
    if not canonical or has_tail or header.holes or (header.caption and not header.conditioned):
        raise FormatError("not a packet: its facts about the file are not spelled as they must be")
    metadata, count, number = cursor.varint(), cursor.varint() + 1, cursor.varint()
    bits, starts = (cursor.byte(), cursor.take(stages)) if kind is Kind.POSITIONS else (0, b"")
    size = cursor.varint() if kind is Kind.BYTES else 0
    content = cursor.take(cursor.remaining)
    interleaved = bool(lead & _INTERLEAVED)
    return Packet(image, header, metadata, kind, count, number, content, size, stages, bits, interleaved, starts)


def _problem(packet: Packet) -> str | None:
    """What cannot be in a packet; None when nothing is wrong."""
    header, count = packet.header, packet.count
    if count > MOST or packet.number >= count + MOST_OF_GROUP * groups(count):
        return f"it is number {packet.number} of {count}"
    if packet.kind is not Kind.METADATA and (packet.kind is Kind.POSITIONS) != (header.codec is Codec.PROGIC):
        return f"{packet.kind.name.lower()} of codec {header.codec.name.lower()}"
    if packet.kind is Kind.POSITIONS:
        rows, cols = latent_size(header.height, header.width)
        if not 1 <= packet.stages <= header.scales or not 1 <= packet.bits <= MOST_BITS:
            return f"{packet.stages} stages and {packet.bits} bits an index"
        if count > 1 and rows * cols < DIVISIBLE:
            return f"{count} packets of {rows * cols} positions"
    elif packet.stages or packet.interleaved:
        return "it has stages, but no positions"
    if not packet.content or len(packet.content) != packet.length:
        return f"it has {len(packet.content)} bytes of content, not {packet.length}"
    return None
