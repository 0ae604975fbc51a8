"""What is worth saying once, however many files it is true of."""

from __future__ import annotations

from collections.abc import Iterable

FROM_JPEG = "the pixels are kept as decoded from JPEG"
_HINTS = {
    FROM_JPEG: "JPEG XL keeps JPEG files themselves, smaller than they are and back to the byte (cjxl photo.jpg "
    "photo.jxl): for archives of JPEG files it is the better choice"
}


def ignored_device(device: str) -> tuple[str, ...]:
    """What to say of a device that was asked for and that lossless coding has no use for."""
    return ("device cuda ignored: lossless coding runs on the processor",) if device == "cuda" else ()


def hints(notes: Iterable[str]) -> tuple[str, ...]:
    """What the notes of a file give reason to say."""
    return tuple(_HINTS[note] for note in notes if note in _HINTS)
