"""Packets that arrived -> a file: the original when nothing is missing, else the best file that they make."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from arpc_codec.codecs.stages import ABSENT, describe_lost, lost_positions, pack_stage
from arpc_codec.container import MAX_PIXELS, Chunk, ChunkType, Codec, Container, Header, keep
from arpc_codec.container import write as write_file
from arpc_codec.container.captions import parse_caption
from arpc_codec.container.chunks import parse_chunks
from arpc_codec.container.cursor import Cursor
from arpc_codec.container.header import encode_header
from arpc_codec.container.varint import CutError
from arpc_codec.entropy import crc8, unpack_bits
from arpc_codec.errors import ArpcError, FormatError
from arpc_codec.packets.packet import Kind, Packet, parse
from arpc_codec.packets.parity import MOST_OF_GROUP, groups, recover
from arpc_codec.scales import latent_size


@dataclass(frozen=True)
class Joined:
    """A file; `missing` says what it lacks of the original, in one line, and is empty when it is the original.

    sound: False when all packets are there but do not make the file that they name.
    """

    data: bytes
    missing: str = ""
    sound: bool = True


def sort_out(blobs: Iterable[bytes], *, max_pixels: int = MAX_PIXELS) -> tuple[list[Packet], dict[int, str]]:
    """(the good packets of one file, why others were rejected by their place in `blobs`).

    Of packets of several files those of the file with most packets are kept, of equal ones the first.
    """
    found, rejected = dict[int, Packet](), dict[int, str]()
    for place, blob in enumerate(blobs):
        try:
            found[place] = parse(blob, max_pixels=max_pixels)
        except ArpcError as error:
            rejected[place] = str(error)
    files = Counter((packet.image, packet.header, packet.metadata) for packet in found.values())
    most = max(files, key=lambda file: files[file], default=None)
    kept, bits, starts = list[Packet](), 0, b""
    for place, packet in found.items():
        if (packet.image, packet.header, packet.metadata) != most:
            rejected[place] = f"of another picture ({packet.image:08x})"
            continue
        shared = min(len(starts), len(packet.starts))
        if packet.kind is Kind.POSITIONS:
            if bits not in (0, packet.bits) or starts[:shared] != packet.starts[:shared]:
                rejected[place] = "contradicts other packets of its picture"
                continue
            bits, starts = packet.bits, max(starts, packet.starts, key=len)
        kept.append(packet)
    return kept, rejected


def join(packets: Sequence[Packet]) -> Joined:
    """The file of packets that `sort_out` kept, in any order.

    A ProGIC file has the positions that arrived, in as many stages as arrived (with holes, where a stage is not there
    everywhere); others have what lies before the first missing packet: an arpc file its whole scales, an hpac file all
    bytes. Raises FormatError when that is nothing.
    """
    if not packets:
        raise FormatError("there is no packet of a picture")
    packets = recovered(packets)
    of_picture = [packet for packet in packets if packet.kind is not Kind.METADATA]
    if not of_picture:
        raise FormatError("too few packets: nothing of the picture itself has arrived")
    image, header, size = packets[0].image, packets[0].header, packets[0].metadata
    of_metadata = [packet for packet in packets if packet.kind is Kind.METADATA]
    tail = _metadata(of_metadata, header.codec) if size else ("", ())
    caption, chunks = tail or ("", ())
    header = replace(header, caption=header.caption or caption)
    if header.codec is Codec.PROGIC:
        container, lost = _join_stages(of_picture)
        data = write_file(Container(replace(container.header, caption=header.caption), container.segments, chunks))
    else:
        data, lost = _join_bytes(of_picture, header, chunks)
    missing = "; ".join(filter(None, (lost, "" if tail else f"{size} bytes of metadata are missing")))
    return Joined(data, missing, bool(missing) or zlib.crc32(data) == image)


def recovered(packets: Sequence[Packet]) -> list[Packet]:
    """All packets but parities, with those that the parities give back."""
    sets = dict[Packet, dict[int, Packet]]()
    for packet in packets:
        sets.setdefault(replace(packet, number=0, content=b""), {}).setdefault(packet.number, packet)
    out = list[Packet]()
    for like, found in sets.items():
        group_count = groups(like.count)
        out += [packet for packet in found.values() if not packet.is_parity]
        for group in {(number - like.count) % group_count for number in found if number >= like.count}:
            out += _recover_group(like, found, range(group, like.count, group_count))
    return out


def _recover_group(like: Packet, found: Mapping[int, Packet], numbers: range) -> Iterator[Packet]:
    """Packets that parities of the group of these numbers give back."""
    length = replace(like, number=like.count).length

    def content(packet: Packet) -> np.ndarray:
        return np.frombuffer(packet.content.ljust(length, b"\0"), np.uint8)

    parities = range(like.count + numbers.start, like.count + MOST_OF_GROUP * numbers.step, numbers.step)
    # Packets without positions are never sent.
    members = {at: found.get(number) or replace(like, number=number) for at, number in enumerate(numbers)}
    there = {at: content(packet) for at, packet in members.items() if len(packet.content) == packet.length}
    back = recover(len(numbers), there, {at: content(found[n]) for at, n in enumerate(parities) if n in found})
    for at, data in back.items():
        yield replace(members[at], content=data.tobytes()[: members[at].length])


def _join_stages(packets: Sequence[Packet]) -> tuple[Container, str]:
    """(file of the positions that arrived, what is missing)."""
    header, bits = packets[0].header, packets[0].bits
    rows, cols = latent_size(header.height, header.width)
    indices = np.full((header.scales, rows * cols), ABSENT, np.int32)
    depth = np.zeros(rows * cols, np.int64)
    # In this order the rule of each count is worked out once.
    for packet in sorted(packets, key=lambda packet: (packet.count, packet.interleaved)):
        positions = packet.partition.positions(packet.number)
        values = unpack_bits(packet.content, (packet.stages, len(positions)), bits)
        deeper = depth[positions] < packet.stages
        indices[: packet.stages, positions[deeper]] = values[:, deeper]
        depth[positions[deeper]] = packet.stages
    stages, starts = int(depth.max()), max((packet.starts for packet in packets), key=len)
    holes = int(depth.min()) < stages
    packed = [pack_stage(indices[stage].reshape(rows, cols), bits, holes) for stage in range(stages)]
    segments = tuple(part + bytes([crc8(start, part)]) for part, start in zip(packed, starts, strict=False))
    missing = describe_lost(lost_positions(depth, header.scales), rows * cols)
    return Container(replace(header, scales=stages, holes=holes), segments), missing


def _join_bytes(packets: Sequence[Packet], header: Header, chunks: tuple[Chunk, ...]) -> tuple[bytes, str]:
    """(file of what lies before the first missing packet, what is missing)."""
    body, missing = _prefix(packets)
    cursor, segments = Cursor(body), list[bytes]()
    with suppress(CutError):
        while len(segments) < header.scales:
            segments.append(cursor.take(cursor.varint()))
    there, noun = len(segments), header.codec.noun
    if there == header.scales:
        return write_file(Container(header, tuple(segments), chunks)), ""
    if header.codec is Codec.HPAC:
        if not body:
            raise FormatError(f"{missing}, the first one too")
        return encode_header(header, has_tail=bool(chunks)) + body, f"{missing}: the picture ends before its end"
    if not there:
        raise FormatError(f"{missing}: not even {noun} 1 is there")
    whole = keep(Container(header, tuple(segments), chunks), there)
    return write_file(whole), f"{missing}: {there} of {header.scales} {noun}s are there"


def _prefix(packets: Sequence[Packet]) -> tuple[bytes, str]:
    """(the longest run of bytes from the first on, how many packets are missing)."""
    best, missing = b"", ""
    for count in {packet.count for packet in packets}:
        parts = {packet.number: packet.content for packet in packets if packet.count == count}
        run = b"".join(parts[number] for number in takewhile(parts.__contains__, range(count)))
        if len(run) >= len(best):
            best, missing = run, f"{count - len(parts)} of {count} packets missing"
    return best, missing


def _metadata(packets: Sequence[Packet], codec: Codec) -> tuple[str, tuple[Chunk, ...]] | None:
    """(caption, tail chunks), or None when not all of them is there or a file of that codec cannot have them."""
    if not packets:
        return None
    data, _ = _prefix(packets)
    try:
        cursor = Cursor(data)
        caption = parse_caption(cursor)
        chunks = tuple(parse_chunks(cursor)) if cursor.remaining else ()
    except ArpcError:
        return None
    if codec is Codec.HPAC and any(chunk.type == ChunkType.ALPHA for chunk in chunks):
        return None
    return (caption, chunks) if len(data) == packets[0].metadata else None
