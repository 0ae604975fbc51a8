"""A file -> packets: positions of a ProGIC file, bytes of any other; caption, tail chunks and repeats apart."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np

from arpc_codec.codecs.stages import unpack_stage
from arpc_codec.container import MAX_PIXELS, Chunk, Codec, Container, read
from arpc_codec.container.captions import encode_caption
from arpc_codec.container.chunks import encode_chunks
from arpc_codec.container.varint import encode_varint
from arpc_codec.entropy import crc8_start, pack_bits
from arpc_codec.errors import FormatError, TruncatedError, UsageError, whole_number
from arpc_codec.packets.packet import DIVISIBLE, LARGEST, MOST, MOST_BITS, Kind, Packet, write
from arpc_codec.packets.parity import MOST_OF_GROUP, groups, protect
from arpc_codec.packets.partition import partition, run
from arpc_codec.scales import latent_size


def split(
    data: bytes, mtu: int, *, interleave: bool = True, redundancy: float = 0.0, max_pixels: int = MAX_PIXELS
) -> list[bytes]:
    """Packets of at most `mtu` bytes, the most important ones first.

    The stages of a ProGIC file must be packed, not coded by a prior: `ProgicCodec.packed` makes them so.

    interleave: positions of a ProGIC packet lie apart, not side by side. redundancy: bytes of repeats and parities as a
    share of all others. Raises UsageError for an mtu that is too small or beyond 65535, for a negative redundancy and
    for a file with holes, TruncatedError for one that is cut, FormatError for one that is damaged.
    """
    if whole_number("mtu", mtu) > LARGEST:
        raise UsageError(f"packets have at most {LARGEST} bytes, not {mtu}")
    if not 0 <= redundancy < float("inf"):
        raise UsageError(f"redundancy must be 0 or more, not {redundancy:g}")
    container = read(data, max_pixels=max_pixels)
    if container.truncated:
        raise TruncatedError("only a whole file can be split, this one is cut short")
    if container.header.holes:
        raise UsageError("a file with holes cannot be split")
    if not container.sound:
        raise FormatError("only a whole file can be split, the check of this one is wrong")
    header, caption = container.header, ""
    # Without the caption that conditions the prior no bit can be decoded, so every packet has it.
    if not header.conditioned:
        header, caption = replace(header, caption=""), header.caption
    metadata = _metadata(caption, container.chunks)
    model = Packet(zlib.crc32(data), header, len(metadata), Kind.BYTES, 1, 0)
    if header.codec is Codec.PROGIC:
        stages = _read_stages(container)
        picture = _positions(model, stages, header.scales, mtu, interleave)
        passes = (_positions(model, stages, min(c, header.scales), mtu, interleave) for c in count(1))
        extra = _in_turn((packet for packets in passes for packet in packets), _parities(picture))
    else:
        body = b"".join(encode_varint(len(segment)) + segment for segment in container.segments)
        picture = _bytes(replace(model, size=len(body)), body, mtu)
        extra = _parities(picture)
    first = picture + (_bytes(replace(model, kind=Kind.METADATA), metadata, mtu) if metadata else [])
    out = [write(packet) for packet in first]
    budget = int(redundancy * sum(map(len, out)))
    for packet in extra:
        out.append(write(packet))
        budget -= len(out[-1])
        if budget < 0:
            return out[:-1]
    return out


def _in_turn(endless: Iterator[Packet], other: Iterator[Packet]) -> Iterator[Packet]:
    """One of each in turn; when the other ends, only endless ones."""
    for packet in endless:
        yield packet
        yield from islice(other, 1)


def _parities(packets: list[Packet]) -> Iterator[Packet]:
    """Parities of packets that together are all of one kind, as many as there can be."""
    like, group_count = packets[0], groups(packets[0].count)
    length = replace(like, number=like.count).length
    contents = np.zeros((like.count, length), np.uint8)
    for packet in packets:
        contents[packet.number, : len(packet.content)] = np.frombuffer(packet.content, np.uint8)
    for parity in range(MOST_OF_GROUP * group_count):
        content = protect(contents[parity % group_count :: group_count], parity // group_count).tobytes()
        yield replace(like, number=like.count + parity, content=content)


def _metadata(caption: str, chunks: tuple[Chunk, ...]) -> bytes:
    """Caption and tail chunks; nothing when there are none."""
    return encode_caption(caption) + encode_chunks(chunks) if caption or chunks else b""


def _bytes(model: Packet, data: bytes, mtu: int) -> list[Packet]:
    """Runs of bytes, nearly equal ones."""
    packets = _count(model, len(data), 8, mtu, lambda packets: -(-len(data) // packets))
    return [
        replace(model, count=packets, number=number, content=data[run(len(data), packets, number)])
        for number in range(packets)
    ]


def _count(model: Packet, size: int, unit_bits: int, mtu: int, largest: Callable[[int], int]) -> int:
    """How many packets it takes: about the least number whose largest one fits, given how many units that has.

    Raises UsageError when no number does.
    """
    count = 1
    while True:
        # The number of a parity may take a byte more.
        header = len(write(replace(model, count=count, number=count + MOST_OF_GROUP * groups(count) - 1)))
        room = 8 * (mtu - header) // unit_bits
        if largest(count) <= room:
            return count
        if room < 1 or count == MOST:
            raise UsageError(f"packets of {mtu} bytes are too small: {header} bytes of each are no picture")
        count = min(max(count + 1 + count // 64, -(-size // room)), MOST)


@dataclass(frozen=True)
class _Stages:
    """indices: int32 [stages, positions]; bits of each; start of the check byte of each stage; size of the latent."""

    indices: np.ndarray
    bits: int
    starts: bytes
    shape: tuple[int, int]


def _read_stages(container: Container) -> _Stages:
    """The stages of a ProGIC file without its model. Raises FormatError when they are none."""
    shape = latent_size(container.header.height, container.header.width)
    size, packed = shape[0] * shape[1], [segment[:-1] for segment in container.segments]
    # As many bits as fit: from eight positions on no other number gives this length.
    bits = 8 * len(packed[0]) // size
    if not 1 <= bits <= MOST_BITS:
        raise FormatError(f"stage 1 has {len(packed[0])} bytes for {size} positions")
    indices, starts = list[np.ndarray](), bytearray()
    for stage, (part, segment) in enumerate(zip(packed, container.segments, strict=True), 1):
        try:
            indices.append(unpack_stage(part, shape, bits).ravel())
        except FormatError as error:
            raise FormatError(f"stage {stage} is not packed, or damaged: {error}") from error
        starts.append(crc8_start(segment[-1], part))
    return _Stages(np.stack(indices), bits, bytes(starts), shape)


def _positions(model: Packet, stages: _Stages, used: int, mtu: int, interleave: bool) -> list[Packet]:
    """The first `used` stages of all positions."""
    size = stages.indices.shape[1]
    like = replace(
        model,
        kind=Kind.POSITIONS,
        stages=used,
        bits=stages.bits,
        interleaved=interleave,
        starts=stages.starts[:used],
    )
    # What is not divided is one unit.
    unit = 1 if size >= DIVISIBLE else size
    packets = _count(
        like,
        size // unit,
        unit * used * stages.bits,
        mtu,
        lambda packets: partition(*stages.shape, packets, interleave).largest // unit,
    )
    parts = partition(*stages.shape, packets, interleave)
    indices = stages.indices[:used]
    return [
        replace(like, count=packets, number=number, content=pack_bits(indices[:, positions], stages.bits))
        for number in range(packets)
        if len(positions := parts.positions(number))
    ]
