"""The ARPC codec: pixels -> tokenizer -> scales -> exact prior -> entropy coder -> container, and back.

encode:  pixels -> h -> tiles -> bits per scale -> one sealed stream per scale -> file
decode:  file -> bits of the scales that were sent -> prior fills the others -> z -> pixels
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..container import Chunk, Codec, Colour, Container, Header, write
from ..container.varint import CutError, decode_varint, encode_varint
from ..errors import FormatError, ModelError, UsageError
from ..exact.prior import ExactPrior
from ..prior.context import PHASES
from ..scales import Schedule, latent_size, scale_schedule
from ..tokenizer import channels_last
from ..zoo.bundle import Bundle, load_bundle
from .lossy import Decoded, Encoded, analyse, check_file, check_pixels, fit, synthesise, to_send, whole_cells
from .tiles import Tile, Windows, blend, tiles
from .tokens import CodedScale, Walk, decode_scale, encode_scales, fill_scales

FILLS = ("mean", "argmax", "sample", "none")
# The decoder of model tiny sees 18 cells; the last two are worth 1e-5 of a level.
WINDOWS = Windows(side=48, halo=16)


class DamagedScale(FormatError):
    """The check of one scale failed."""

    def __init__(self, scale: int) -> None:
        super().__init__(f"scale {scale} is damaged")
        self.scale = scale


class ArpcCodec:
    """Encoder and decoder of one model; safe to reuse for any number of pictures."""

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        if not isinstance(bundle.prior, ExactPrior):
            raise ModelError(f"model '{bundle.entry.name}' has a float prior, which this version cannot code with yet")
        self.bundle, self.prior, self.device = bundle, bundle.prior, torch.device(device)
        self.tokenizer = bundle.tokenizer
        channels_last(self.tokenizer)

    @classmethod
    def load(cls, model: str | int = "tiny", device: str = "cpu") -> ArpcCodec:
        """Load a model by name or registry id. Raises ModelError when it is missing or has no exact prior."""
        return cls(load_bundle(model, device), device)

    # -- encode ------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def encode(
        self,
        pixels_hw3: np.ndarray,
        *,
        scales: int | None = None,
        target_bytes: int | None = None,
        caption: str = "",
        grey: bool = False,
        chunks: tuple[Chunk, ...] = (),
    ) -> Encoded:
        """uint8 [H, W, 3] -> file with the first `scales` scales (None: all), or as many as fit `target_bytes`.

        Raises UsageError for another array, for scales < 1 and when not even one scale fits the target.
        """
        check_pixels(pixels_hw3)
        h = self.analyse(pixels_hw3)
        layout = tiles(h.shape[-2], h.shape[-1])
        total = len(scale_schedule(layout[0].height, layout[0].width))
        sent, notes = to_send(scales, total, Codec.ARPC.noun)
        coded = [self._encode_tile(h, tile, sent) for tile in layout]
        header = Header(
            codec=Codec.ARPC,
            model_id=self.bundle.entry.id,
            width=pixels_hw3.shape[1],
            height=pixels_hw3.shape[0],
            scales=sent,
            colour=Colour.GREY if grey else Colour.RGB,
            tiled=len(layout) > 1,
            caption=caption,
        )
        segments = tuple(self._segment(coded, index) for index in range(sent))
        container = Container(header, segments, chunks)
        if target_bytes is not None:
            container = self._fit(container, coded, target_bytes)
        return Encoded(write(container), container.header.scales, total, notes)

    def analyse(self, pixels_hw3: np.ndarray) -> Tensor:
        """h [1, C, rows, cols] of a picture."""
        return analyse(self.tokenizer.encoder, whole_cells(pixels_hw3[None]), self.device, WINDOWS)

    def _encode_tile(self, h: Tensor, tile: Tile, sent: int) -> list[CodedScale]:
        part = h[(..., *tile.window)].to(self.device)
        schedule = scale_schedule(tile.height, tile.width)
        bits = self.tokenizer.quantizer(part, schedule).bits
        return encode_scales(self._walk(schedule), [b[0] for b in bits[:sent]])

    def _segment(self, coded: list[list[CodedScale]], index: int, phases: int = len(PHASES)) -> bytes:
        streams = [tile[index].segment(self.bundle.fingerprint, phases) for tile in coded]
        if len(streams) == 1:
            return streams[0]
        return b"".join(encode_varint(len(stream)) + stream for stream in streams)

    def _fit(self, whole: Container, coded: list[list[CodedScale]], target_bytes: int) -> Container:
        """The longest prefix of scales, the last one in whole phases, that makes a file of at most `target_bytes`."""

        kept = fit(whole, target_bytes)
        sent = kept.header.scales
        if sent < whole.header.scales:
            for phases in range(len(PHASES) - 1, 0, -1):
                adds_tokens = any(tile[sent].phases[phases - 1] for tile in coded)
                header = replace(whole.header, scales=sent + 1, phases=phases)
                longer = Container(header, (*kept.segments, self._segment(coded, sent, phases)), whole.chunks)
                if adds_tokens and len(write(longer)) <= target_bytes:
                    return longer
        return kept

    # -- decode ------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, container: Container, *, scales: int | None = None, fill: str = "mean", seed: int = 0) -> Decoded:
        """Picture from the scales that arrived (at most `scales`); the prior fills the others as `fill` says.

        Raises FormatError when no scale is usable, ModelError for a file of another model, UsageError for bad options.
        """
        used, total = self._check(container, scales, fill, seed)
        damaged: set[int] = set()
        while used:
            try:
                z = self.latent(container, used, fill, seed)
                return self._synthesise(container, z, used, total, tuple(sorted(damaged)), fill)
            except DamagedScale as error:
                # Every tile must stop at the same scale, as in a shorter file.
                damaged.add(error.scale)
                used = error.scale - 1
        raise FormatError("the first scale is damaged")

    @torch.inference_mode()
    def steps(self, container: Container, *, fill: str = "mean", seed: int = 0) -> Iterator[Decoded]:
        """The picture after each scale, as `decode` with scales = 1, 2, ... gives it; stops before a damaged scale."""
        sent, total = self._check(container, None, fill, seed)
        layout = self._layout(container)
        walk = self._walk(scale_schedule(layout[0].height, layout[0].width))
        for used in range(1, sent + 1):
            if len(layout) > 1:
                decoded = self.decode(container, scales=used, fill=fill, seed=seed)
                if decoded.damaged:
                    return
                yield decoded
                continue
            try:
                self._decode_scales(walk, container.header, list(container.segments[:used]))
            except DamagedScale:
                return
            filled = walk.fork()
            if fill != "none":
                fill_scales(filled, fill, seed)
            yield self._synthesise(container, filled.z.float().cpu(), used, total, (), fill)

    def _check(self, container: Container, scales: int | None, fill: str, seed: int) -> tuple[int, int]:
        """(scales to use, scales of the picture) after all that can be checked without decoding."""
        if fill not in FILLS:
            raise UsageError(f"fill must be one of {', '.join(FILLS)}, not {fill!r}")
        if not 0 <= seed < 1 << 63:
            raise UsageError(f"seed must be 0 or more, not {seed}")
        check_file(container, Codec.ARPC, self.bundle.entry.id, scales)
        header = container.header
        layout = self._layout(container)
        total = len(scale_schedule(layout[0].height, layout[0].width))
        if header.scales > total or header.tiled != (len(layout) > 1):
            raise FormatError(f"scales or tile flag do not fit a {header.width}x{header.height} picture")
        return min(len(container.segments), scales or total), total

    @staticmethod
    def _layout(container: Container) -> list[Tile]:
        return tiles(*latent_size(container.header.height, container.header.width))

    def latent(self, container: Container, used: int, fill: str, seed: int) -> Tensor:
        """z [1, C, rows, cols] float32 on the CPU. Raises DamagedScale."""
        layout = self._layout(container)
        streams = self._streams(container, used)

        def parts() -> Iterator[tuple[Tile, Tensor]]:
            for index, tile in enumerate(layout):
                walk = self._walk(scale_schedule(tile.height, tile.width))
                self._decode_scales(walk, container.header, [scale[index] for scale in streams])
                if fill != "none":
                    fill_scales(walk, fill, seed + index)
                yield tile, walk.z.float().cpu()

        if len(layout) == 1:
            return next(parts())[1]
        return blend(parts(), latent_size(container.header.height, container.header.width))

    def _streams(self, container: Container, used: int) -> list[list[bytes]]:
        """Streams of the tiles, per scale. Raises DamagedScale."""
        count, streams = len(self._layout(container)), []
        for scale, segment in enumerate(container.segments[:used], 1):
            try:
                streams.append(_split(segment, count))
            except FormatError as error:
                raise DamagedScale(scale) from error
        return streams

    def _decode_scales(self, walk: Walk, header: Header, streams: list[bytes]) -> None:
        """Advance a walk to the end of its streams, the first of which are those of scales already walked.

        Raises DamagedScale.
        """
        while walk.scale < len(streams):
            scale = walk.scale
            phases = header.phases if header.phases and scale + 1 == header.scales else len(PHASES)
            try:
                decode_scale(walk, streams[scale], self.bundle.fingerprint, phases)
            except FormatError as error:
                raise DamagedScale(scale + 1) from error

    def _synthesise(
        self, container: Container, z: Tensor, used: int, total: int, damaged: tuple[int, ...], fill: str
    ) -> Decoded:
        header = container.header
        state = self.tokenizer.state(total - used, fill != "none").to(self.device)
        pixels = synthesise(
            lambda part: self.tokenizer.decoder(part, state),
            z,
            (header.height, header.width),
            self.device,
            WINDOWS,
        )
        return Decoded(pixels[0], used, total, header.scales, damaged)

    def _walk(self, schedule: Schedule) -> Walk:
        return Walk(self.prior, self.tokenizer.quantizer, schedule)


def _split(segment: bytes, count: int) -> list[bytes]:
    """Streams of the tiles in one segment. Raises FormatError when the lengths do not fit."""
    if count == 1:
        return [segment]
    streams, offset = [], 0
    try:
        for _ in range(count):
            size, offset = decode_varint(segment, offset)
            streams.append(segment[offset : offset + size])
            offset += size
    except CutError as error:
        raise FormatError("a tile's stream is cut") from error
    if offset != len(segment):
        raise FormatError("the tiles' streams do not fill their segment")
    return streams
