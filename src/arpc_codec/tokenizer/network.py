"""The f16 convolutional encoder and decoder.

    image -unshuffle 8-> 1/8 blocks -stride 2-> 1/16 blocks --(+)-> h -> quantizer -> z
    image -unshuffle 16------------------> linear transform --^
    z -> 1/16 blocks -shuffle-> 1/8 -shuffle-> 1/4 -shuffle-> 1/2 -shuffle-> full resolution 3x3 --(+)-> image
    z -> linear 3x3 -shuffle 4-> 1/4 size -bilinear-----------------------------------------------^

The two linear paths start as the best linear codec of the training pictures (train/linear.py); the deep paths start at
zero and learn what a linear codec cannot do. The decoder's linear path ends at a quarter of the size: carried to full
size it draws its 16-pixel cells on every smooth surface.
Normalisation is over the channels of one position only, so a picture decoded in tiles with a halo equals the whole one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import TokenizerConfig
from .quantizer import MultiScaleBSQ

STRIDE = 16
# Pixels of the picture per pixel of the linear path.
LINEAR_SIZE = 4
# The decoder is told how many scales are missing (0..15) and whether a prior has filled them in.
MISSING_STATES = 16
# Training crops have few scales; a picture that lacks more than this is shown as one that lacks this many.
MOST_MISSING = 7


class ResidualBlock(nn.Module):
    """x + conv(act(conv(norm(x)))), the second convolution starting at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        # In channels-last memory this is a view, not a copy.
        normed = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.conv2(F.silu(self.conv1(normed)))


class Encoder(nn.Module):
    """[B, 3, 16H, 16W] in [-1, 1] -> h [B, C, H, W]."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        (fine, coarse), (fine_depth, coarse_depth) = config.encoder_widths, config.encoder_depths
        self.stem = nn.Conv2d(3 * 64, fine, 3, padding=1)
        self.fine = nn.Sequential(*(ResidualBlock(fine) for _ in range(fine_depth)))
        self.down = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.coarse = nn.Sequential(*(ResidualBlock(coarse) for _ in range(coarse_depth)))
        self.out = nn.Conv2d(coarse, config.channels, 3, padding=1)
        self.linear = nn.Conv2d(3 * STRIDE**2, config.channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        deep = self.coarse(self.down(self.fine(self.stem(F.pixel_unshuffle(x, 8)))))
        return self.out(F.silu(deep)) + self.linear(F.pixel_unshuffle(x, STRIDE))


class Decoder(nn.Module):
    """z [B, C, H, W] -> [B, 3, 16H, 16W], about [-1, 1]; `state` [B] int says how many scales are missing or filled."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        widths, depths = config.decoder_widths[::-1], config.decoder_depths[::-1]
        self.stem = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(w) for _ in range(d))) for w, d in zip(widths, depths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(w, 4 * n, 1 if i < 3 else 3, padding=0 if i < 3 else 1)
            for i, (w, n) in enumerate(zip(widths, (*widths[1:], 12), strict=True))
        )
        self.out = nn.Conv2d(12, 3, 3, padding=1)
        self.linear = nn.Conv2d(config.channels, 3 * (STRIDE // LINEAR_SIZE) ** 2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]
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
        small = F.pixel_shuffle(self.linear(z * gain), STRIDE // LINEAR_SIZE)
        return F.interpolate(small, scale_factor=LINEAR_SIZE, mode="bilinear")


class Tokenizer(nn.Module):
    """Encoder, quantizer and decoder of one model."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = MultiScaleBSQ(config.channels, fill=config.fill, learned_gains=config.learned_gains)
        self.decoder = Decoder(config)

    @staticmethod
    def state(missing: int, filled: bool, batch: int = 1) -> Tensor:
        """Modulation index for a latent of which `missing` scales were not sent (and, if `filled`, were generated)."""
        return torch.full((batch,), min(missing, MOST_MISSING) + (MISSING_STATES if filled and missing else 0))


def channels_last(module: nn.Module) -> None:
    """Lay a network's weights out channels-last, the fast order of convolutions on a CPU."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
