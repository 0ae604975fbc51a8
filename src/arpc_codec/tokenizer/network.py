"""The f16 convolutional encoder and decoder.

    image -unshuffle 8-> 1/8 blocks -stride 2-> 1/16 blocks --(+)-> h -> quantizer -> z
    image -unshuffle 16------------------> linear transform --^
    z -> 1/16 blocks -shuffle-> 1/8 -shuffle-> 1/4 -shuffle-> 1/2 -shuffle-> full resolution 3x3 --(+)-> image
    z -> linear 3x3 -shuffle 4-> 1/4 size -bilinear-----------------------------------------------^

The two linear paths start as the best linear codec of the training pictures (train/linear.py); the deep paths start at
zero and learn what a linear codec cannot do. The decoder's linear path ends at a quarter of the size: carried to full
size it draws its 16-pixel cells on every smooth surface.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..scales import STRIDE, Schedule, halved_schedule, scale_schedule
from .blocks import LINEAR_SIZE, blocks, linear_picture, zeroed
from .config import TokenizerConfig
from .multiscale import MultiScaleQuantizer
from .multiscale_vq import MultiScaleVQ
from .progic import ProgicConfig, ProgicDecoder, ProgicEncoder, decoder_reach, encoder_reach
from .pyramid import PyramidDecoder, PyramidEncoder
from .quantizer import MultiScaleBSQ

# The decoder is told how many scales are missing (0..15) and whether a prior has filled them in.
MISSING_STATES = 16
# Training crops have few scales; a picture that lacks more than this is shown as one that lacks this many.
MOST_MISSING = 7
# The shuffle decoder of two deeper stages sees 18 cells; the last two are worth 1e-5 of a level.
SHUFFLE_REACH = 16


class Encoder(nn.Module):
    """[B, 3, 16H, 16W] in [-1, 1] -> h [B, C, H, W]."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        (fine, coarse), (fine_depth, coarse_depth) = config.encoder_widths, config.encoder_depths
        self.stem = nn.Conv2d(3 * 64, fine, 3, padding=1)
        self.fine = blocks(fine, fine_depth, dense=True)
        self.down = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.coarse = blocks(coarse, coarse_depth, dense=True)
        self.out = zeroed(nn.Conv2d(coarse, config.channels, 3, padding=1))
        self.linear = nn.Conv2d(3 * STRIDE**2, config.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.coarse(self.down(self.fine(self.stem(F.pixel_unshuffle(x, 8)))))
        return self.out(F.silu(deep)) + self.linear(F.pixel_unshuffle(x, STRIDE))


class Decoder(nn.Module):
    """z [B, C, H, W] -> [B, 3, 16H, 16W], about [-1, 1]; `state` [B] int says how many scales are missing or filled."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        widths, depths = config.decoder_widths[::-1], config.decoder_depths[::-1]
        self.stem = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(blocks(w, d, dense=True) for w, d in zip(widths, depths, strict=True))
        self.up = nn.ModuleList(
            nn.Conv2d(w, 4 * n, 1 if i < 3 else 3, padding=0 if i < 3 else 1)
            for i, (w, n) in enumerate(zip(widths, (*widths[1:], 12), strict=True))
        )
        self.out = zeroed(nn.Conv2d(12, 3, 3, padding=1))
        self.linear = nn.Conv2d(config.channels, 3 * (STRIDE // LINEAR_SIZE) ** 2, 3, padding=1)
        self.modulation = nn.Embedding(2 * MISSING_STATES, 2 * widths[0])
        nn.init.zeros_(self.modulation.weight)
        self.draft_gain = nn.Embedding(2 * MISSING_STATES, config.channels)
        nn.init.zeros_(self.draft_gain.weight)

    def forward(self, z: Tensor, state: Tensor) -> Tensor:
        x = self.stem(z)
        scale, shift = self.modulation(state)[:, :, None, None].chunk(2, 1)
        x = x * (1 + scale) + shift
        for stage, up in zip(self.stages, self.up, strict=True):
            x = F.pixel_shuffle(up(F.silu(stage(x))), 2)
        return self.out(F.silu(x)) + self.draft(z, state)

    def draft(self, z: Tensor, state: Tensor) -> Tensor:
        """The linear path alone: a smooth picture [B, 3, 16H, 16W].

        A code is never 0: until fine scales correct them, the channels of fine detail hold a value that means nothing
        and draws a plaid. The gains mute them while scales are missing.
        """
        gain = 1 + self.draft_gain(state)[:, :, None, None]
        return linear_picture(self.linear, z * gain)


class Tokenizer(nn.Module):
    """Encoder, quantizer and decoder of one model."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: Encoder | PyramidEncoder | ProgicEncoder
        self.decoder: Decoder | PyramidDecoder | ProgicDecoder
        self._sizes = _progic_sizes(config) if config.network == "progic" else None
        if self._sizes is not None:
            self.encoder, self.decoder = ProgicEncoder(self._sizes), ProgicDecoder(self._sizes)
        elif config.network == "pyramid":
            self.encoder, self.decoder = PyramidEncoder(config), PyramidDecoder(config)
        else:
            self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantizer = _quantizer(config)

    @property
    def reach(self) -> int | None:
        """Cells on each side that both networks see around one; None: all, as norms are over the whole picture."""
        if self._sizes is not None:
            return max(encoder_reach(self._sizes), decoder_reach(self._sizes))
        return None if self.config.network == "pyramid" else SHUFFLE_REACH

    def schedule(self, rows: int, cols: int) -> Schedule:
        """Schedule of a latent of `rows` x `cols` cells. Raises ValueError for an empty latent."""
        return halved_schedule(rows, cols) if self.config.codebooks else scale_schedule(rows, cols)

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
    )


def _quantizer(config: TokenizerConfig) -> MultiScaleQuantizer:
    if config.codebooks:
        return MultiScaleVQ(config.channels, config.codebooks, grid_bits=config.grid_bits)
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
