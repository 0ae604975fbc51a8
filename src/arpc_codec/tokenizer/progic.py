"""ProGIC: encoder, residual vector quantizer and decoder at one sixteenth of the size (arXiv 2603.02897).

    image -unshuffle 8-> 1/8 blocks -stride 2-> attention, 1/16 blocks -> y -> ResidualVQ -> z_1 ... z_N
    z_i -> 1/16 blocks, attention -shuffle 2-> 1/8 blocks -> ... -> image

`dense` networks (tiny) are those of network.py: dense 3x3 convolutions, linear paths from and to the picture, and
convolutions at every resolution of the decoder, so that a short run on a CPU comes to pictures without a grid. The
others are the paper's: light blocks, and from 1/8 one pixel shuffle of 8.
The decoder is told how many codebooks are summed: each count has its own scale and bias for every residual branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.scales import STRIDE
from arpc_codec.tokenizer.blocks import Attention, blocks, linear_picture, zeroed
from arpc_codec.tokenizer.noise import with_noise
from arpc_codec.tokenizer.residual_vq import ResidualVQ
from arpc_codec.tokenizer.texture import CHANNELS as TEXTURE
from arpc_codec.tokenizer.texture import texture

# Front end of both networks: the picture in cells of 8x8.
CELL = 8


@dataclass(frozen=True)
class ProgicConfig:
    """Widths and depths list one entry per resolution, finest first.

    encoder_*: 1/8, 1/16.  decoder_*: 1/2, 1/4, 1/8, 1/16 if dense, else 1/8, 1/16, and then a last light block of 192
    channels.  attention: blocks in each branch of the two attention modules, 0 for none.
    noise: channels of noise that the decoder of a dense network takes beside the latent.
    linear_size: pixels on each side of one of a dense decoder's linear path, which is enlarged bilinearly.
    spread: dense networks see and change channels of the latent in units of their own standard deviation. Without it
    the deep paths learn of the first few only, where variances span orders (dev/LOG.md).
    texture: the first two channels are those of texture.py, of dense networks; halves: as there.
    Raises ValueError for sizes that do not fit together and for codebooks of less than two entries.
    """

    channels: int = 16
    stages: int = 5
    entries: int = 1024
    dense: bool = True
    attention: int = 1
    modulation: bool = True
    encoder_widths: tuple[int, ...] = (64, 128)
    encoder_depths: tuple[int, ...] = (2, 4)
    decoder_widths: tuple[int, ...] = (32, 64, 96, 160)
    decoder_depths: tuple[int, ...] = (1, 1, 4, 6)
    noise: int = 0
    linear_size: int = 4
    spread: bool = False
    texture: bool = False
    halves: bool = False

    def __post_init__(self) -> None:
        """Check the number of resolutions; light networks have no convolution between blocks and latent."""
        if self.stages < 1 or self.entries < 2:
            raise ValueError("at least one codebook of at least two entries")
        if not len(self.encoder_widths) == len(self.encoder_depths) == 2:
            raise ValueError("the encoder has two resolutions")
        if not len(self.decoder_widths) == len(self.decoder_depths) == (4 if self.dense else 2):
            raise ValueError("the decoder has four resolutions if dense, else two")
        if not self.dense and not self.encoder_widths[-1] == self.decoder_widths[-1] == self.channels:
            raise ValueError("light networks have as many channels at 1/16 as the latent")
        if self.noise < 0 or (self.noise and not self.dense):
            raise ValueError(f"{self.noise} channels of noise, which only dense networks can have")
        if self.texture and not (self.dense and self.channels > TEXTURE):
            raise ValueError("only dense networks of more channels have channels of texture")
        if self.linear_size < 1 or STRIDE % self.linear_size:
            raise ValueError(f"cells of {STRIDE} pixels do not divide into {self.linear_size}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ProgicConfig:
        """Config from parsed JSON. Raises TypeError for an unknown name, ValueError for sizes that do not fit."""
        sizes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**sizes)


def encoder_reach(config: ProgicConfig) -> int:
    """Cells of 16 pixels around one of the latent, on each side, that it depends on."""
    (fine, coarse), per_block = config.encoder_depths, 2 if config.dense else 1
    return _reach((fine * per_block + config.dense + 1, config.attention + coarse * per_block + config.dense))


def decoder_reach(config: ProgicConfig) -> int:
    """Cells of the latent around the cell of a pixel, on each side, that the pixel depends on."""
    if not config.dense:
        fine, coarse = config.decoder_depths
        return _reach((1 + fine, config.attention + coarse))
    half, quarter, eighth, sixteenth = (2 * depth for depth in config.decoder_depths)
    return _reach((1, 1 + half, quarter, eighth, sixteenth + config.attention + 1))


def _reach(convolutions: tuple[int, ...]) -> int:
    """Cells that 3x3 convolutions see on each side; so many of them at each resolution, finest first."""
    reach = 0
    for count in convolutions:
        reach = -(-reach // 2) + count
    return reach


def _attention(config: ProgicConfig, width: int) -> nn.Module:
    return Attention(width, config.attention, config.dense) if config.attention else nn.Identity()


def _spread(config: ProgicConfig, channels: int) -> Tensor | None:
    """Standard deviations [C, 1, 1], to be filled in."""
    return torch.ones(channels, 1, 1) if config.spread else None


class ProgicEncoder(nn.Module):
    """[B, 3, 16H, 16W] in [-1, 1] -> y [B, C, H, W]."""

    spread: Tensor | None

    def __init__(self, config: ProgicConfig) -> None:
        super().__init__()
        self.dense, self.texture, self.halves = config.dense, config.texture, config.halves
        channels = config.channels - TEXTURE * config.texture
        (fine, coarse), (fine_depth, coarse_depth) = config.encoder_widths, config.encoder_depths
        self.stem = nn.Conv2d(3 * CELL**2, fine, 3 if self.dense else 1, padding="same")
        self.fine = blocks(fine, fine_depth, self.dense)
        self.down = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.attention = _attention(config, coarse)
        self.coarse = blocks(coarse, coarse_depth, self.dense)
        if self.dense:
            self.out = zeroed(nn.Conv2d(coarse, channels, 3, padding=1))
            self.linear = nn.Conv2d(3 * STRIDE**2, channels, 1)
        self.register_buffer("spread", _spread(config, channels))

    def forward(self, x: Tensor) -> Tensor:
        deep = self.down(self.fine(self.stem(F.pixel_unshuffle(x, CELL))))
        deep = self.coarse(self.attention(deep))
        if not self.dense:
            return deep
        added = self.out(F.silu(deep))
        if self.spread is not None:
            added = added * self.spread
        y: Tensor = added + self.linear(F.pixel_unshuffle(x, STRIDE))
        return torch.cat([texture(x, halves=self.halves).to(y), y], 1) if self.texture else y


class ProgicDecoder(nn.Module):
    """z [B, C, H, W] -> [B, 3, 16H, 16W], about [-1, 1]; `state_b` [B] int says what z is made of, of N states.

    Channels of noise, if the config has any, follow those of z (`Progic.decoder_input`).
    """

    spread: Tensor | None

    def __init__(self, config: ProgicConfig) -> None:
        super().__init__()
        self.dense, self.channels, self.linear_size = config.dense, config.channels, config.linear_size
        self.register_buffer("spread", _spread(config, config.channels))
        widths, depths = config.decoder_widths[::-1], config.decoder_depths[::-1]
        if not self.dense:
            widths, depths = (*widths, 3 * CELL**2), (*depths, 1)
        self.stages = nn.ModuleList(blocks(w, d, self.dense) for w, d in zip(widths, depths, strict=True))
        self.attention = _attention(config, widths[0])
        if self.dense:
            self.stem = nn.Conv2d(config.channels + config.noise, widths[0], 3, padding=1)
            up = [nn.Conv2d(w, 4 * n, 1) for w, n in pairwise(widths)]
            self.up = nn.ModuleList([*up, nn.Conv2d(widths[-1], 48, 3, padding=1)])
            self.out = zeroed(nn.Conv2d(12, 3, 3, padding=1))
            self.linear = nn.Conv2d(config.channels, 3 * (STRIDE // config.linear_size) ** 2, 3, padding=1)
        else:
            self.up = nn.ModuleList([nn.Conv2d(widths[0], 4 * widths[1], 1), nn.Conv2d(widths[1], widths[2], 1)])
        # Scale and bias of every residual branch side by side: one row per number of codebooks.
        self.splits = [[2 * w] * len(s) for w, s in zip(widths, self.stages, strict=True)]  # type: ignore[arg-type]
        self.modulation = nn.Embedding(config.stages, sum(map(sum, self.splits))) if config.modulation else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)

    def forward(self, z: Tensor, state_b: Tensor) -> Tensor:
        x = self._stage(0, self.stem(self._evened(z)) if self.dense else z, state_b)
        x = self.attention(x)
        if not self.dense:
            x = self._stage(1, F.pixel_shuffle(self.up[0](x), 2), state_b)
            return F.pixel_shuffle(self._stage(2, self.up[1](x), state_b), CELL)
        for index, up in enumerate(self.up):
            x = self._stage(index, x, state_b) if index else x
            x = F.pixel_shuffle(up(F.silu(x)), 2)
        return self.out(F.silu(x)) + linear_picture(self.linear, z[:, : self.channels], self.linear_size)

    def _evened(self, z: Tensor) -> Tensor:
        """Channels of the latent in units of their spread; noise as it is."""
        if self.spread is None:
            return z
        return torch.cat([z[:, : self.channels] / self.spread, z[:, self.channels :]], 1)

    @property
    def last(self) -> nn.Parameter:
        """Weight of the last convolution, where a trainer weighs gradients."""
        tail: Any = self.out if self.dense else self.stages[-1][-1].conv2  # type: ignore[index]
        weight: nn.Parameter = tail.weight
        return weight

    def _stage(self, index: int, x: Tensor, state_b: Tensor) -> Tensor:
        """All residual blocks of one resolution, each with its part of the modulation."""
        first = sum(map(sum, self.splits[:index]))
        rows_bm = None if self.modulation is None else self.modulation(state_b)
        for block, size in zip(self.stages[index], self.splits[index], strict=True):  # type: ignore[call-overload]
            x = block(x, None if rows_bm is None else rows_bm[:, first : first + size])
            first += size
        return x


class Progic(nn.Module):
    """Encoder, quantizer and decoder of one model."""

    def __init__(self, config: ProgicConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ProgicEncoder(config)
        self.quantizer = ResidualVQ(config.channels, stages=config.stages, entries=config.entries)
        self.decoder = ProgicDecoder(config)

    def decoder_input(self, z_bchw: Tensor, seed: int = 0) -> Tensor:
        """What the decoder takes of a latent; another seed: with other noise, of which each picture has its own."""
        return with_noise(z_bchw, self.config.noise, seed)

    @staticmethod
    def used(stages: int, batch: int = 1) -> Tensor:
        """State of `batch` latents that sum the first `stages` codebooks."""
        return torch.full((batch,), stages - 1)
