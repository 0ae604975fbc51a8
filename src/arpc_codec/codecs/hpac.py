"""The HPAC codec: samples and metadata -> payload and tail chunks -> container, and back, bit for bit.

encode:  samples -> value tables -> tiles -> adaptive prediction -> exact prior -> entropy coder -> file
decode:  file -> tiles, each with a check of its own -> samples, which the file's CRC-32 proves
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from arpc_codec.codecs.lossless import Progress, decode, encode
from arpc_codec.container import (
    METADATA,
    Codec,
    Colour,
    Container,
    Header,
    LosslessMode,
    to_chunk,
    value_of,
    writable,
    write,
)
from arpc_codec.errors import FormatError, ModelError, UsageError
from arpc_codec.imageio import ExactPicture
from arpc_codec.tile import Region, Tile, region_tile
from arpc_codec.zoo.lossless import LosslessModel, load_lossless
from arpc_codec.zoo.registry import ModelEntry, find

# Tiles that a message tells the place of.
NAMED = 4


@dataclass(frozen=True)
class ExactDecoded:
    """Tiles that are `damaged`, or `missing` because the file was cut, hold zeros.

    damage: what of the file is wrong, cut: what of it is not there, as one line; empty for nothing.
    """

    picture: ExactPicture
    damaged: tuple[Tile, ...]
    missing: tuple[Tile, ...]
    damage: str
    cut: str


class HpacCodec:
    """Encoder and decoder of one lossless model; safe to reuse for any number of pictures."""

    def __init__(self, model: LosslessModel) -> None:
        self.model = model

    @classmethod
    def load(cls, model: str | int | ModelEntry = "lossless") -> HpacCodec:
        """Load a model by name or registry id. Raises ModelError when it is missing or for another codec."""
        return cls(load_lossless(find(model).path))

    def encode(
        self,
        picture: ExactPicture,
        *,
        adapt: int = 0,
        caption: str = "",
        progress: Progress = lambda done, of: None,
        hands: int = 1,
    ) -> bytes:
        """The file of a picture. adapt: steps of fitting the prior to it; progress(tiles done, of). hands: threads."""
        height, width, channels = picture.samples.shape
        header = writable(
            Header(
                codec=Codec.HPAC,
                model_id=self.model.entry.id,
                width=width,
                height=height,
                scales=1,
                colour=Colour.GREY if channels < 3 else Colour.RGB,
                caption=caption,
                lossless=LosslessMode(picture.bits, channels % 2 == 0, self.model.tile),
            )
        )
        coders, side = self.model.coders, self.model.tile
        payload = encode(picture.samples, coders, side, adapt=adapt, progress=progress, hands=hands)
        chunks = tuple(to_chunk(name, value) for name, value in picture.metadata.items())
        return write(Container(header, (payload,), chunks))

    def decode(
        self,
        container: Container,
        *,
        progress: Progress = lambda done, of: None,
        hands: int = 1,
        region: Region | None = None,
    ) -> ExactDecoded:
        """The picture of a file, damaged and cut ones too; region: only its pixels, from the tiles that have them.

        hands: threads. Damage in other tiles is noticed by the file check only. Raises FormatError when no tile is
        good, ModelError for a file of another model, UsageError for a region that is not inside the picture.
        """
        header, mode = container.header, container.header.lossless
        if mode is None:
            raise UsageError(f"not an hpac file but {header.codec.name.lower()}")
        if header.model_id != self.model.entry.id:
            raise ModelError(f"the file needs model id {header.model_id}, this is {self.model.entry.id}")
        whole = bool(container.segments)
        found = decode(
            container.segments[0] if whole else container.rest,
            (header.height, header.width, header.channels),
            np.uint16 if mode.bits == 16 else np.uint8,
            self.model.coders,
            mode.tile,
            progress=progress,
            hands=hands,
            area=region_tile(region, header.height, header.width),
        )
        # A whole segment lacks no tile, and a cut one lacks some: otherwise its length or another is wrong.
        damaged, missing = (found.damaged + found.missing, ()) if whole else (found.damaged, found.missing)
        damage, cut = "", ""
        if damaged:
            damage = f"{_places(damaged)} lost"
        elif not (found.sound if whole else missing):
            damage = "the samples cannot be proven right"
        elif not container.sound:
            where = "metadata, caption" if region is None else "metadata, caption, other tiles"
            damage = f"the samples are right, but {where} or file check are not"
        if container.truncated:
            cut = f"{_places(missing)} did not arrive" if missing else "metadata or file check at its end is missing"
        metadata: dict[str, Any] = {}
        for chunk in container.chunks:
            try:
                metadata |= {chunk.name: value_of(chunk)} if chunk.name in METADATA else {}
            except FormatError as error:
                damage = damage or f"the samples are right, but {error}"
        return ExactDecoded(ExactPicture(found.samples, **metadata), damaged, missing, damage, cut)


def _places(tiles: tuple[Tile, ...]) -> str:
    """How many tiles, and which pixels they are."""
    areas = [f"rows {t.top}-{t.top + t.height - 1} columns {t.left}-{t.left + t.width - 1}" for t in tiles[:NAMED]]
    more = f" and {len(tiles) - NAMED} more" if len(tiles) > NAMED else ""
    return f"{len(tiles)} tile{'s' * (len(tiles) > 1)} ({', '.join(areas)}{more})"
