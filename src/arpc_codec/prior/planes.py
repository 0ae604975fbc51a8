"""Context head of planes: what neighbours, coarser scales and earlier channels say of the integers that refine a sum.

    trunk features --1x1--+
    sum so far ------3x3--+-- relu -- 3x3 -- relu -- 3x3 -- relu --1x1--+
    known tokens ----3x3--+                                             |
    the same channel of the sum so far and of known tokens around ------+-- relu --> logits of the bits of a channel
    all channels of the cell in the sum so far -------------------------+
    earlier channels of the token (by groups) --------------------------+

Most bits are zeros that the same channel around and other channels foretell, and the few hundred numbers that the
convolutions pass on cannot hold them all: so every channel has units of its own that see them directly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.prior.context import PHASES, Neighbourhood, known_symbols, phase_mask
from arpc_codec.tokenizer.planes import SLOTS, Planes

# Sums so far are shown in steps, up to so many.
SHOWN = 8.0
# What a channel's own units see of the sum so far, and of known tokens.
SEEN, KNOWN = 7, 4


def own_sums(v_bchw: Tensor) -> Tensor:
    """[B, SEEN, C, h, w] of a sum so far in steps: itself, its size, what is around it, and sizes two cells away."""
    size, around, (height, width) = v_bchw.abs(), _around(v_bchw), v_bchw.shape[-2:]
    box = F.pad(size, (2, 2, 2, 2))
    for dim, length in ((-1, width), (-2, height)):
        box = torch.stack([box.narrow(dim, shift, length) for shift in range(5)]).sum(0)
    return torch.stack([v_bchw, size, *around, box - size - around[0] - around[1]], 1)


def own_tokens(known_bchw: Tensor) -> Tensor:
    """[B, KNOWN, C, h, w] of the integers that are known, 0 elsewhere."""
    return torch.stack(_around(known_bchw), 1)


def _around(x: Tensor) -> list[Tensor]:
    """Sums of sizes at the four sides and at the four corners, of values along a row and along a column."""
    padded = F.pad(x, (1, 1, 1, 1))
    height, width = x.shape[-2:]

    def at(row: int, col: int) -> Tensor:
        return padded[..., 1 + row : 1 + row + height, 1 + col : 1 + col + width]

    sides = [at(0, -1), at(0, 1), at(-1, 0), at(1, 0)]
    corners = [at(-1, -1), at(-1, 1), at(1, -1), at(1, 1)]
    sizes = [sum((y.abs() for y in ys[1:]), ys[0].abs()) for ys in (sides, corners)]
    return [*sizes, sides[0] + sides[1], sides[2] + sides[3]]


def pairs(x_bchw: Tensor) -> Tensor:
    """[B, 2C, h, w]: values and their sizes."""
    return torch.cat([x_bchw, x_bchw.abs()], 1)


class PlaneContext(Neighbourhood):
    """Logits of all bits of the integers of a token; `units`: of each channel. `ends`: of the groups of channels."""

    lower: Tensor

    def __init__(self, features: int, ends: tuple[int, ...], levels: int, width: int = 128, units: int = 8) -> None:
        channels = ends[-1]
        super().__init__(features, 2 * channels, width)
        self.planes, self.channels, self.units = Planes(ends), channels, units
        self.level = nn.Embedding(levels, width)
        self.seen = nn.Conv2d(2 * channels, width, 3, padding=1, bias=False)
        self.up = nn.Linear(width, channels * units)
        self.own = nn.Parameter(torch.randn(channels, SEEN + KNOWN, units) * 0.05)
        self.cell = nn.Parameter(torch.randn(2 * channels, channels * units) * 0.02)
        self.earlier = nn.Parameter(torch.randn(2 * channels, channels * units) * 0.02)
        self.place = nn.Parameter(torch.zeros(levels, len(PHASES), channels * units))
        self.out = nn.Parameter(torch.randn(channels, units, SLOTS) * 0.05)
        self.bias = nn.Parameter(torch.zeros(levels, channels, SLOTS))
        nn.init.zeros_(self.level.weight)
        group = torch.bucketize(torch.arange(channels), torch.tensor(ends), right=True)
        lower = (group[:, None] < group).repeat(2, 1).repeat_interleave(units, 1)
        self.register_buffer("lower", lower.float(), persistent=False)

    def known_level(self, after: int) -> int:
        """Row of a scale that `after` others follow."""
        return min(after, self.level.num_embeddings - 1)

    def projected(self, features_bhwc: Tensor, v_bchw: Tensor, after: int) -> Tensor:
        """[B, width, h, w]: what `neighbourhood` takes; v: the sum so far in steps of the scale."""
        told = self.feature(features_bhwc) + self.level.weight[self.known_level(after)]
        return told.permute(0, 3, 1, 2) + self.seen(pairs(v_bchw))

    def forward(self, features_bhwc: Tensor, v_bchw: Tensor, tokens_bchw: Tensor, after: int) -> Tensor:
        """Teacher-forced logits [B, h, w, d] of all four phases at once; tokens: the integers of the scale."""
        height, width = v_bchw.shape[-2:]
        level, projected = self.known_level(after), self.projected(features_bhwc, v_bchw, after)
        context = self.every(projected, pairs(tokens_bchw))
        around = tokens_bchw.new_zeros(len(v_bchw), KNOWN, self.channels, height, width)
        place = self.place.new_zeros(height, width, self.place.shape[-1])
        for phase in range(len(PHASES)):
            mask = phase_mask(height, width, phase, v_bchw.device)
            around = around + own_tokens(known_symbols(tokens_bchw, phase)[:, :-1]) * mask
            place = place + mask[..., None] * self.place[level, phase]
        shown_nc = pairs(tokens_bchw).permute(0, 2, 3, 1).flatten(0, 2)
        earlier_nu = shown_nc @ (self.earlier * self.lower)
        return self._logits(context, v_bchw, around, place, earlier_nu, level)

    def before(self, features_bhwc: Tensor, v_bchw: Tensor, after: int) -> Tensor:
        """Logits [B, h, w, d] as if all tokens before were 0: what is known of a scale that was not sent."""
        level, nothing = self.known_level(after), torch.zeros_like(v_bchw)
        shown = known_symbols(pairs(nothing), 0)
        context = self.neighbourhood(self.projected(features_bhwc, v_bchw, after), shown).permute(0, 2, 3, 1)
        around = nothing[:, None].expand(-1, KNOWN, -1, -1, -1)
        return self._logits(context, v_bchw, around, self.place[level, 0], None, level)

    def _logits(
        self, context: Tensor, v_bchw: Tensor, around: Tensor, place: Tensor, earlier_nu: Tensor | None, level: int
    ) -> Tensor:
        height, width = v_bchw.shape[-2:]
        own_cnf = torch.cat([own_sums(v_bchw), around], 1).permute(2, 0, 3, 4, 1).flatten(1, 3)
        units_nu = (self.up(context) + place + pairs(v_bchw).permute(0, 2, 3, 1) @ self.cell).flatten(0, 2)
        if earlier_nu is not None:
            units_nu = units_nu + earlier_nu
        units_cnu = units_nu.unflatten(1, (self.channels, self.units)).transpose(0, 1) + own_cnf @ self.own
        logits_cns = (F.relu(units_cnu) @ self.out).float() + self.bias[level][:, None]
        logits_nd = logits_cns.permute(1, 2, 0).flatten(1)[:, self.planes.back.to(v_bchw.device)]
        return logits_nd.unflatten(0, (len(v_bchw), height, width))
