"""Where every byte of a file went, without any model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from arpc_codec.container.container import MAX_PIXELS, Container, keep, parse, write
from arpc_codec.container.cursor import Field, Kind
from arpc_codec.container.header import Header, LosslessMode
from arpc_codec.container.varint import encode_varint


@dataclass(frozen=True)
class Info:
    """What a file says about itself; the four byte sums add up to `file_bytes`, and so do `fields`.

    `bpp_per_scale[i]` is the rate, in bits a pixel, of the file that `truncate(scales=i + 1)` gives. `lossless`: bits
    of a sample, channels, tile side and bits a sample (bpsp) of an HPAC file, `sound`: its file check is right.
    `holes`: packets of a ProGIC file were lost, so that its stages are not there everywhere. `guarded`, `portable` and
    `conditioned` as in `Header`.
    """

    codec: str
    colour: str
    model_id: int
    width: int
    height: int
    scales_declared: int
    scales_present: int
    phases: int | None
    tiled: bool
    caption: str
    truncated: bool
    file_bytes: int
    overhead_bytes: int
    payload_bytes: int
    caption_bytes: int
    metadata_bytes: int
    bpp: float
    bpp_per_scale: tuple[float, ...]
    fields: tuple[Field, ...]
    lossless: dict[str, float] | None = None
    holes: bool = False
    guarded: bool = False
    portable: bool = False
    conditioned: bool = False
    sound: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain dict for `json.dumps`, rates rounded to 6 digits, with `"schema": 1`."""
        plain = asdict(self) | {
            "bpp": round(self.bpp, 6),
            "bpp_per_scale": [round(rate, 6) for rate in self.bpp_per_scale],
            "fields": [asdict(field) for field in self.fields],
        }
        return {"schema": 1} | plain


def info(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Info:
    """Describe a file, cut ones too; raises what `read` raises."""
    container, fields = parse(data, max_pixels=max_pixels)
    header = container.header

    def total(kind: Kind) -> int:
        return sum(field.length for field in fields if field.kind == kind)

    pixels = header.width * header.height
    sizes = _truncated(container) if header.lossless is None else [len(data) for _ in container.segments]
    return Info(
        codec=header.codec.name.lower(),
        colour=header.colour.name.lower(),
        model_id=header.model_id,
        width=header.width,
        height=header.height,
        scales_declared=header.scales,
        scales_present=len(container.segments),
        phases=header.phases,
        tiled=header.tiled,
        caption=header.caption,
        truncated=container.truncated,
        file_bytes=len(data),
        overhead_bytes=total("overhead"),
        payload_bytes=total("payload"),
        caption_bytes=total("caption"),
        metadata_bytes=total("metadata"),
        bpp=8 * len(data) / pixels,
        bpp_per_scale=tuple(8 * size / pixels for size in sizes),
        fields=tuple(fields),
        lossless=None if header.lossless is None else _lossless(header, header.lossless, len(data)),
        holes=header.holes,
        guarded=header.guarded,
        portable=header.portable,
        conditioned=header.conditioned,
        sound=container.sound,
    )


def _truncated(container: Container) -> list[int]:
    """Bytes of the file that `truncate` gives for each number of segments."""
    if not container.segments:
        return []
    # A caption takes time to code, so that not every file's header is written.
    added = (len(encode_varint(len(segment))) + len(segment) for segment in container.segments[1:])
    sizes = list(accumulate(added, initial=len(write(keep(container, 1)))))
    # Only here the header may have a byte more: how much of the last scale is there.
    sizes[-1] = len(write(keep(container, len(container.segments))))
    return sizes


def _lossless(header: Header, mode: LosslessMode, size: int) -> dict[str, float]:
    samples = header.width * header.height * header.channels
    bpsp = round(8 * size / samples, 6)
    return {"bits": mode.bits, "channels": header.channels, "tile": mode.tile, "bpsp": bpsp}
