"""Write the container test vectors: `python formats/make_vectors.py [DIR]` (default: `formats/vectors`).

Payloads are arbitrary bytes: these files show the container, no model decodes them. Only ProGIC stages are what a model
with 1024 entries and a fingerprint of zeros would write, so that their packing and check can be tried; those of
`progic-coded` are shorter, as a prior makes them, but arbitrary.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from arpc_codec.codecs.stages import ABSENT, index_bits, pack_stage, read_stage, write_stage
from arpc_codec.container import (
    Chunk,
    ChunkType,
    Codec,
    Colour,
    Container,
    Header,
    LosslessMode,
    Resolution,
    Text,
    Unit,
    info,
    to_chunk,
    truncate,
    write,
)
from arpc_codec.container.captions import encode_text
from arpc_codec.container.varint import encode_varint
from arpc_codec.entropy import packed_checkpoint

ENTRIES, FINGERPRINT = 1024, bytes(32)
ICC = b"not a real ICC profile, opaque to the container"
# Level 0 stores, so that every zlib gives the same bytes: eight rows of eight opaque pixels, Sub-filtered.
OPAQUE = zlib.compress((b"\x01\xff" + bytes(7)) * 8, 0)
# P3 primaries with the curve of sRGB, and what else PNG and TIFF files say.
CHRM = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
DESCRIPTION = tuple(
    to_chunk(name, value)
    for name, value in {
        "cicp": b"\x0c\x0d\0\x01",
        "gama": (45455).to_bytes(4, "big"),
        "chrm": CHRM,
        "srgb": b"\1",
        "resolution": Resolution(Fraction(300), Fraction(7200001, 24000), Unit.INCH),
        "texts": (
            Text("Author", "Zoë"),
            Text("Title", "喫茶店", "ja", "題名"),
            Text("DateTime", "2026:11:29 01:02:03"),
            Text("tiff:Make", "a camera"),
        ),
        "iptc": b"\x1c\x02\x78\0\5a cup",
    }.items()
)


@dataclass(frozen=True)
class Vector:
    """One file, its README line, and the exit code that reading it must give."""

    name: str
    data: bytes
    shows: str
    exit_code: int = 0


def payload(seed: int, size: int) -> bytes:
    """`size` bytes that look random and are the same everywhere."""
    out, state = bytearray(), seed + 1
    for _ in range(size):
        state = state * 48271 % 0x7FFFFFFF
        out.append(state >> 8 & 0xFF)
    return bytes(out)


def build(segments: tuple[bytes, ...], chunks: tuple[Chunk, ...] = (), **fields: object) -> bytes:
    """A file of these segments; the header is 768 x 512, codec arpc, model 1 where `fields` says nothing else."""
    values = {"codec": Codec.ARPC, "model_id": 1, "width": 768, "height": 512, "scales": len(segments)} | fields
    return write(Container(Header(**values), segments, chunks))  # type: ignore[arg-type]


def stages(count: int, rows: int, cols: int) -> tuple[bytes, ...]:
    """ProGIC stages of arbitrary indices, two bytes of `payload` each, modulo the number of entries."""
    shape = (rows, cols)
    parts = [np.frombuffer(payload(stage, 2 * rows * cols), ">u2").reshape(shape) % ENTRIES for stage in range(count)]
    return tuple(write_stage(indices, ENTRIES, FINGERPRINT, stage) for stage, indices in enumerate(parts))


def holes(count: int, rows: int, cols: int) -> tuple[bytes, ...]:
    """As `stages`, but stage 1 lacks the first position after the top left one, and each later stage two more."""
    segments = []
    for stage, segment in enumerate(stages(count, rows, cols)):
        indices_hw = read_stage(segment, (rows, cols), ENTRIES, FINGERPRINT, stage)
        indices_hw.flat[1 : 2 + 2 * stage] = ABSENT
        packed = pack_stage(indices_hw, index_bits(ENTRIES), holes=True)
        segments.append(packed + bytes([packed_checkpoint(FINGERPRINT, stage, packed)]))
    return tuple(segments)


def raw(*parts: bytes, body: bytes = b"\x01\xc0") -> bytes:
    """A header spelled byte by byte, its correct check, and a body of one one-byte segment."""
    header = b"\xa7A\n" + b"".join(parts)
    return header + bytes([zlib.crc32(header) & 0xFF]) + body


def spelled(before: bytes, data: bytes, way: int) -> bytes:
    """As `raw`, with a caption of these bytes, coded (way 1) or not (0)."""
    return raw(before, encode_varint(2 * len(data) + way) + data)


def good() -> list[Vector]:
    """Files that parse, whole or truncated."""
    six = tuple(payload(scale, size) for scale, size in enumerate((1, 4, 9, 23, 61, 140)))
    metadata = (Chunk(ChunkType.ICC, ICC),)
    alpha = (Chunk(ChunkType.ALPHA, OPAQUE),)
    whole = build(six)
    with_tail = build(six, (*metadata, *alpha))
    five = build(stages(5, 16, 16), codec=Codec.PROGIC, width=256, height=256)
    coded = build((payload(0, 181), stages(2, 16, 16)[1]), codec=Codec.PROGIC, width=256, height=256)
    odd = build(stages(2, 2, 3), codec=Codec.PROGIC, width=33, height=17)
    lost = build(holes(2, 2, 3), codec=Codec.PROGIC, width=33, height=17, holes=True)
    picture = (payload(3, 700),)
    lossless = build(picture, codec=Codec.HPAC, lossless=LosslessMode())
    mode = LosslessMode(bits=16, alpha=True, tile=64)
    deep = build(picture, metadata, codec=Codec.HPAC, colour=Colour.GREY, lossless=mode)
    described = build(picture, DESCRIPTION, codec=Codec.HPAC, lossless=LosslessMode())
    return [
        Vector("minimal", build((b"\xc0",), width=64, height=64), "smallest useful file: one scale of one byte"),
        Vector("six-scales", whole, "a photo at k = 6"),
        Vector("fifteen-scales", build(tuple(payload(9, n) for n in range(15))), "most scales, the first one empty"),
        Vector("caption", build(six, caption="赤い喫茶店"), "UTF-8 caption"),
        Vector("caption-coded", build(six, caption="a red kite over a lighthouse"), "coded caption, 6 bytes for 28"),
        Vector("caption-coded-utf8", build(six, caption="a café in the rain"), "coded caption that is not ASCII"),
        Vector("grey", build(six, colour=Colour.GREY), "grey picture"),
        Vector("partial", build(six, phases=2), "two of four phases of the last scale"),
        Vector("tiled", build(six, width=5000, height=4000, tiled=True), "tiled, larger than a model's range"),
        Vector("icc", build(six, metadata), "ICC profile in the tail"),
        Vector("alpha", build(six, alpha, width=8, height=8), "alpha plane, a critical chunk"),
        Vector("unknown-ancillary", build(six, (Chunk(0x05, b"?"),)), "an ancillary chunk that version 1 skips"),
        Vector(
            "all-options",
            build(six, (*metadata, *alpha), caption="all", phases=3, tiled=True),
            "several ext bits",
        ),
        Vector("guarded", build(six, guarded=True), "of a float prior: segments have guard lists"),
        Vector("conditioned", build(six, guarded=True, conditioned=True, caption="a"), "the same with a caption"),
        Vector("portable", build(six, portable=True), "coded without a prior"),
        Vector("large-model-id", build(six, model_id=300), "model id of two bytes; info needs no model"),
        Vector("progic", five, "ProGIC, five stages of 16x16 positions"),
        Vector("progic-one-stage", truncate(five, scales=1), "its first stage: 14 bytes more than its indices"),
        Vector("progic-odd-size", odd, "ProGIC, 33x17: stages of 60 bits, filled up with 4"),
        Vector("progic-holes", lost, "the same with holes: stage 1 lacks position 1, stage 2 also 2 and 3"),
        Vector("progic-coded", coded, "ProGIC, 16x16 positions: a coded stage of 181 bytes, then a packed one"),
        Vector("progic-stage-check", five[:-1] + bytes([five[-1] ^ 1]), "wrong check of stage 5: decoding exits 3"),
        Vector("cut-in-stage", five[:-400], "ends inside the fourth ProGIC stage: truncated, three present"),
        Vector("hpac", lossless, "lossless, 8-bit RGB, tiles of 256"),
        Vector("hpac-16-alpha", deep, "lossless, 16-bit grey with alpha, tiles of 64, ICC before the file check"),
        Vector("hpac-described", described, "lossless, every chunk that describes a picture"),
        Vector("hpac-file-check", lossless[:-1] + bytes([lossless[-1] ^ 1]), "wrong file check: decoding exits 3"),
        Vector("cut-in-file-check", lossless[:-3], "ends inside the file check: truncated"),
        Vector("cut-in-picture", lossless[:-300], "ends inside a lossless picture: truncated"),
        Vector("cut-in-segment", whole[:-100], "ends inside the sixth segment: truncated, five scales present"),
        Vector("cut-at-segment", whole[: 12 + 2 + 5], "ends between two segments: truncated"),
        Vector("cut-after-header", whole[:11], "ends right after the header: truncated, nothing present"),
        Vector("cut-in-chunk", with_tail[:-5], "ends inside the alpha chunk: truncated, ICC present"),
        Vector("cut-at-chunk", with_tail[: len(build(six, metadata))], "second of two chunks missing: truncated"),
        Vector(
            "length-beyond-file",
            raw(b"\x08\x01\x3f\x3f\x01", body=b"\xff\xff\xff\xff\x0f\xc0"),
            "a segment of 4 GiB announced, one byte there: truncated, nothing allocated",
        ),
    ]


def bad() -> list[Vector]:
    """Files that must be refused, each with its exit code: 3 damaged, 4 unsupported."""
    whole = build((b"\xc0",), width=64, height=64)
    dims = b"\x3f\x3f"
    lead = b"\x08"
    tail = b"\x0c\x02\x01" + dims + b"\x01"
    caption = b"\x0c\x01\x01" + dims + b"\x01"
    coded = encode_text(b"a red kite")
    other = coded[:-1] + bytes([coded[-1] + 1])
    endless = encode_text(b"a man in the " * 79)
    other_type = (Chunk(ChunkType.ICC, OPAQUE),)
    beside = bytearray(build((b"\xc0",), other_type, codec=Codec.HPAC, lossless=LosslessMode())[:-4])
    beside[beside.index(OPAQUE) - 2] = ChunkType.ALPHA
    beside += zlib.crc32(beside).to_bytes(4, "big")
    return [
        Vector("empty", b"", "no bytes at all", 3),
        Vector("magic-short", whole[:2], "two bytes of the magic", 3),
        Vector("magic-wrong", b"\x89PNG\r\n\x1a\n" + whole, "another format", 3),
        Vector("magic-newline", whole.replace(b"\n", b"\r\n", 1), "newlines translated in transfer", 3),
        Vector("version-2", raw(b"\x48\x01", dims, b"\x01"), "version 2", 4),
        Vector("codec-0", raw(b"\x00\x01", dims, b"\x01"), "codec 0", 4),
        Vector("codec-4", raw(b"\x20\x01", dims, b"\x01"), "codec 4", 4),
        Vector("colour-2", raw(b"\x0a\x01", dims, b"\x01"), "reserved colour 2", 3),
        Vector("ext-zero", raw(b"\x0c\x00\x01", dims, b"\x01"), "ext byte present but zero", 3),
        Vector("progic-guarded", raw(b"\x14\x10\x01", dims, b"\x01"), "ProGIC with ext bit 4", 3),
        Vector("hpac-guarded", raw(b"\x1c\x10\x01", dims, b"\x04"), "lossless with ext bit 4", 3),
        Vector("portable-guarded", raw(b"\x0c\x10\x01", dims, b"\x81"), "portable with guard lists", 3),
        Vector("conditioned-exact", raw(b"\x0c\x01\x01", dims, b"\x41", b"\x01a"), "condition, no guard lists", 3),
        Vector("conditioned-silent", raw(b"\x0c\x10\x01", dims, b"\x41"), "condition, no caption", 3),
        Vector("progic-portable", raw(b"\x10\x01", dims, b"\x81"), "ProGIC, reserved bit 7 of the mode byte", 3),
        Vector("ext-bit-5", raw(b"\x0c\x20\x01", dims, b"\x01"), "adapters, unknown to version 1", 4),
        Vector("arpc-holes", raw(b"\x0c\x40\x01", dims, b"\x01"), "codec arpc with ext bit 6", 3),
        Vector("ext-bit-7", raw(b"\x0c\x80\x01", dims, b"\x01"), "reserved ext bit 7", 3),
        Vector("model-0", raw(lead, b"\x00", dims, b"\x01"), "model id 0", 3),
        Vector("number-not-shortest", raw(lead, b"\x81\x00", dims, b"\x01"), "model id 1 in two bytes", 3),
        Vector("number-six-bytes", raw(lead, b"\xff\xff\xff\xff\xff\x01", dims, b"\x01"), "number of six bytes", 3),
        Vector("number-33-bits", raw(lead, b"\xff\xff\xff\xff\x1f", dims, b"\x01"), "number of 33 bits", 3),
        Vector("side-too-large", raw(lead, b"\x01\x80\x80\x80\x08\x3f", b"\x01"), "width 2^24 + 1", 3),
        Vector("pixels-too-many", raw(lead, b"\x01" + b"\xff\xff\xff\x07" * 2, b"\x01"), "2^48 pixels", 4),
        Vector("scales-0", raw(lead, b"\x01", dims, b"\x00"), "no scales", 3),
        Vector("mode-reserved", raw(lead, b"\x01", dims, b"\x11"), "reserved bit 4 of the mode byte", 3),
        Vector("progic-stages-0", raw(b"\x10\x01", dims, b"\x00"), "ProGIC without stages", 3),
        Vector("progic-mode-reserved", raw(b"\x10\x01", dims, b"\x09"), "ProGIC, reserved bit 3 of the mode byte", 3),
        Vector("progic-partial", raw(b"\x14\x04\x01", dims, b"\x01\x02"), "partial last scale in ProGIC", 3),
        Vector("progic-tiled", raw(b"\x14\x08\x01", dims, b"\x01"), "ProGIC with ext bit 3", 3),
        Vector("hpac-mode-reserved", raw(b"\x18\x01", dims, b"\x14"), "lossless, reserved bit 4 of the mode byte", 3),
        Vector("hpac-depth-reserved", raw(b"\x18\x01", dims, b"\x84"), "lossless, reserved depth", 3),
        Vector("hpac-tile-reserved", raw(b"\x18\x01", dims, b"\x0d"), "lossless, tiles of more than 2^16", 3),
        Vector("hpac-alpha", bytes(beside), "lossless with an alpha chunk", 3),
        Vector("hpac-tiled", raw(b"\x1c\x08\x01", dims, b"\x04"), "lossless with ext bit 3", 3),
        Vector("phases-0", raw(b"\x0c\x04\x01", dims, b"\x01\x00"), "partial last scale of no phases", 3),
        Vector("phases-4", raw(b"\x0c\x04\x01", dims, b"\x01\x04"), "partial last scale that is whole", 3),
        Vector("caption-empty", raw(caption, b"\x00"), "caption announced, empty", 3),
        Vector("caption-empty-coded", raw(caption, b"\x01"), "caption announced, coded as nothing", 3),
        Vector("caption-too-long", raw(caption, b"\x82\x10" + b"a" * 1025), "caption of 1025 bytes", 3),
        Vector("caption-not-utf8", raw(caption, b"\x04\xc3\x28"), "caption is not UTF-8", 3),
        Vector("caption-coded-not-utf8", spelled(caption, encode_text(b"\xc3\x28"), 1), "the same, coded", 3),
        Vector("caption-not-coded", spelled(caption, b"a red kite", 0), "coded caption would be shorter", 3),
        Vector("caption-coded-longer", spelled(caption, encode_text("赤".encode()), 1), "UTF-8 would be shorter", 3),
        Vector("caption-zero-byte", spelled(caption, coded + b"\0", 1), "coded caption with a zero byte too many", 3),
        Vector("caption-other-number", spelled(caption, other, 1), "another number for the same text", 3),
        Vector("caption-endless", spelled(caption, endless, 1), "coded caption of 1027 bytes", 3),
        Vector("check-wrong", whole[:8] + bytes([whole[8] ^ 1]) + whole[9:], "header check off by one bit", 3),
        Vector("check-catches-width", whole[:5] + b"\x3e" + whole[6:], "width changed, check unchanged", 3),
        Vector("header-cut", whole[:7], "ends inside the header", 3),
        Vector("header-cut-before-check", whole[:8], "ends right before the header check", 3),
        Vector(
            "length-not-shortest", raw(lead, b"\x01", dims, b"\x01", body=b"\x81\x00\xc0"), "length in two bytes", 3
        ),
        Vector("trailing-byte", whole + b"\x00", "a byte after the last segment", 3),
        Vector("tail-trailing-byte", raw(tail, body=b"\x01\xc0\x01\x01\x01x!"), "a byte after the last chunk", 3),
        Vector("tail-count-0", raw(tail, body=b"\x01\xc0\x00"), "tail of no chunks", 3),
        Vector("chunk-critical", raw(tail, body=b"\x01\xc0\x01\x85\x01x"), "unknown critical chunk", 4),
        Vector("chunk-order", raw(tail, body=b"\x01\xc0\x02\x02\x01x\x01\x01x"), "EXIF before ICC", 3),
        Vector("chunk-twice", raw(tail, body=b"\x01\xc0\x02\x01\x01x\x01\x01x"), "ICC twice", 3),
        Vector("chunk-type-0", raw(tail, body=b"\x01\xc0\x01\x00\x01x"), "chunk type 0", 3),
        Vector("chunk-alpha-ancillary", raw(tail, body=b"\x01\xc0\x01\x04\x01x"), "alpha without its critical bit", 3),
    ]


def readme(vectors: list[Vector], title: str) -> str:
    """One table line per vector."""
    rows = [f"| `{vector.name}.arpc` | {vector.exit_code} | {vector.shows} |" for vector in vectors]
    return "\n".join([f"# {title}", "", "| file | exit code | what it shows |", "|---|---|---|", *rows, ""])


def main(out: Path) -> None:
    """Write both sets below `out`."""
    for name, vectors, title in (
        ("good", good(), "Files that parse (0; decoding a truncated one exits 6, or 3 without a whole segment)"),
        ("bad", bad(), "Files that must be refused (3 damaged, 4 unsupported)"),
    ):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for vector in vectors:
            (folder / f"{vector.name}.arpc").write_bytes(vector.data)
            if name == "good":
                text = json.dumps(info(vector.data).to_json(), indent=1, ensure_ascii=False)
                (folder / f"{vector.name}.json").write_text(text + "\n", encoding="utf-8", newline="\n")
        (folder / "README.md").write_text(readme(vectors, title), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "vectors")
