"""What a JPEG file has beside its pixels and the metadata that are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from PIL import Image

from arpc_codec.imageio.metadata import IPTC_RESOURCE

_KEPT = (b"JFIF\0", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"Adobe", b"Photoshop 3.0\0")
# How the standards of gain maps (Ultra HDR, ISO 21496-1, Apple) name themselves, in XMP or a segment.
_GAIN_MAP = re.compile(rb"hdrgm:|urn:iso:std:iso:ts:21496:-1|apple\.com/2020/aux/hdrgainmap|[\"']GainMap[\"']", re.I)
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
_END = 0xD9


def left_out(image: Image.Image, data: bytes) -> Iterator[str]:
    """A line for each kind of thing that an ExactPicture of a JPEG file lacks. data: the file where it is known."""
    segments = [(name, body) for name, body in getattr(image, "applist", ()) if name != "COM"]
    others = {_named(name, body) for name, body in segments if not body.startswith((*_KEPT, b"MPF\0"))}
    if others:
        yield f"JPEG segments not kept: {', '.join(sorted(others))}"
    resources: Any = image.info.get("photoshop", {})
    if more := sorted(set(resources) - {IPTC_RESOURCE}):
        yield f"Photoshop resources not kept: {', '.join(f'{number:#06x}' for number in more)}"
    pictures = getattr(image, "n_frames", 1) - 1
    if pictures > 0:
        yield f"MPF pictures not kept: {pictures}"
    if _GAIN_MAP.search(data):
        yield "gain map not kept"
    if (behind := len(data) - end(data)) > 0:
        yield f"{behind} bytes behind the picture not kept"


def end(data: bytes) -> int:
    """Where the picture of a JPEG file ends, behind its marker EOI; the size of the file where there is none."""
    at = 2
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == _END:
            return at
        if marker not in _WITHOUT_LENGTH:
            at += int.from_bytes(data[at : at + 2], "big")
    return len(data)


def _named(name: str, body: bytes) -> str:
    """A segment and what it calls itself."""
    own = re.match(rb"[\x20-\x7e]{3,60}(?=\0)", body)
    return f"{name} {own[0].decode()}" if own else name
