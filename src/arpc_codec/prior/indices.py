"""The prior of ProGIC's indices: how likely each entry is, given the stages before and the neighbours coded so far.

sum of the stages before, 3x3 --+
12 neighbours, this stage too --+-- small MLP --> first half of the index's bits --> second half
stage, kind of pass ------------+

An index is the path to an entry in a tree of halved codebooks (tokenizer/bisection.py), so half of its bits names a
region. Two choices among 32 cost much less exact arithmetic than one among 1024.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.prior.quincunx import AROUND, NEAR, PLACES, gathered, lattice


@dataclass(frozen=True)
class IndexConfig:
    """stages, entries: of the quantizer. channels: the first so many of its entries are seen, as a few tell nearly all.

    widths: of the MLP. low: inputs of the choice of the second half.

    Raises ValueError when `entries` is not a power of two from 4 on.
    """

    channels: int = 16
    stages: int = 5
    entries: int = 1024
    widths: tuple[int, int] = (192, 128)
    low: int = 48

    def __post_init__(self) -> None:
        if self.entries < 4 or self.entries & (self.entries - 1):
            raise ValueError(f"a prior needs a power of two of entries from 4 on, not {self.entries}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> IndexConfig:
        """Config from parsed JSON. Raises TypeError for an unknown name, ValueError for sizes that do not fit."""
        return cls(**{**values, "widths": tuple(values["widths"])})

    @property
    def parts(self) -> tuple[int, int]:
        """How many values the first and the second half of an index have."""
        low = 1 << (self.entries.bit_length() - 1) // 2
        return self.entries // low, low


class IndexPrior(nn.Module):
    """The network and the codebooks [stages, entries, C], ordered by bisection, that it was trained for."""

    codebooks: Tensor
    scale: Tensor

    def __init__(self, config: IndexConfig, codebooks: Tensor) -> None:
        super().__init__()
        self.config = config
        (inner, outer), entries = config.widths, config.entries
        self.register_buffer("codebooks", codebooks.clone())
        self.register_buffer("scale", 1 / codebooks[0, :, : config.channels].std(0).clamp_min(1e-6))
        self.around = nn.Linear(len(AROUND) * config.channels, inner)
        self.near = nn.Linear(NEAR * (config.channels + 1), inner, bias=False)
        self.places = nn.Parameter(torch.zeros(config.stages, PLACES, inner))
        self.outer = nn.Linear(inner, outer)
        self.narrow = nn.Linear(outer, config.low)
        self.high = nn.Parameter(torch.randn(config.stages, config.parts[0], outer) * 0.02)
        self.high_bias = nn.Parameter(torch.zeros(config.stages, config.parts[0]))
        self.low = nn.Parameter(torch.randn(config.stages, entries, config.low) * 0.02)
        self.low_bias = nn.Parameter(torch.zeros(config.stages, entries))

    def forward(self, indices_bshw: Tensor) -> Tensor:
        """Bits [stages, B, H * W] of the indices [B, stages, H, W] of all stages."""
        batch, stages, rows, cols = indices_bshw.shape
        tables, index_sn = lattice(rows, cols), indices_bshw.transpose(0, 1).flatten(1)
        seen = self.codebooks[..., : self.config.channels]
        entries = torch.stack([book[i] for book, i in zip(seen, index_sn, strict=True)]) * self.scale
        # The row behind each map stands for what is outside.
        maps = F.pad(entries.cumsum(0).unflatten(1, (batch, -1)), (0, 0, 0, 1))
        before = F.pad(maps[:-1], (0, 0, 0, 0, 0, 0, 1, 0))
        inside = (tables.neighbours < rows * cols).float().expand(stages, batch, -1, -1)
        near = torch.cat([gathered(maps, tables.neighbours), inside], -1)
        places = self.places[:, None, tables.place]
        hidden = F.silu(self.around(gathered(before, tables.around)) + self.near(near) + places).flatten(1, 2)
        hidden = F.silu(self.outer(hidden))
        high, low = index_sn // self.config.parts[1], index_sn % self.config.parts[1]
        first = torch.baddbmm(self.high_bias[:, None], hidden, self.high.transpose(1, 2))
        second = torch.baddbmm(self.low_bias[:, None], self.narrow(hidden), self.low.transpose(1, 2))
        rest = second.unflatten(-1, self.config.parts)
        rest = rest.gather(2, high[..., None, None].expand(-1, -1, 1, rest.shape[-1]))[:, :, 0]
        nats = F.cross_entropy(first.flatten(0, 1), high.flatten(), reduction="none")
        nats = nats + F.cross_entropy(rest.flatten(0, 1), low.flatten(), reduction="none")
        return nats.view(stages, batch, -1) / torch.log(torch.tensor(2.0))
