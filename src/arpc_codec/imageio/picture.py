"""The two forms in which pictures travel between files and codecs: 8-bit sRGB, and samples exactly as stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arpc_codec.container import MAX_PIXELS, METADATA, Resolution, Text
from arpc_codec.errors import UsageError
from arpc_codec.imageio.metadata import without_prefix

__all__ = ["MAX_PIXELS", "ExactPicture", "Picture", "Samples"]

# uint8 or uint16.
Samples = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """pixels: uint8 [H, W, 3], sRGB unless `icc` holds the profile they are in. alpha: uint8 [H, W] or None (opaque).

    grey: the picture has no colour and comes back as one channel. exif: TIFF bytes, orientation set to 1; xmp: packet.
    notes: one line for everything that the pixels could not keep.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ExactPicture:
    """samples: uint8 or uint16 [H, W, C], C-contiguous: grey, grey and alpha, RGB or RGBA (C = 1 to 4), straight alpha.

    icc, exif, xmp, iptc: bytes of the source (exif as TIFF bytes, its orientation not applied; iptc as IIM records),
    cicp, gama, chrm, srgb: as in the PNG chunks of these names; None for none. notes: one line for everything that has
    another form now, left_out: one for what the source held and this does not.
    Pictures are equal when samples and metadata are. Raises UsageError for any other array and for empty metadata.
    """

    samples: Samples
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    cicp: bytes | None = None
    gama: bytes | None = None
    chrm: bytes | None = None
    srgb: bytes | None = None
    resolution: Resolution | None = None
    texts: tuple[Text, ...] = ()
    iptc: bytes | None = None

    def __post_init__(self) -> None:
        samples = self.samples
        if samples.dtype not in (np.uint8, np.uint16) or samples.ndim != 3 or not 1 <= samples.shape[2] <= 4:
            shape = list(samples.shape)
            raise UsageError(f"samples must be uint8 or uint16 [H, W, 1 to 4], not {samples.dtype} {shape}")
        if not samples.size or not samples.flags.c_contiguous:
            raise UsageError("samples must be there, in C order")
        # Some writers put the prefix that JPEG needs into PNG's eXIf, too.
        if self.exif:
            object.__setattr__(self, "exif", without_prefix(self.exif) or None)
        if b"" in self.metadata.values():
            raise UsageError("metadata that is not there must be None, not empty")

    @property
    def bits(self) -> int:
        """Bits of a sample: 8 or 16."""
        return 8 * self.samples.itemsize

    @property
    def metadata(self) -> dict[str, Any]:
        """By the names in METADATA, those that there are."""
        return {name: value for name in METADATA if (value := getattr(self, name)) not in (None, ())}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExactPicture):
            return NotImplemented
        return (
            self.samples.dtype == other.samples.dtype
            and np.array_equal(self.samples, other.samples)
            and self.metadata == other.metadata
        )
