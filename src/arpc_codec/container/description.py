"""What describes a picture, as chunk bytes: colours, resolution, texts. `formats/arpc-v1.md` is normative."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Any

from arpc_codec.container.chunks import Chunk, ChunkType
from arpc_codec.container.cursor import Cursor
from arpc_codec.container.varint import MAX_VARINT, CutError, encode_varint
from arpc_codec.errors import FormatError

# What a lossless file keeps, in the order of its chunks; `texts` and `resolution` are objects, all else is bytes.
METADATA = ("icc", "exif", "xmp", "cicp", "gama", "chrm", "srgb", "resolution", "texts", "iptc")
# Bytes of what PNG has in chunks of one size.
COLOURS = {"cicp": 4, "gama": 4, "chrm": 32, "srgb": 1}


class Unit(IntEnum):
    """Of a resolution. Without one only the ratio of its numbers means something: how wide and high a pixel is."""

    NONE = 0
    INCH = 1
    CENTIMETRE = 2
    METRE = 3


@dataclass(frozen=True)
class Resolution:
    """Pixels a unit across (x) and down (y), more than 0, numerators and denominators below 2^32."""

    x: Fraction
    y: Fraction
    unit: Unit

    @classmethod
    def of(cls, x: Fraction | float, y: Fraction | float, unit: Unit) -> Resolution | None:
        """None for numbers that have no place, and for 1 and 1 of no unit, which say nothing."""
        try:
            found = cls(Fraction(x), Fraction(y), unit)
        except (ValueError, OverflowError):
            return None
        fits = all(0 < max(n.numerator, n.denominator) <= MAX_VARINT and n > 0 for n in (found.x, found.y))
        return found if fits and (found.x, found.y, unit) != (1, 1, Unit.NONE) else None

    def __str__(self) -> str:
        numbers = f"{float(self.x):.7g}" if self.x == self.y else f"{float(self.x):.7g} x {float(self.y):.7g}"
        return f"{numbers} per {self.unit.name.lower()}" if self.unit else f"{numbers} without unit"


@dataclass(frozen=True)
class Text:
    """What a picture file says in words. keyword: of PNG, or `tiff:` and the number of a tag that PNG has none for.

    `DateTime` is when the file was changed last, YYYY:MM:DD HH:MM:SS where it is known as such.
    language, translated: of the text and the keyword, as in PNG; empty where unknown.
    """

    keyword: str
    text: str
    language: str = ""
    translated: str = ""


def to_chunk(name: str, value: Any) -> Chunk:
    """The chunk of what METADATA names, a value other than None or ()."""
    writers: dict[str, Callable[[Any], bytes]] = {"resolution": _encode_resolution, "texts": _encode_texts}
    encode = writers.get(name, bytes)
    return Chunk(ChunkType[name.upper()], encode(value))


def value_of(chunk: Chunk) -> Any:
    """Undoes `to_chunk`; None for empty bytes. Raises FormatError for what `to_chunk` never writes."""
    if chunk.name in _PARSERS:
        cursor = Cursor(chunk.data)
        try:
            value = _PARSERS[chunk.name](cursor)
        except (CutError, UnicodeDecodeError, ValueError):
            raise FormatError(f"the chunk {chunk.name} is damaged") from None
        # One spelling for each value: a resolution in lowest terms.
        if value and to_chunk(chunk.name, value) == chunk:
            return value
    elif len(chunk.data) == COLOURS.get(chunk.name, len(chunk.data)):
        return chunk.data or None
    raise FormatError(f"the chunk {chunk.name} is damaged")


def _encode_resolution(resolution: Resolution) -> bytes:
    numbers = [part for n in (resolution.x, resolution.y) for part in (n.numerator, n.denominator)]
    return bytes([resolution.unit]) + b"".join(map(encode_varint, numbers))


def _parse_resolution(cursor: Cursor) -> Resolution | None:
    unit = Unit(cursor.byte())
    x, of_x, y, of_y = (cursor.varint() for _ in range(4))
    return Resolution.of(Fraction(x, of_x), Fraction(y, of_y), unit) if of_x and of_y else None


def _encode_texts(texts: Iterable[Text]) -> bytes:
    out = bytearray()
    for text in texts:
        for part in (text.keyword, text.language, text.translated, text.text):
            data = part.encode()
            out += encode_varint(len(data)) + data
    return bytes(out)


def _parse_texts(cursor: Cursor) -> tuple[Text, ...]:
    found = []
    while cursor.remaining:
        keyword, language, translated, text = (cursor.take(cursor.varint()).decode() for _ in range(4))
        found.append(Text(keyword, text, language, translated))
    return tuple(found)


_PARSERS: dict[str, Callable[[Cursor], Any]] = {"resolution": _parse_resolution, "texts": _parse_texts}
