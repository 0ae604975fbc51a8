"""What of a picture travels in tail chunks: alpha, ICC, EXIF and XMP."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from arpc_codec.container import Chunk, ChunkType
from arpc_codec.errors import FormatError, UsageError
from arpc_codec.imageio.alpha import pack_alpha, unpack_alpha
from arpc_codec.imageio.picture import Picture
from arpc_codec.tile import Region, region_tile

KEEPABLE = ("icc", "exif", "xmp")
ALPHA_POLICIES = ("keep", "drop", "#rrggbb")
# Computed at once, so that no whole picture is held in wide integers.
_ROWS = 64
_COLOUR = re.compile(r"#([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class Extras:
    """What the chunks of a file hold, in the form of `Picture`; notes: one line for each that is damaged."""

    alpha: NDArray[np.uint8] | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    notes: tuple[str, ...] = ()


def check_keep(keep: Iterable[str]) -> tuple[str, ...]:
    """The names, or the only one; UsageError unless each is in KEEPABLE."""
    try:
        names = (keep,) if isinstance(keep, str) else tuple(keep)
    except TypeError:
        raise UsageError(f"keep is some of {', '.join(KEEPABLE)}, not {keep!r}") from None
    unknown = [str(name) for name in names if name not in KEEPABLE]
    if unknown:
        raise UsageError(f"cannot keep {', '.join(sorted(unknown))}: only {', '.join(KEEPABLE)}")
    return names


def check_alpha(policy: str) -> None:
    """UsageError unless the policy is one of ALPHA_POLICIES."""
    if policy not in ("keep", "drop") and not _COLOUR.fullmatch(policy):
        raise UsageError(f"alpha must be {', '.join(ALPHA_POLICIES)}, not {policy!r}")


def to_chunks(picture: Picture, keep: Collection[str] = ()) -> tuple[tuple[Chunk, ...], tuple[str, ...]]:
    """(chunks of the alpha plane and of the metadata named in `keep`, notes); UsageError for an unknown name."""
    check_keep(keep)
    found = {"icc": picture.icc, "exif": picture.exif, "xmp": picture.xmp}
    chunks, notes = [], []
    for name in KEEPABLE:
        data = found[name]
        if name not in keep:
            if data:
                notes.append(f"{name.upper()} dropped ({len(data)} bytes; --keep {name} stores it)")
        elif data:
            chunks.append(Chunk(ChunkType[name.upper()], data))
        else:
            notes.append(f"no usable {name.upper()} to keep")
    if picture.alpha is not None:
        chunks.append(Chunk(ChunkType.ALPHA, pack_alpha(picture.alpha)))
    return tuple(chunks), tuple(notes)


def from_chunks(chunks: Iterable[Chunk], height: int, width: int, region: Region | None = None) -> Extras:
    """Alpha plane [height, width], or what is in `region` of it, and metadata of a file.

    A damaged alpha plane becomes a note. Raises UsageError for a region that is not inside the picture.
    """
    area = region_tile(region, height, width)
    found = {chunk.type: chunk.data for chunk in chunks}
    alpha: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()
    if ChunkType.ALPHA in found:
        try:
            alpha = unpack_alpha(found[ChunkType.ALPHA], height, width, area)
        except FormatError as error:
            notes = (f"{error}: the picture is opaque",)
    return Extras(alpha, found.get(ChunkType.ICC), found.get(ChunkType.EXIF), found.get(ChunkType.XMP), notes)


def apply_alpha(picture: Picture, policy: str) -> Picture:
    """The picture with its alpha plane kept (`keep`), left away (`drop`) or over a colour (`#rrggbb`, sRGB).

    UsageError for another policy.
    """
    check_alpha(policy)
    colour = _COLOUR.fullmatch(policy)
    if picture.alpha is None or policy == "keep":
        return picture
    if colour is None:
        return replace(picture, alpha=None, notes=(*picture.notes, "transparency dropped"))
    behind = np.frombuffer(bytes.fromhex(colour[1]), np.uint8).astype(np.uint16)
    pixels = np.empty_like(picture.pixels)
    for top in range(0, len(pixels), _ROWS):
        rows = slice(top, top + _ROWS)
        weight = picture.alpha[rows, :, None].astype(np.uint16)
        pixels[rows] = (picture.pixels[rows] * weight + behind * (255 - weight) + 127) // 255
    grey = picture.grey and len(set(bytes.fromhex(colour[1]))) == 1
    return replace(picture, pixels=pixels, alpha=None, grey=grey, notes=(*picture.notes, f"laid over {policy}"))
