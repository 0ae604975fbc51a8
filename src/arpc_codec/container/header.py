"""The header: magic to header check. `formats/arpc-v1.md` is normative."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum

from arpc_codec.container.captions import MAX_CAPTION_BYTES, encode_caption, parse_caption
from arpc_codec.container.cursor import Cursor
from arpc_codec.container.varint import MAX_VARINT, encode_varint
from arpc_codec.errors import FormatError, UnsupportedError, UsageError

MAGIC = b"\xa7A\n"
MAX_SIDE = 2**24
MAX_SCALES = 15
MAX_STAGES = 7
PHASES = 4
SMALLEST_TILE = 16
MAX_TILE_STEP = 12

_EXT_PRESENT = 0x04
_EXT_CAPTION, _EXT_TAIL, _EXT_PARTIAL, _EXT_TILED, _EXT_GUARDED, _EXT_HOLES = 0x01, 0x02, 0x04, 0x08, 0x10, 0x40
_EXT_LATER = {0x20: "adapters"}
_EXT_RESERVED = 0x80
_MODE_PORTABLE, _MODE_CONDITIONED = 0x80, 0x40


class Codec(IntEnum):
    """Which pipeline made the payload."""

    ARPC = 1
    PROGIC = 2
    HPAC = 3

    @property
    def noun(self) -> str:
        """What one segment holds."""
        return {Codec.ARPC: "scale", Codec.PROGIC: "stage", Codec.HPAC: "picture"}[self]


class Colour(IntEnum):
    """What the decoder returns."""

    RGB = 0
    GREY = 1


@dataclass(frozen=True)
class LosslessMode:
    """What an HPAC file says of its samples: bits (8 or 16), whether alpha is a channel, side of its tiles."""

    bits: int = 8
    alpha: bool = False
    tile: int = 256


@dataclass(frozen=True)
class Header:
    """Everything known before the payload; `scales` counts segments (scales, ProGIC stages, 1 for HPAC).

    lossless: there exactly with the codec HPAC. holes: the segments say which positions arrived (PROGIC only).
    Of ARPC only: guarded: the prior computes in floating point, so segments have guard lists. portable: the scales were
    coded without a prior. conditioned: the caption conditions the prior.
    """

    codec: Codec
    model_id: int
    width: int
    height: int
    scales: int
    colour: Colour = Colour.RGB
    phases: int | None = None
    tiled: bool = False
    caption: str = ""
    lossless: LosslessMode | None = None
    holes: bool = False
    guarded: bool = False
    portable: bool = False
    conditioned: bool = False

    @property
    def channels(self) -> int:
        """Of the picture that comes back: grey or RGB, and alpha where an HPAC file has it."""
        alpha = self.lossless is not None and self.lossless.alpha
        return (1 if self.colour is Colour.GREY else 3) + alpha

    def sent_phases(self, scale: int) -> int:
        """Coding phases of a scale, counted from 0, that are in the file: all but of a partial last one."""
        return self.phases if self.phases and scale == self.scales - 1 else PHASES


def writable(header: Header) -> Header:
    """The header itself; UsageError on a value out of range, before a picture is coded for it."""
    problem = _problem(header)
    if problem:
        raise UsageError(problem)
    return header


def encode_header(header: Header, *, has_tail: bool) -> bytes:
    """The one canonical spelling of a header, check byte included; UsageError on a value out of range."""
    out = MAGIC + encode_fields(header, has_tail=has_tail)
    return out + bytes([zlib.crc32(out) & 0xFF])


def encode_fields(header: Header, *, has_tail: bool) -> bytes:
    """A header without magic and check; UsageError on a value out of range."""
    writable(header)
    ext = (
        _EXT_CAPTION * bool(header.caption)
        | _EXT_TAIL * has_tail
        | _EXT_PARTIAL * (header.phases is not None)
        | _EXT_TILED * header.tiled
        | _EXT_GUARDED * header.guarded
        | _EXT_HOLES * header.holes
    )
    out = bytearray([header.codec << 3 | _EXT_PRESENT * bool(ext) | header.colour])
    if ext:
        out.append(ext)
    for number in (header.model_id, header.width - 1, header.height - 1):
        out += encode_varint(number)
    out.append(_mode_byte(header))
    if header.phases is not None:
        out.append(header.phases)
    if header.caption:
        out += encode_caption(header.caption)
    return bytes(out)


def parse_header(cursor: Cursor) -> tuple[Header, bool]:
    """(header, whether tail chunks follow); FormatError when damaged or cut, UnsupportedError when newer."""
    _parse_magic(cursor)
    header, has_tail = parse_fields(cursor)
    _parse_check(cursor)
    problem = _problem(header)
    if problem:
        raise FormatError(problem)
    return header, has_tail


def parse_fields(cursor: Cursor) -> tuple[Header, bool]:
    """Undoes `encode_fields`, its ranges unchecked; CutError, FormatError and UnsupportedError as `parse_header`."""
    codec, colour, has_ext = _parse_lead(cursor)
    ext = _parse_ext(cursor) if has_ext else 0
    model_id = cursor.varint()
    cursor.mark("model", f"model {model_id}")
    width = cursor.varint() + 1
    cursor.mark("width", f"{width} pixels")
    height = cursor.varint() + 1
    cursor.mark("height", f"{height} pixels")
    mode = cursor.byte()
    scales, lossless, mode_meaning = _read_mode(codec, mode)
    flags = mode if codec is Codec.ARPC else 0
    cursor.mark("mode", mode_meaning)
    phases = None
    if ext & _EXT_PARTIAL:
        phases = cursor.byte()
        cursor.mark("partial", f"{phases} of {PHASES} phases of the last scale")
    caption = parse_caption(cursor) if ext & _EXT_CAPTION else ""
    if ext & _EXT_CAPTION and not caption:
        raise FormatError("empty caption")
    header = Header(
        codec=codec,
        model_id=model_id,
        width=width,
        height=height,
        scales=scales,
        colour=colour,
        phases=phases,
        tiled=bool(ext & _EXT_TILED),
        caption=caption,
        lossless=lossless,
        holes=bool(ext & _EXT_HOLES),
        guarded=bool(ext & _EXT_GUARDED),
        portable=bool(flags & _MODE_PORTABLE),
        conditioned=bool(flags & _MODE_CONDITIONED),
    )
    return header, bool(ext & _EXT_TAIL)


def _problem(header: Header) -> str | None:
    """What is out of range in a header, the same for writer and reader; None when nothing is."""
    if not 1 <= header.model_id <= MAX_VARINT:
        return f"model id {header.model_id} is not in 1..{MAX_VARINT}"
    if not (1 <= header.width <= MAX_SIDE and 1 <= header.height <= MAX_SIDE):
        return f"{header.width} x {header.height} pixels: each side must be 1..{MAX_SIDE}"
    most = {Codec.ARPC: MAX_SCALES, Codec.PROGIC: MAX_STAGES, Codec.HPAC: 1}[header.codec]
    if not 1 <= header.scales <= most:
        return f"{header.scales} {header.codec.noun}s: {header.codec.name.lower()} has 1..{most}"
    if header.phases is not None and not (1 <= header.phases < PHASES and header.codec is Codec.ARPC):
        return f"a partial last scale has 1..{PHASES - 1} phases and belongs to arpc only, not {header.phases}"
    if (header.lossless is not None) != (header.codec is Codec.HPAC):
        return "a lossless mode belongs to hpac, and to nothing else"
    if header.tiled and header.codec is not Codec.ARPC:
        return f"a latent of tiles belongs to arpc only, not to {header.codec.name.lower()}"
    if (header.guarded or header.portable or header.conditioned) and header.codec is not Codec.ARPC:
        return f"guard lists, portable scales and conditions belong to arpc only, not to {header.codec.name.lower()}"
    if header.portable and (header.guarded or header.conditioned):
        return "portable scales have no guard lists and no condition"
    if header.conditioned and not (header.guarded and header.caption):
        return "only a caption conditions a prior, and only one with guard lists"
    if header.holes and header.codec is not Codec.PROGIC:
        return f"holes belong to progic only, not to {header.codec.name.lower()}"
    if header.lossless is not None and (
        header.lossless.bits not in (8, 16)
        or header.lossless.tile not in (SMALLEST_TILE << step for step in range(MAX_TILE_STEP + 1))
    ):
        return f"{header.lossless.bits} bits and tiles of {header.lossless.tile} cannot be written"
    try:
        caption_bytes = len(header.caption.encode())
    except UnicodeEncodeError:
        return "the caption cannot be written as UTF-8"
    if caption_bytes > MAX_CAPTION_BYTES:
        return f"a caption of {caption_bytes} bytes: at most {MAX_CAPTION_BYTES}"
    return None


def _parse_magic(cursor: Cursor) -> None:
    if not MAGIC.startswith(cursor.data[: len(MAGIC)]):
        raise FormatError("not an arpc file")
    cursor.take(len(MAGIC))
    cursor.mark("magic", "arpc file")


def _parse_lead(cursor: Cursor) -> tuple[Codec, Colour, bool]:
    lead = cursor.byte()
    version = (lead >> 6) + 1
    if version != 1:
        raise UnsupportedError(f"format version {version}; this reader knows version 1")
    try:
        codec = Codec(lead >> 3 & 7)
    except ValueError:
        raise UnsupportedError(f"unknown codec {lead >> 3 & 7}") from None
    try:
        colour = Colour(lead & 3)
    except ValueError:
        raise FormatError(f"reserved colour {lead & 3}") from None
    cursor.mark("lead", f"version 1, codec {codec.name.lower()}, colour {colour.name.lower()}")
    return codec, colour, bool(lead & _EXT_PRESENT)


def _parse_ext(cursor: Cursor) -> int:
    ext = cursor.byte()
    if not ext:
        raise FormatError("empty extension byte")
    if ext & _EXT_RESERVED:
        raise FormatError("reserved extension bit 7 is set")
    for bit, feature in _EXT_LATER.items():
        if ext & bit:
            raise UnsupportedError(f"the file uses {feature}, which this reader does not know")
    names = {_EXT_CAPTION: "caption", _EXT_TAIL: "tail chunks", _EXT_PARTIAL: "partial", _EXT_TILED: "tiled"}
    names |= {_EXT_GUARDED: "guard lists", _EXT_HOLES: "holes"}
    cursor.mark("ext", ", ".join(name for bit, name in names.items() if ext & bit))
    return ext


def _mode_byte(header: Header) -> int:
    mode = header.lossless
    if mode is None:
        return header.scales | _MODE_PORTABLE * header.portable | _MODE_CONDITIONED * header.conditioned
    return (mode.bits == 16) << 6 | mode.alpha << 5 | (mode.tile // SMALLEST_TILE).bit_length() - 1


def _read_mode(codec: Codec, mode: int) -> tuple[int, LosslessMode | None, str]:
    """(segment count, lossless mode, meaning) of the mode byte; FormatError on reserved values."""
    if codec is Codec.HPAC:
        if mode & 0x90 or mode & 15 > MAX_TILE_STEP:
            raise FormatError(f"reserved values in the mode byte ({mode:#04x})")
        lossless = LosslessMode(16 if mode & 0x40 else 8, bool(mode & 0x20), SMALLEST_TILE << (mode & 15))
        alpha = ", with alpha" if lossless.alpha else ""
        return 1, lossless, f"{lossless.bits} bits a sample{alpha}, tiles of {lossless.tile}"
    if mode & ~(15 | _MODE_PORTABLE | _MODE_CONDITIONED if codec is Codec.ARPC else 7):
        raise FormatError(f"reserved bits of the mode byte are set ({mode:#04x})")
    portable = ", portable" if mode & _MODE_PORTABLE else ""
    conditioned = ", conditioned by the caption" if mode & _MODE_CONDITIONED else ""
    return mode & 15, None, f"{codec.noun}s: {mode & 15}{portable}{conditioned}"


def _parse_check(cursor: Cursor) -> None:
    expected = zlib.crc32(cursor.data[: cursor.offset]) & 0xFF
    if cursor.byte() != expected:
        raise FormatError("the header check does not match: the header is damaged")
    cursor.mark("check", "low byte of the header's CRC-32")
