"""Texts, and the metadata that hide in them, of PNG, TIFF, and pictures that Pillow has opened."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import iTXt

from arpc_codec.container import Text
from arpc_codec.imageio.metadata import IPTC_RESOURCE, PREFIX, without_prefix

XMP_KEYWORD = "XML:com.adobe.xmp"
COMMENT, DATE_TIME = "Comment", "DateTime"
# TIFF tags and the keywords that PNG, and for those below the line ImageMagick, has for them.
# fmt: off
_KEYWORDS = {
    269: "Title", 270: "Description", 305: "Software", 306: DATE_TIME, 315: "Author", 33432: "Copyright",
    271: "tiff:Make", 272: "tiff:Model", 285: "tiff:PageName", 316: "tiff:HostComputer",
}
# fmt: on
_TAGS = {keyword: tag for tag, keyword in _KEYWORDS.items()}
# A compressed text or profile may claim any size; real ones have some megabytes.
MAX_INFLATED = 1 << 26
_DATE_TIME = re.compile(r"(\d{4}):(0[1-9]|1[0-2]):(0[1-9]|[12]\d|3[01]) ([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)")
_PROFILE = "Raw profile type "
_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
# What Pillow puts beside texts into `info`.
_NO_TEXTS = {XMP_KEYWORD, "xmp", "compression", "codec", "caption", "comment"}


def inflate(data: bytes, limit: int = MAX_INFLATED) -> bytes | None:
    """A zlib stream of at most `limit` bytes, inflated; None for anything else."""
    stream = zlib.decompressobj()
    try:
        # One more, as a limit of 0 would be none to zlib.
        out = stream.decompress(data, limit + 1)
    except zlib.error:
        return None
    return out if stream.eof and len(out) <= limit else None


def from_png(name: bytes, body: bytes, limit: int) -> Text | None:
    """The text of a chunk tEXt, zTXt, iTXt or tIME, of at most `limit` bytes; None for what PNG does not allow."""
    if name == b"tIME":
        if len(body) != 7:
            return None
        text = "{:04}:{:02}:{:02} {:02}:{:02}:{:02}".format(*struct.unpack(">H5B", body))
        return Text(DATE_TIME, text) if _DATE_TIME.fullmatch(text) else None
    keyword, mark, rest = body.partition(b"\0")
    parts: list[bytes] = []
    text_bytes: bytes | None = rest
    if name == b"zTXt":
        text_bytes = inflate(rest[1:], limit)
    elif name == b"iTXt":
        *parts, text_bytes = rest[2:].split(b"\0", 2)
        if rest[:1] == b"\1":
            text_bytes = inflate(text_bytes, limit)
        mark = mark if len(parts) == 2 else b""
    if not mark or text_bytes is None or len(text_bytes) > limit:
        return None
    try:
        kind = "utf-8" if name == b"iTXt" else "latin-1"
        found = Text(keyword.decode("latin-1"), text_bytes.decode(kind), *(part.decode() for part in parts))
    except UnicodeDecodeError:
        return None
    return found if png_holds(found) else None


def png_holds(text: Text) -> bool:
    """Whether PNG has a place for a text, which a byte 0 would end."""
    return (
        re.fullmatch(r"[\x20-\x7e\xa1-\xff]{1,79}", text.keyword) is not None
        and text.keyword != XMP_KEYWORD
        and text.language.isascii()
        and "\0" not in text.language + text.translated + text.text
    )


def to_png(texts: Iterable[Text]) -> list[tuple[bytes, bytes]]:
    """Chunks (name, content) that PNG holds: the oldest kind that can say it, compressed where that is shorter."""
    chunks: list[tuple[bytes, bytes]] = []
    for text in texts:
        date = _DATE_TIME.fullmatch(text.text) if text == Text(DATE_TIME, text.text) else None
        if date and all(name != b"tIME" for name, _ in chunks):
            chunks.append((b"tIME", struct.pack(">H5B", *map(int, date.groups()))))
            continue
        keyword = text.keyword.encode("latin-1") + b"\0"
        try:
            plain = None if text.language or text.translated else text.text.encode("latin-1")
        except UnicodeEncodeError:
            plain = None
        if plain is not None:
            packed = keyword + b"\0" + zlib.compress(plain, 9)
            shorter = len(packed) < len(keyword) + len(plain)
            chunks.append((b"zTXt", packed) if shorter else (b"tEXt", keyword + plain))
            continue
        tags = f"{text.language}\0{text.translated}\0".encode()
        wide = text.text.encode()
        packed = zlib.compress(wide, 9)
        shorter = len(packed) < len(wide)
        chunks.append((b"iTXt", keyword + bytes([shorter, 0]) + tags + (packed if shorter else wide)))
    return chunks


def from_tiff(tag: int, value: str) -> Text | None:
    """The text of an ASCII tag as Pillow has it, byte by byte; None for an empty one."""
    data = value.encode("latin-1").rstrip(b"\0")
    return Text(_KEYWORDS.get(tag, f"tiff:{tag}"), decoded(data)) if data else None


def to_tiff(texts: Iterable[Text]) -> dict[int, bytes]:
    """ASCII tags of the texts that TIFF has a tag for, the first one of each, in UTF-8."""
    tags: dict[int, bytes] = {}
    for text in texts:
        number = re.fullmatch(r"tiff:([1-9]\d{2,4})", text.keyword)
        tag = _TAGS.get(text.keyword, int(number[1]) if number else 0)
        # The spelling that `from_tiff` gives.
        named = 0 < tag < 1 << 16 and text.keyword == _KEYWORDS.get(tag, f"tiff:{tag}")
        if named and not (text.language or text.translated) and text.text.rstrip("\0") == text.text != "":
            tags.setdefault(tag, text.text.encode())
    return tags


def decoded(data: bytes) -> str:
    """UTF-8 if it is, otherwise Latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def texts_of(image: Image.Image) -> tuple[Text, ...]:
    """Texts of a picture that Pillow has opened: comments, and words in `info`."""
    # Every JPEG 2000 encoder leaves its name as the comment. Pillow forgets all comments of a JPEG file but the last.
    single = [] if image.format == "JPEG2000" else [image.info.get("comment")]
    comments = [body for name, body in getattr(image, "applist", ()) if name == "COM"] or single
    found = []
    for comment in comments:
        # GIF ends some with a byte 0.
        text = decoded(comment.rstrip(b"\0")) if isinstance(comment, bytes) else comment
        found += [Text(COMMENT, text)] if text and isinstance(text, str) else []
    for keyword, value in image.info.items():
        if isinstance(keyword, str) and isinstance(value, str) and keyword not in _NO_TEXTS:
            more = (value.lang or "", value.tkey or "") if isinstance(value, iTXt) else ()
            found.append(Text(keyword, str(value), *map(str, more)))
    return tuple(text for text in found if _is_unicode(text))


def without_profiles(texts: Iterable[Text], found: Mapping[str, Any]) -> tuple[dict[str, bytes], tuple[Text, ...]]:
    """(EXIF, XMP and IPTC that texts hold as `Raw profile type ...`, where they are not `found`; the other texts)."""
    profiles: dict[str, bytes] = {}
    others = []
    for text in texts:
        kind, data = _profile(text)
        if data and kind not in profiles and found.get(kind) is None:
            profiles[kind] = data
        elif not data or data not in (profiles.get(kind), found.get(kind)):
            others.append(text)
    return profiles, tuple(others)


def iptc_profile(iptc: bytes) -> Text:
    """IPTC as PNG files have it since ImageMagick."""
    block = b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
    lines = re.findall(".{1,72}", block.hex())
    return Text(_PROFILE + "iptc", f"\niptc\n{len(block):8}\n" + "\n".join(lines) + "\n")


def _profile(text: Text) -> tuple[str, bytes | None]:
    """(exif, xmp or iptc, its bytes; None for no such profile)."""
    if not text.keyword.startswith(_PROFILE):
        return "", None
    kind, words = text.keyword.removeprefix(_PROFILE).lower(), text.text.split(None, 2)
    try:
        data = bytes.fromhex(words[2])
        whole = len(data) == int(words[1])
    except (ValueError, IndexError):
        return "", None
    if not whole:
        return "", None
    if kind in ("exif", "app1") and data.startswith(PREFIX):
        return "exif", without_prefix(data) or None
    if kind == "app1" and data.startswith(_XMP_SEGMENT):
        return "xmp", data.removeprefix(_XMP_SEGMENT) or None
    if kind == "exif" and data.startswith((b"II*\0", b"MM\0*")):
        return "exif", data
    if kind == "xmp":
        return "xmp", data
    return ("iptc", _iptc(data)) if kind == "iptc" else ("", None)


def _iptc(data: bytes) -> bytes | None:
    """The records of IPTC, as they are or alone in a Photoshop resource; None for anything else."""
    if data.startswith(b"\x1c"):
        return data
    head = b"8BIM" + struct.pack(">HH", IPTC_RESOURCE, 0)
    size = int.from_bytes(data[8:12], "big")
    alone = data.startswith(head) and size and len(data) in (12 + size, 12 + size + size % 2)
    return data[12 : 12 + size] if alone else None


def _is_unicode(text: Text) -> bool:
    try:
        "".join((text.keyword, text.text, text.language, text.translated)).encode()
    except UnicodeEncodeError:
        return False
    return True
