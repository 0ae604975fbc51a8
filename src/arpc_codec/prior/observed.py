"""What the lossless prior sees of whole tiles, as tensors: how it is trained and adapted. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from arpc_codec import native
from arpc_codec.prior.statistics import tile_inputs
from arpc_codec.prior.wavefront import Offset, Values

Index: TypeAlias = "int | slice | Tensor | tuple[int | slice, ...]"


@dataclass(frozen=True)
class Observed:
    """What the lossless prior sees of tiles: samples, errors of their prediction [B, H, W, C], statistics [B, H, W, n].

    middle: of the alphabet; counts as sample beyond a tile.
    """

    samples: Tensor
    errors: Tensor
    statistics: Tensor
    middle: float

    def changed(self, change: Callable[[Tensor], Tensor]) -> Observed:
        """Every field changed in the same way."""
        return Observed(change(self.samples), change(self.errors), change(self.statistics), self.middle)

    def __getitem__(self, index: Index) -> Observed:
        """Some of the tiles, or a part of each."""
        return self.changed(lambda field: field[index])

    def float(self) -> Observed:
        """In float32, as the network is trained."""
        return self.changed(lambda field: field.float())

    @staticmethod
    def joined(join: Callable[[list[Tensor]], Tensor], parts: list[Observed]) -> Observed:
        """Several as one, by torch.cat or torch.stack."""
        samples, errors = join([part.samples for part in parts]), join([part.errors for part in parts])
        return Observed(samples, errors, join([part.statistics for part in parts]), parts[0].middle)


def observe(x_bhwc: Values, bits: int) -> Observed:
    """All of tiles [B, H, W, C] float64 of `bits` bits, in float64, as a decoder sees it pixel by pixel."""
    if native.version():
        parts = zip(*(native.observe(tile, bits) for tile in x_bhwc), strict=True)
        errors, statistics = (torch.from_numpy(np.stack(part)).double() for part in parts)
    else:
        errors, statistics = map(torch.from_numpy, tile_inputs(x_bhwc, bits))
    return Observed(torch.from_numpy(x_bhwc), errors, statistics, float(1 << bits - 1))


class TensorGrid:
    """`wavefront.Grid` of tensors."""

    def __init__(self, values_bhwc: Tensor, outside: float) -> None:
        self.size = values_bhwc.shape[1:3]
        self.padded = F.pad(values_bhwc.permute(3, 0, 1, 2), (3, 3, 3, 0), value=outside)

    def window(self, offsets: Sequence[Offset]) -> Tensor:
        """[C, offsets, B, H, W]."""
        height, width = self.size
        parts = [self.padded[..., 3 + dr : 3 + dr + height, 3 + dc : 3 + dc + width] for dr, dc in offsets]
        return torch.stack(parts, 1)
