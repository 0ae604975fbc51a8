"""Multi-scale residual vector quantizer: a token is the index of a codebook entry, its bits a path in a binary tree.

Sign bits spend as much on a channel that hardly matters as on the one that does; entries do not (dev/LOG.md). Codebooks
start in the order of `bisected`, so that every bit of an index, the highest first, halves the entries that are left.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..scales import Schedule
from ..scales.resample import WEIGHT_BITS, area
from .bisection import bisected
from .multiscale import MultiScaleQuantizer
from .residual_vq import k_means, nearest, vectors

# Tokens whose expected codes are computed at a time: some 70 MB with 10 bits.
CHUNK = 512
# Side of the square of cells that says how much an error in its middle is seen.
AROUND = 5


class MultiScaleVQ(MultiScaleQuantizer):
    """A codebook of 2^n entries for each `level`, the number of scales that follow; the last is that of all beyond."""

    exponents: Tensor

    def __init__(self, channels: int, levels: tuple[int, ...], *, grid_bits: int = WEIGHT_BITS) -> None:
        super().__init__(channels, max(levels), grid_bits)
        self.levels = levels
        for level, bits in enumerate(levels):
            self.register_buffer(f"codebook{level}", torch.randn(2**bits, channels) / channels**0.5)
        # Powers of two that bring entries to about 1.
        self.register_buffer("exponents", torch.zeros(len(levels)))

    def level(self, scale: int, schedule: Schedule) -> int:
        """Which codebook a scale uses."""
        return min(len(schedule) - 1 - scale, len(self.levels) - 1)

    def active(self, total_scales: int) -> tuple[int, ...]:
        """Bits of an index of each scale."""
        return tuple(self.levels[min(after, len(self.levels) - 1)] for after in range(total_scales - 1, -1, -1))

    def choose(self, residual_bchw: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """Bits of the nearest entries, the highest first; those beyond the level's are 0."""
        level = self.level(scale, schedule)
        index, _ = nearest(self._rounded(level).float(), residual_bchw)
        return self.path(index, level)

    def squares(self, residual_bchw: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """[B, h, w, E] squared distances to all entries, float32."""
        book = self._rounded(self.level(scale, schedule)).float()
        return (
            torch.cdist(residual_bchw.float().permute(0, 2, 3, 1).flatten(1, 2), book)
            .square()
            .unflatten(1, residual_bchw.shape[-2:])
        )

    @staticmethod
    def worth(squares_bhwe: Tensor, trade: float) -> Tensor:
        """[B, h, w, 1]: what a bit is worth in each cell, `trade` times the mean nearest square of the cells around it.

        What is seen of an error depends on how much goes on around it: with one worth for the whole picture, smooth
        surfaces pay for textures (dev/LOG.md).
        """
        nearest_b1hw = squares_bhwe.amin(3)[:, None]
        around = F.avg_pool2d(nearest_b1hw, AROUND, 1, AROUND // 2, count_include_pad=False)
        return trade * around[:, 0, :, :, None]

    def path(self, index: Tensor, level: int) -> Tensor:
        """Bits [..., d] of indices, the highest first; those beyond the level's are 0."""
        shifts = torch.arange(self.levels[level] - 1, -1, -1, device=index.device)
        bits = (index[..., None] >> shifts & 1).bool()
        return F.pad(bits, (0, self.bits - len(shifts)))

    def flipped(self, bits_bhwd: Tensor, rate: float, scale: int, schedule: Schedule) -> Tensor:
        """A share of the tokens goes another way from some bit on."""
        shape, active = bits_bhwd.shape[:3], self.active(len(schedule))[scale]
        place = torch.arange(self.bits, device=bits_bhwd.device)
        first = torch.randint(active, (*shape, 1), device=place.device)
        hit = (torch.rand(*shape, 1, device=place.device) < rate) & (place >= first) & (place < active)
        drawn = torch.rand(bits_bhwd.shape, device=place.device) < 0.5
        return torch.where(hit, drawn, bits_bhwd)

    def index(self, bits_bhwd: Tensor, level: int) -> Tensor:
        """[B, h, w] int64 of the bits."""
        shifts = torch.arange(self.levels[level] - 1, -1, -1, device=bits_bhwd.device)
        return (bits_bhwd[..., : self.levels[level]].long() << shifts).sum(-1)

    def code(self, bits_bhwd: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """The entries."""
        level = self.level(scale, schedule)
        return self._rounded(level)[self.index(bits_bhwd, level)].permute(0, 3, 1, 2)

    def expected(self, chances_hwn: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """From the chance of going right at every node of the tree, level by level from the root."""
        book, bits = self._rounded(self.level(scale, schedule)), self.levels[self.level(scale, schedule)]
        means = []
        for chances_tn in chances_hwn.flatten(0, 1).double().split(CHUNK):
            values = book[None]
            for depth in range(bits - 1, -1, -1):
                right = chances_tn[:, 2**depth - 1 : 2 ** (depth + 1) - 1, None]
                # One operation after the other: each is rounded as IEEE 754 says, on every machine.
                values = values[:, 0::2] * (1 - right) + values[:, 1::2] * right
            means.append(values[:, 0])
        unit = 2.0**self.grid_bits
        mean = (torch.cat(means) * unit).round() / unit
        return mean.T.unflatten(1, chances_hwn.shape[:2])[None]

    def symbols(self, bits_bhwd: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """The entries, by a power of two brought to about 1."""
        exponent = int(self.exponents[self.level(scale, schedule)])
        scaled = self.code(bits_bhwd, scale, schedule) * 2.0**exponent
        return ((scaled * 4096).round() / 4096).float()

    @torch.no_grad()
    def start(self, h_bchw: Tensor, schedule: Schedule, generator: torch.Generator) -> None:
        """k-means of the residuals, from the coarsest scale on. Raises ValueError for fewer positions than entries."""
        z = torch.zeros_like(h_bchw)
        for level in range(min(len(schedule), len(self.levels)) - 1, -1, -1):
            scales = [scale for scale in range(len(schedule)) if self.level(scale, schedule) == level]
            residuals = torch.cat([vectors(area(h_bchw - z, schedule[scale])) for scale in scales])
            codebook = k_means(residuals, 2 ** self.levels[level], generator)
            setattr(self, f"codebook{level}", codebook[bisected(codebook)])
            spread = float(codebook.square().mean().sqrt())
            self.exponents[level] = round(-torch.log2(torch.tensor(spread).clamp_min(2.0**-20)).item())
            for scale in scales:
                chosen = self.choose(area(h_bchw - z, schedule[scale]), scale, schedule)
                z = z + self.resample(self.code(chosen, scale, schedule).to(z), schedule[-1])

    def _rounded(self, level: int) -> Tensor:
        """Entries on the grid, float64: sums of codes are exact."""
        unit = 2.0**self.grid_bits
        codebook: Tensor = getattr(self, f"codebook{level}")
        return (codebook.double() * unit).round() / unit
