"""The HPAC codec: samples and metadata -> payload and tail chunks -> container, and back, bit for bit.

encode:  samples -> value tables -> tiles -> adaptive prediction -> exact prior -> entropy coder -> file
decode:  file -> tiles, each with a check of its own -> samples, which the file's CRC-32 proves
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..container import Chunk, ChunkType, Codec, Colour, Container, Header, LosslessMode, write
from ..errors import FormatError, ModelError
from ..imageio import ExactPicture
from ..zoo.lossless import LosslessModel, load_lossless
from ..zoo.registry import find
from .lossless import Progress, Tile, decode, encode

METADATA = (ChunkType.ICC, ChunkType.EXIF, ChunkType.XMP)


@dataclass(frozen=True)
class ExactDecoded:
    """damaged: tiles that are lost and hold zeros. sound: the CRC-32 of all samples is right."""

    picture: ExactPicture
    damaged: tuple[Tile, ...]
    sound: bool


class HpacCodec:
    """Encoder and decoder of one lossless model; safe to reuse for any number of pictures."""

    def __init__(self, model: LosslessModel) -> None:
        self.model = model

    @classmethod
    def load(cls, model: str | int = "lossless", device: str = "cpu") -> HpacCodec:
        """Load a model by name or registry id. Raises ModelError when it is missing or for another codec."""
        return cls(load_lossless(find(model).path, device))

    def encode(
        self,
        picture: ExactPicture,
        *,
        adapt: int = 0,
        caption: str = "",
        progress: Progress = lambda done, of: None,
    ) -> bytes:
        """The file of a picture. adapt: steps of fitting the prior to it; progress(tiles done, of)."""
        height, width, channels = picture.samples.shape
        header = Header(
            codec=Codec.HPAC,
            model_id=self.model.entry.id,
            width=width,
            height=height,
            scales=1,
            colour=Colour.GREY if channels < 3 else Colour.RGB,
            caption=caption,
            lossless=LosslessMode(picture.bits, channels % 2 == 0, self.model.tile),
        )
        payload = encode(picture.samples, self.model.coders, self.model.tile, adapt=adapt, progress=progress)
        metadata = zip(METADATA, (picture.icc, picture.exif, picture.xmp), strict=True)
        return write(Container(header, (payload,), tuple(Chunk(type_, data) for type_, data in metadata if data)))

    def decode(self, container: Container, *, progress: Progress = lambda done, of: None) -> ExactDecoded:
        """The picture of a file, whole or cut. FormatError when nothing is usable, ModelError for another model."""
        header, mode = container.header, container.header.lossless
        if mode is None or header.model_id != self.model.entry.id:
            raise ModelError(f"the file needs model id {header.model_id}, this is {self.model.entry.id}")
        if any(chunk.type == ChunkType.ALPHA for chunk in container.chunks):
            raise FormatError("an alpha plane beside a lossless picture")
        payload = container.segments[0] if container.segments else container.rest
        dtype = np.uint16 if mode.bits == 16 else np.uint8
        found = decode(
            payload,
            (header.height, header.width, header.channels),
            dtype,
            self.model.coders,
            mode.tile,
            progress=progress,
        )
        metadata = {chunk.type: chunk.data or None for chunk in container.chunks}
        icc, exif, xmp = (metadata.get(type_) for type_ in METADATA)
        return ExactDecoded(ExactPicture(found.samples, icc, exif, xmp), found.damaged, found.sound)
