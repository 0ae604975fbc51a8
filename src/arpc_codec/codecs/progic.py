"""The ProGIC codec: pixels -> encoder -> residual vector quantizer -> coded indices -> container, and back.

encode:  pixels -> y -> indices of stage 1, 2, ... -> one segment per stage -> file
decode:  file -> indices of the stages that arrived -> exact sum z of their entries -> decoder told how many -> pixels
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from arpc_codec.codecs.filling import MEAN, Filling
from arpc_codec.codecs.holes import depths, latent, stages_told
from arpc_codec.codecs.indices import read_next, write_stages
from arpc_codec.codecs.lossy import Decoded, Encoded, analyse, check_file, check_pixels, fit, synthesise, to_send
from arpc_codec.codecs.stages import ABSENT, lost_positions, write_stage
from arpc_codec.codecs.ties import Ties
from arpc_codec.codecs.tiles import Windows
from arpc_codec.codecs.verification import another_machine
from arpc_codec.container import Chunk, Codec, Colour, Container, Header, writable, write
from arpc_codec.errors import ArpcError, FormatError, UsageError
from arpc_codec.scales import latent_size
from arpc_codec.tile import Region, Tile, region_tile
from arpc_codec.tokenizer import channels_last
from arpc_codec.tokenizer.progic import decoder_reach, encoder_reach
from arpc_codec.tokenizer.residual_vq import VectorQuantized
from arpc_codec.zoo.progic import ProgicModel, load_progic
from arpc_codec.zoo.registry import ModelEntry, find

# Side of the windows that the networks see of a large picture, in cells: large beside their halo.
WINDOW = 128
# Positions that are quantised at a time.
BAND = 1 << 16


class ProgicCodec:
    """Encoder and decoder of one model; safe to reuse for any number of pictures.

    Scales are stages here: codebooks whose entries are summed.
    """

    def __init__(self, model: ProgicModel, device: str = "cpu") -> None:
        self.model, self.device = model, torch.device(device)
        self.network, self.config = model.network, model.network.config
        channels_last(self.network)
        self.ties = Ties(self.network)

    @classmethod
    def load(cls, model: str | int | ModelEntry = "progic", device: str = "cpu") -> ProgicCodec:
        """Load a model by name or registry id. Raises ModelError when it is missing or for another codec."""
        return cls(load_progic(find(model).path, device), device)

    # -- encode ------------------------------------------------------------------------------------------------------

    def encode(
        self,
        pixels_hw3: np.ndarray,
        *,
        scales: int | None = None,
        target_bytes: int | None = None,
        caption: str = "",
        grey: bool = False,
        chunks: tuple[Chunk, ...] = (),
        verify: bool = False,
    ) -> Encoded:
        """uint8 [H, W, 3] -> file with the first `scales` stages (None: all), or as many as fit `target_bytes`.

        verify: decode the file again, as differently as this machine can, and compare. Raises UsageError for another
        array, for scales < 1 and when not even one stage fits the target; ArpcError when verifying fails.
        """
        return self.encode_batch(
            [pixels_hw3],
            scales=scales,
            target_bytes=target_bytes,
            caption=caption,
            grey=grey,
            chunks=chunks,
            verify=verify,
        )[0]

    def encode_batch(
        self,
        pictures: Sequence[np.ndarray],
        *,
        scales: int | None = None,
        target_bytes: int | None = None,
        caption: str = "",
        grey: bool = False,
        chunks: tuple[Chunk, ...] = (),
        verify: bool = False,
    ) -> list[Encoded]:
        """As `encode`, for pictures of one size together, all with the same options; UsageError for several sizes."""
        sent, notes = to_send(scales, self.config.stages, Codec.PROGIC.noun)
        for pixels_hw3 in pictures:
            check_pixels(pixels_hw3)
        height, width = _one_size(pixels_hw3.shape[:2] for pixels_hw3 in pictures)
        header = writable(
            Header(
                codec=Codec.PROGIC,
                model_id=self.model.entry.id,
                width=width,
                height=height,
                scales=sent,
                colour=Colour.GREY if grey else Colour.RGB,
                caption=caption,
            )
        )
        encoded = []
        # A large picture comes alone, and is not to be there twice.
        together = np.stack(pictures) if len(pictures) > 1 else pictures[0][None]
        for indices_shw in self.quantise(together, sent):
            container = Container(header, tuple(write_stages(self.model, indices_shw)), chunks)
            if target_bytes is not None:
                container = fit(container, target_bytes)
            if verify:
                with another_machine():
                    found, _ = self.indices(container)
                if not np.array_equal(found, indices_shw[: container.header.scales]):
                    raise ArpcError("the file does not decode to the indices that were encoded")
            encoded.append(Encoded(write(container), container.header.scales, self.config.stages, notes))
        return encoded

    @torch.inference_mode()
    def quantise(self, pixels_bhw3: np.ndarray, stages: int) -> np.ndarray:
        """Indices int64 [B, stages, rows, cols] of uint8 pictures of one size."""
        y = analyse(self.network.encoder, pixels_bhw3, self.device, Windows(WINDOW, encoder_reach(self.config)))
        # A band at a time: a quantizer has the sum after every stage beside the latent.
        bands = y.split(max(1, BAND // y.shape[-1]), 2)
        found = [self.network.quantizer(band.to(self.device), stages)._replace(prefixes=[]) for band in bands]
        indices, leads = (torch.cat(parts, 2) for parts in ([q.indices for q in found], [q.leads for q in found]))
        return self.ties.settle(pixels_bhw3, y, VectorQuantized(indices, [], leads))

    # -- decode ------------------------------------------------------------------------------------------------------

    def decode(
        self,
        container: Container,
        *,
        scales: int | None = None,
        filling: Filling = MEAN,
        region: Region | None = None,
    ) -> Decoded:
        """Picture from the stages that arrived (at most `scales`), or the pixels of it in `region`.

        filling: of codecs that make up what was not sent; nothing is made up here.
        Raises FormatError when no stage is usable, ModelError for a file of another model, UsageError for bad options.
        """
        return self.decode_batch([container], scales=scales, region=region)[0]

    def decode_batch(
        self, containers: Sequence[Container], *, scales: int | None = None, region: Region | None = None
    ) -> list[Decoded]:
        """As `decode`, for pictures of one size together, whatever stages each has; UsageError for several sizes."""
        area = region_tile(region, *_one_size((one.header.height, one.header.width) for one in containers))
        found = [self.indices(container, scales) for container in containers]
        return self._pictures(containers, [indices for indices, _ in found], [damaged for _, damaged in found], area)

    def steps(
        self,
        container: Container,
        *,
        filling: Filling = MEAN,
        region: Region | None = None,
    ) -> Iterator[Decoded]:
        """The picture after each stage, as `decode` with scales = 1, 2, ... gives it; stops before a damaged stage."""
        area = region_tile(region, container.header.height, container.header.width)
        indices_shw, _ = self.indices(container)
        for used in range(1, len(indices_shw) + 1):
            yield from self._pictures([container], [indices_shw[:used]], [()], area)

    def arriving(
        self, header: Header, *, filling: Filling = MEAN, region: Region | None = None
    ) -> Callable[[Container], Decoded]:
        """A function for a file that arrives stage by stage: what `decode` gives of all stages so far."""
        return partial(self.decode, region=region)

    def indices(self, container: Container, scales: int | None = None) -> tuple[np.ndarray, tuple[int, ...]]:
        """(int32 [stages, rows, cols] of the good ones of the first `scales` stages, number of the damaged one if any).

        In a file with holes the index of a position that did not arrive is ABSENT. Raises as `decode`.
        """
        header, model = container.header, self.model
        check_file(container, Codec.PROGIC, model.entry.id, scales)
        if header.scales > self.config.stages:
            raise FormatError(f"the file has {header.scales} stages, its model {self.config.stages}")
        shape, stages = latent_size(header.height, header.width), list[np.ndarray]()
        for segment in container.segments[:scales]:
            try:
                indices_hw = read_next(model, stages, segment, shape, header.holes)
                if stages and bool(((stages[-1] == ABSENT) & (indices_hw != ABSENT)).any()):
                    raise FormatError("it has positions that the stage before it lacks")
                stages.append(indices_hw)
            except FormatError as error:
                # A later stage refines the sum with this one: without it, it means nothing.
                if not stages:
                    raise FormatError(f"the first stage is damaged: {error}") from error
                return np.stack(stages), (len(stages) + 1,)
        return np.stack(stages), ()

    def packed(self, container: Container) -> Container:
        """The file with every stage in its packed form, which alone can be shared out among packets.

        Raises FormatError when a stage is damaged, and as `decode`.
        """
        indices_shw, damaged = self.indices(container)
        if damaged:
            raise FormatError(f"stage {damaged[0]} is damaged")
        segments = (
            write_stage(indices_hw, self.config.entries, self.model.fingerprint, stage)
            for stage, indices_hw in enumerate(indices_shw)
        )
        return replace(container, segments=tuple(segments))

    @torch.inference_mode()
    def _pictures(
        self,
        containers: Sequence[Container],
        indices: Sequence[np.ndarray],
        damaged: Sequence[tuple[int, ...]],
        area: Tile,
    ) -> list[Decoded]:
        """Pictures from indices [stages, rows, cols] of each, or what is in `area` of them."""
        depth = [depths(indices_shw) for indices_shw in indices]
        sums = [
            latent(self.network.quantizer, *(torch.from_numpy(x).to(self.device) for x in pair))
            for pair in zip(indices, depth, strict=True)
        ]
        state_b = torch.tensor([stages_told(depth_hw) - 1 for depth_hw in depth], device=self.device)
        pixels_bhw3 = synthesise(
            lambda part: self.network.decoder(part, state_b),
            self.network.decoder_input(sums[0] if len(sums) == 1 else torch.cat(sums)),
            area,
            self.device,
            Windows(WINDOW, decoder_reach(self.config)),
        )
        total = self.config.stages
        return [
            Decoded(pixels, len(i), total, container.header.scales, bad, lost_positions(d, len(i)))
            for pixels, container, i, d, bad in zip(pixels_bhw3, containers, indices, depth, damaged, strict=True)
        ]


def _one_size(sizes: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """The (height, width) that all pictures of a batch have. UsageError when they differ or there are none."""
    found = set(sizes)
    if len(found) != 1:
        raise UsageError(f"the pictures of a batch must have one size, not {len(found)}")
    return found.pop()
