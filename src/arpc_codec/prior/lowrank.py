"""What is trained of the lossless prior when it is fitted to one picture: the integers of an adapter. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from arpc_codec.prior.adapter import FACTOR_BITS, RANK, SHIFT_BITS, Adapter, layers, unit_bits
from arpc_codec.prior.pixel import Block, PixelPrior

LARGEST = 127
# Spread of the first factor at the start, in its units.
FIRST_SPREAD = 1.5


def layer(prior: PixelPrior, name: str) -> nn.Linear:
    """The module of a name of `layers`."""
    gated = name.endswith((".a", ".v", ".proj"))
    path = name.replace("blocks.", "").split(".")
    module = prior.get_submodule(f"blocks.{path[0]}.gating.{path[1]}" if gated else name)
    assert isinstance(module, nn.Linear)
    return module


class LowRank(nn.Module):
    """Parametrization of a weight [out, in] with rounded factors."""

    def __init__(self, outputs: int, inputs: int, chance: torch.Generator) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(RANK, inputs, generator=chance) * FIRST_SPREAD * 2.0**-FACTOR_BITS)
        self.b = nn.Parameter(torch.zeros(outputs, RANK))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with its change."""
        return weight + rounded(self.b, FACTOR_BITS) @ rounded(self.a, FACTOR_BITS)


class Offset(nn.Module):
    """Parametrization of a bias or of taps with a rounded difference."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.d = nn.Parameter(torch.zeros(shape))

    def forward(self, start: Tensor) -> Tensor:
        """The values with their change."""
        return start + rounded(self.d, SHIFT_BITS)


def integers(x: Tensor, bits: int) -> Tensor:
    """Nearest integers in units of 2^-bits, within +-127."""
    return (x * 2.0**bits).round().clamp(-LARGEST, LARGEST)


def rounded(x: Tensor, bits: int) -> Tensor:
    """On the grid of the integers; the gradient is that of the identity."""
    return x + (integers(x, bits) * 2.0**-bits - x).detach()


def attach(prior: PixelPrior, chance: torch.Generator) -> dict[str, nn.Parameter]:
    """Freeze a prior and give it trainable changes, which are returned under the names of an adapter's parts.

    chance: where the first factors come from.
    """
    prior.requires_grad_(False)
    added: dict[str, nn.Parameter] = {}
    for name in layers(prior.config):
        linear = layer(prior, name)
        outputs, inputs = linear.weight.shape
        low, offset = LowRank(outputs, inputs, chance), Offset(linear.bias.shape)
        parametrize.register_parametrization(linear, "weight", low)
        parametrize.register_parametrization(linear, "bias", offset)
        added |= {f"{name}.a": low.a, f"{name}.b": low.b, f"{name}.bias": offset.d}
    for i, block in enumerate(cast(list[Block], list(prior.blocks))):
        offset = Offset(block.gating.taps.shape)
        parametrize.register_parametrization(block.gating, "taps", offset)
        added[f"blocks.{i}.taps"] = offset.d
    return added


def collect(added: Mapping[str, Tensor]) -> Adapter:
    """The changes of `attach` as integers."""
    return {part: integers(x.detach(), unit_bits(part)).to(torch.int8).numpy() for part, x in added.items()}
