"""The tokenizer of one model: encoder, multi-scale quantizer and decoder, all at one sixteenth of the size.

image -encoder-> h -quantizer-> tokens of every scale, sums z_1 ... z_K
z_k with channels of noise, and how many scales it lacks -decoder-> image
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from arpc_codec.scales import Schedule, halved_schedule, scale_schedule
from arpc_codec.tokenizer.config import TokenizerConfig
from arpc_codec.tokenizer.multiscale import MultiScaleQuantizer
from arpc_codec.tokenizer.noise import with_noise
from arpc_codec.tokenizer.planes import MultiScalePlanes
from arpc_codec.tokenizer.progic import ProgicConfig, ProgicDecoder, ProgicEncoder, decoder_reach, encoder_reach
from arpc_codec.tokenizer.pyramid import PyramidDecoder, PyramidEncoder
from arpc_codec.tokenizer.quantizer import MultiScaleBSQ

# The decoder is told how many scales are missing (0..15) and whether a prior has filled them in.
MISSING_STATES = 16
# Training crops have few scales; a picture that lacks more than this is shown as one that lacks this many.
MOST_MISSING = 10


class Tokenizer(nn.Module):
    """Encoder, quantizer and decoder of one model."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: PyramidEncoder | ProgicEncoder
        self.decoder: PyramidDecoder | ProgicDecoder
        self._sizes = _progic_sizes(config) if config.network == "progic" else None
        if self._sizes is not None:
            self.encoder, self.decoder = ProgicEncoder(self._sizes), ProgicDecoder(self._sizes)
        else:
            self.encoder, self.decoder = PyramidEncoder(config), PyramidDecoder(config)
        self.quantizer = _quantizer(config)

    @property
    def reach(self) -> int | None:
        """Cells on each side that both networks see around one; None: all, as norms are over the whole picture."""
        if self._sizes is None:
            return None
        return max(encoder_reach(self._sizes), decoder_reach(self._sizes))

    def schedule(self, rows: int, cols: int) -> Schedule:
        """Schedule of a latent of `rows` x `cols` cells. Raises ValueError for an empty latent."""
        return halved_schedule(rows, cols, self.config.repeats) if self.config.steps else scale_schedule(rows, cols)

    def decoder_input(self, z_bchw: Tensor, seed: int = 0) -> Tensor:
        """What the decoder takes of a latent; another seed: with other noise, of which each picture has its own."""
        return with_noise(z_bchw, self.config.noise, seed)

    @staticmethod
    def state(missing: int, filled: bool, batch: int = 1) -> Tensor:
        """Modulation index for a latent of which `missing` scales were not sent (and, if `filled`, were generated)."""
        return torch.full((batch,), min(missing, MOST_MISSING) + (MISSING_STATES if filled and missing else 0))


def _progic_sizes(config: TokenizerConfig) -> ProgicConfig:
    return ProgicConfig(
        channels=config.channels,
        stages=2 * MISSING_STATES,
        encoder_widths=config.encoder_widths,
        encoder_depths=config.encoder_depths,
        decoder_widths=config.decoder_widths,
        decoder_depths=config.decoder_depths,
        noise=config.noise,
        linear_size=1 if config.steps else 4,
        spread=bool(config.steps),
        texture=config.texture,
        halves=config.texture,
    )


def _quantizer(config: TokenizerConfig) -> MultiScaleQuantizer:
    if config.steps:
        ranges = config.active, config.groups, config.resting
        return MultiScalePlanes(config.steps, *ranges, means=config.means, grid_bits=config.grid_bits)
    return MultiScaleBSQ(
        config.channels,
        fill=config.fill,
        learned_gains=config.learned_gains,
        masked=config.masked,
        grid_bits=config.grid_bits,
    )


def channels_last(module: nn.Module) -> None:
    """Lay a network's weights out channels-last, the fast order of convolutions on a CPU.

    A tokenizer with the network `pyramid` stays as it is: its norms are as published only channels first.
    """
    if isinstance(module, Tokenizer) and module.config.network == "pyramid":
        return
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
