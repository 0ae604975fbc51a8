"""The ARPC codec: pixels -> tokenizer -> scales -> prior -> entropy coder -> container, and back.

encode:  pixels -> h -> tiles -> bits per scale -> one sealed stream per scale -> file
decode:  file -> bits of the scales that were sent -> prior fills the others -> z -> pixels
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from arpc_codec.codecs.coded import CodedScale, Shelf, coded_positions, segment, unchecked
from arpc_codec.codecs.filling import MEAN, SEEDS, Filling
from arpc_codec.codecs.layout import Layout, layout, published_layout, resample
from arpc_codec.codecs.lossy import (
    Decoded,
    Encoded,
    analyse,
    check_file,
    check_pixels,
    fit,
    synthesise,
    to_send,
    touching,
)
from arpc_codec.codecs.priors import Priors
from arpc_codec.codecs.streams import join_streams, split_streams
from arpc_codec.codecs.tiles import Windows, blend
from arpc_codec.codecs.tokens import Walk, decode_scale, encode_latent, encode_scales
from arpc_codec.codecs.verification import another_machine
from arpc_codec.container import Chunk, Codec, Colour, Container, Header, writable, write
from arpc_codec.entropy.guard import MAX_GUARD
from arpc_codec.errors import ArpcError, FormatError, UsageError
from arpc_codec.exact.planes import ExactPlanePrior
from arpc_codec.exact.prior import ExactPrior
from arpc_codec.prior.coding import CodingPrior
from arpc_codec.prior.context import PHASES
from arpc_codec.text import text_encoder
from arpc_codec.tile import Region, Tile, region_tile
from arpc_codec.tokenizer import channels_last
from arpc_codec.zoo.bundle import Bundle, load_bundle
from arpc_codec.zoo.registry import ModelEntry

# Cells on each side of what the convolutions take at a time.
WINDOW = 48
# Logits of two machines may be this far apart; measured by `dev.bench.noise`, see docs/exactness.md.
DEFAULT_GUARD = 3e-4


class DamagedScale(FormatError):
    """The check of one scale failed."""

    def __init__(self, scale: int) -> None:
        super().__init__(f"scale {scale} is damaged")
        self.scale = scale


class ArpcCodec:
    """Encoder and decoder of one model; safe to reuse for any number of pictures.

    text_encoder: caption -> features [T, text_channels] of a prior that takes text; without it captions change nothing.
    """

    def __init__(
        self, bundle: Bundle, device: str = "cpu", text_encoder: Callable[[str], Tensor] | None = None
    ) -> None:
        self.bundle, self.device = bundle, torch.device(device)
        self.priors = Priors(bundle, self.device, text_encoder)
        self.tokenizer = bundle.tokenizer
        reach = self.tokenizer.reach
        self._windows = None if reach is None else Windows(WINDOW, reach)
        channels_last(self.tokenizer)

    @classmethod
    def load(cls, model: str | int | ModelEntry = "tiny", device: str = "cpu") -> ArpcCodec:
        """Load a model by name or registry id. Raises ModelError when it is missing."""
        bundle = load_bundle(model, device)
        return cls(bundle, device, text_encoder(bundle.entry, device))

    def total(self, header: Header) -> int:
        """Scales that the picture of a file has, sent or not."""
        return len(self.layout(header.height, header.width).schedule)

    def layout(self, height: int, width: int) -> Layout:
        """What this model codes of a picture of that size."""
        if self.bundle.prior.config.rope_grid == "published":
            return published_layout(height, width)
        return layout(height, width, self.tokenizer.schedule)

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
        portable: bool = False,
        guard: float | None = None,
        verify: bool = False,
    ) -> Encoded:
        """uint8 [H, W, 3] -> file with the first `scales` scales (None: all), or as many as fit `target_bytes`.

        portable: coded without the prior, so that decoding needs the tokenizer alone. guard: how far, in logits, the
        priors of two machines may be apart (None: DEFAULT_GUARD); of a float prior only. verify: decode the file again,
        as differently as this machine can, and compare; a guard that was too small is raised tenfold.

        Raises UsageError for another array, for scales < 1, when not even one scale fits the target, and for a guard
        that is too large; ModelError for a caption of more tokens than the model takes; ArpcError when the file does
        not decode to what was encoded.
        """
        check_pixels(pixels_hw3)
        height, width = pixels_hw3.shape[:2]
        plan = self.layout(height, width)
        sent, notes = to_send(scales, len(plan.schedule), Codec.ARPC.noun)
        header = Header(
            codec=Codec.ARPC,
            model_id=self.bundle.entry.id,
            width=width,
            height=height,
            scales=sent,
            colour=Colour.GREY if grey else Colour.RGB,
            tiled=len(plan.tiles) > 1,
            caption=caption,
            portable=portable,
            conditioned=bool(caption) and not portable and self.priors.takes_text,
        )
        prior = self.priors.of(header, plan)
        header = writable(replace(header, guarded=prior.guarded))
        if guard is not None and not prior.guarded:
            raise UsageError("a guard is of models with a float prior, and not of portable files")
        h = self.analyse(pixels_hw3)
        shelf = Shelf()
        coded = [[scale.on(shelf) for scale in self.encode_tile(h, tile, plan, prior, sent)] for tile in plan.tiles]
        margin = DEFAULT_GUARD if guard is None else guard
        while True:
            segments = tuple(self._segment(coded, index, plan, guard=margin) for index in range(sent))
            container = Container(header, segments, chunks)
            if target_bytes is not None:
                container = self._fit(container, coded, target_bytes, margin)
            if not verify or self._comes_back(container, coded):
                return Encoded(write(container), container.header.scales, len(plan.schedule), notes)
            margin *= 10
            if not prior.guarded or not 0 < margin < MAX_GUARD:
                raise ArpcError("the file does not decode to the tokens that were encoded")
            notes = (*notes, f"decoding again gave other tokens: guard raised to {margin:g}")

    def analyse(self, pixels_hw3: np.ndarray) -> Tensor:
        """h [1, C, rows, cols] of a picture, resampled if its layout says so."""
        pixels_hw3 = resample(pixels_hw3, self.layout(*pixels_hw3.shape[:2]).size)
        return analyse(self.tokenizer.encoder, pixels_hw3[None], self.device, self._windows)

    def encode_tile(self, h: Tensor, tile: Tile, plan: Layout, prior: CodingPrior, sent: int) -> list[CodedScale]:
        """The first `sent` scales of a tile of h, as `analyse` gives it."""
        part, walk = h[(..., *tile.window)].to(self.device), self._walk(prior, plan)
        trade = self.tokenizer.config.trade
        if trade and isinstance(prior, ExactPlanePrior):
            return encode_latent(walk, part, sent, trade)
        bits = self.tokenizer.quantizer(part, plan.schedule).bits
        return encode_scales(walk, [b[0] for b in bits[:sent]])

    def _segment(
        self, coded: list[list[CodedScale]], index: int, plan: Layout, phases: int = len(PHASES), *, guard: float
    ) -> bytes:
        told = self.bundle.fingerprint, plan.schedule, phases, guard
        return join_streams([segment(tile[: index + 1], *told) for tile in coded])

    def _fit(self, whole: Container, coded: list[list[CodedScale]], target_bytes: int, guard: float) -> Container:
        """The longest prefix of scales, the last one in whole phases, that makes a file of at most `target_bytes`."""

        plan = self.layout(whole.header.height, whole.header.width)
        kept = fit(whole, target_bytes)
        sent = kept.header.scales
        if sent < whole.header.scales:
            for phases in range(len(PHASES) - 1, 0, -1):
                adds_tokens = any(tile[sent].grows(phases) for tile in coded)
                header = replace(whole.header, scales=sent + 1, phases=phases)
                last = self._segment(coded, sent, plan, phases, guard=guard)
                longer = Container(header, (*kept.segments, last), whole.chunks)
                if adds_tokens and len(write(longer)) <= target_bytes:
                    return longer
        return kept

    def _comes_back(self, container: Container, coded: list[list[CodedScale]]) -> bool:
        """Whether a file decodes to the tokens it was made of, the network running as it would elsewhere."""
        header = container.header
        plan = self.layout(header.height, header.width)
        try:
            with another_machine():
                streams = self._streams(container, header.scales)
                for index, scales in enumerate(coded):
                    walk = self._walk(self.priors.of(header, plan), plan)
                    tokens = self._decode_scales(walk, header, [scale[index] for scale in streams])
                    for number, (found, scale) in enumerate(zip(tokens, scales, strict=False)):
                        sent = coded_positions(found, header.sent_phases(number))
                        tokens_hwd = torch.from_numpy(scale.tokens_hwd)
                        if not torch.equal(found[sent].cpu(), tokens_hwd[sent.cpu()]):
                            return False
        except DamagedScale:
            return False
        return True

    # -- decode ------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(
        self,
        container: Container,
        *,
        scales: int | None = None,
        filling: Filling = MEAN,
        region: Region | None = None,
    ) -> Decoded:
        """Picture from the scales that arrived (at most `scales`); the prior fills the others as `filling` says.

        region: only its pixels; tiles that they do not depend on are not decoded, so damage there goes unnoticed.
        Raises FormatError when no scale is usable, ModelError for a file of another model or a caption that cannot be
        used as the file needs it, UsageError for bad options.
        """
        used, total = self.check(container, scales, filling)
        area = region_tile(region, container.header.height, container.header.width)
        damaged: set[int] = set()
        while used:
            try:
                z = self.latent(container, used, filling, area)
                return self._synthesise(container, z, used, total, tuple(sorted(damaged)), filling, area)
            except DamagedScale as error:
                # Every tile must stop at the same scale, as in a shorter file.
                damaged.add(error.scale)
                used = error.scale - 1
        raise FormatError("the first scale is damaged")

    @torch.inference_mode()
    def steps(
        self,
        container: Container,
        *,
        filling: Filling = MEAN,
        region: Region | None = None,
    ) -> Iterator[Decoded]:
        """The picture after each scale, as `decode` with scales = 1, 2, ... gives it; stops before a damaged scale."""
        picture = self.arriving(container.header, filling=filling, region=region)
        for used in range(1, max(1, len(container.segments)) + 1):
            decoded = picture(replace(container, segments=container.segments[:used]))
            if decoded.damaged:
                return
            yield decoded

    def arriving(
        self,
        header: Header,
        *,
        filling: Filling = MEAN,
        region: Region | None = None,
    ) -> Callable[[Container], Decoded]:
        """A function for a file that arrives scale by scale: what `decode` gives of all scales so far.

        Every scale is decoded once, of a tiled picture each time. Raises as `decode`, when it is called.
        """
        plan, area = self.layout(header.height, header.width), region_tile(region, header.height, header.width)
        decode = partial(self.decode, filling=filling, region=region)
        if len(plan.tiles) > 1:
            return decode
        walks: list[Walk] = []

        @torch.inference_mode()
        def picture(container: Container) -> Decoded:
            used, total = self.check(container, None, filling)
            if not walks:
                walks.append(self._walk(self.priors.of(header, plan), plan))
            try:
                self._decode_scales(walks[0], header, list(container.segments[:used]))
            except DamagedScale:
                # The walk is spent, and what to do about damage is for `decode` to say.
                walks.clear()
                return decode(container)
            filled = walks[0].fork()
            self.priors.fill(filled, header, plan, filling)
            return self._synthesise(container, filled.z.float().cpu(), used, total, (), filling, area)

        return picture

    def check(self, container: Container, scales: int | None, filling: Filling) -> tuple[int, int]:
        """(scales to use, scales of the picture) after all that can be checked without decoding; raises as `decode`."""
        check_file(container, Codec.ARPC, self.bundle.entry.id, scales)
        header = container.header
        plan = self.layout(header.height, header.width)
        total = len(plan.schedule)
        if header.scales > total or header.tiled != (len(plan.tiles) > 1):
            raise FormatError(f"scales or tile flag do not fit a {header.width}x{header.height} picture")
        is_float = not isinstance(self.bundle.prior, ExactPrior)
        if header.guarded != (is_float and not header.portable):
            raise FormatError(f"guard lists do not fit the prior of model '{self.bundle.entry.name}'")
        if header.conditioned and not self.bundle.prior.config.text_channels:
            raise FormatError(f"a caption conditions the file, but model '{self.bundle.entry.name}' takes no text")
        if filling.guidance not in (None, 1) and not self.priors.conditions_fill(header):
            raise UsageError("guidance is by a caption that conditions the prior, and this file has none")
        return min(len(container.segments), scales or total), total

    def latent(self, container: Container, used: int, filling: Filling, area: Tile | None = None) -> Tensor:
        """z [1, C, rows, cols] float32 on the CPU, of the size that is coded. Raises DamagedScale.

        area: only the tiles that its pixels depend on are decoded, and the rest of z means nothing.
        """
        header = container.header
        plan = self.layout(header.height, header.width)
        numbers = {tile: number for number, tile in enumerate(plan.tiles)}

        def parts() -> Iterator[tuple[Tile, Tensor]]:
            for tile, walk in self.walks(container, used, area):
                own = replace(filling, seed=(filling.seed + numbers[tile]) % SEEDS)
                self.priors.fill(walk, header, plan, own)
                yield tile, walk.z.float().cpu()

        if len(plan.tiles) == 1:
            return next(parts())[1]
        return blend(parts(), plan.cells)

    def walks(
        self, container: Container, used: int, area: Tile | None = None, *, count: bool = False
    ) -> Iterator[tuple[Tile, Walk]]:
        """Tiles, of which the first `used` scales are decoded, and their walks. Raises DamagedScale.

        area: as in `latent`. count: a walk knows the bits that it received, too.
        """
        header = container.header
        plan = self.layout(header.height, header.width)
        streams, prior = self._streams(container, used), self.priors.of(header, plan)
        wanted = [seen for seen, _ in touching(plan.coded(area), plan.cells, self._windows)]
        for index, tile in enumerate(plan.tiles):
            if any(tile.meet(seen) for seen in wanted):
                walk = self._walk(prior, plan)
                if count:
                    walk.received = torch.zeros(plan.schedule[-1], dtype=torch.float64, device=self.device)
                self._decode_scales(walk, header, [scale[index] for scale in streams])
                yield tile, walk

    def _streams(self, container: Container, used: int) -> list[list[bytes]]:
        """Streams of the tiles, per scale. Raises DamagedScale."""
        count = len(self.layout(container.header.height, container.header.width).tiles)
        streams = []
        for scale, joined in enumerate(container.segments[:used], 1):
            try:
                streams.append(split_streams(joined, count))
            except FormatError as error:
                raise DamagedScale(scale) from error
        return streams

    def _decode_scales(self, walk: Walk, header: Header, streams: list[bytes]) -> list[Tensor]:
        """Advance a walk to the end of its streams, the first of which are those of scales already walked.

        Returns the tokens of the others. Raises DamagedScale.
        """
        tokens = []
        while walk.scale < len(streams):
            scale = walk.scale
            try:
                tokens.append(decode_scale(walk, streams[scale], header.sent_phases(scale)))
            except FormatError as error:
                raise DamagedScale(scale + 1) from error
        return tokens

    def _synthesise(
        self,
        container: Container,
        z: Tensor,
        used: int,
        total: int,
        damaged: tuple[int, ...],
        filling: Filling,
        area: Tile,
    ) -> Decoded:
        header = container.header
        plan = self.layout(header.height, header.width)
        filled = used < self.priors.filled(plan, filling)
        state = self.tokenizer.state(total - used, filled).to(self.device)
        pixels = synthesise(
            lambda part: self.tokenizer.decoder(part, state),
            self.tokenizer.decoder_input(z),
            plan.coded(area),
            self.device,
            self._windows,
        )[0]
        if plan.grid is not None:
            pixels = resample(pixels, (header.height, header.width), area)
        loose = used - unchecked(plan.schedule[:used], header.sent_phases(used - 1)) if used < total else 0
        return Decoded(pixels, used, total, header.scales, damaged, unchecked=loose, filled=filled)

    def _walk(self, prior: CodingPrior, plan: Layout) -> Walk:
        return Walk(prior, self.tokenizer.quantizer, plan.schedule, self.bundle.fingerprint)
