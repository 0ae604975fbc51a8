"""Adapters: what one picture changes in the lossless prior, as small integers that travel in its file (HPAC's SARP-FT).

Every linear layer gets W + 2^-8 B A of low rank (LoRA) and b + 2^-5 d, the taps of every gated block c + 2^-5 t.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .pixel import Block, PixelConfig, PixelPrior

RANK = 2
# Units as powers of two: coarse ones, as the bytes of a fine adapter cost more than it gains (dev/LOG.md).
FACTOR_BITS = 4
SHIFT_BITS = 5
LARGEST = 127
# Spread of the first factor at the start, in its units.
FIRST_SPREAD = 1.5

# int8 changes in coding order: NAME.a [r, in], NAME.b [out, r], NAME.bias [out] of each layer, then blocks.I.taps.
Adapter = dict[str, Tensor]


def layers(config: PixelConfig) -> list[str]:
    """Names of the linear layers in the order of an adapter."""
    blocks = [f"blocks.{i}.{part}" for i in range(config.depth) for part in ("a", "v", "proj", "up", "down")]
    heads = [f"{part}.{place}" for part in ("inner", "outer") for place in range(config.channels)]
    return ["embed", *blocks, *heads]


def layer(prior: PixelPrior, name: str) -> nn.Linear:
    """The module of a name of `layers`."""
    gated = name.endswith((".a", ".v", ".proj"))
    path = name.replace("blocks.", "").split(".")
    module = prior.get_submodule(f"blocks.{path[0]}.gating.{path[1]}" if gated else name)
    assert isinstance(module, nn.Linear)
    return module


def shapes(config: PixelConfig, state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Parts of an adapter for an integer state in coding order, with their shapes."""
    result: dict[str, tuple[int, ...]] = {}
    for name in layers(config):
        outputs, inputs = state[f"{name}.weight"].shape
        result |= {f"{name}.a": (RANK, inputs), f"{name}.b": (outputs, RANK), f"{name}.bias": (outputs,)}
    return result | {f"blocks.{i}.taps": tuple(state[f"blocks.{i}.taps"].shape) for i in range(config.depth)}


def unit_bits(part: str) -> int:
    """The integers of a part are in units of 2 to minus this."""
    return SHIFT_BITS if part.endswith((".bias", ".taps")) else FACTOR_BITS


class LowRank(nn.Module):
    """Parametrization of a weight [out, in] with rounded factors."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(RANK, inputs) * FIRST_SPREAD * 2.0**-FACTOR_BITS)
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


def attach(prior: PixelPrior) -> dict[str, nn.Parameter]:
    """Freeze a prior and give it trainable changes, which are returned under the names of an adapter's parts."""
    prior.requires_grad_(False)
    added: dict[str, nn.Parameter] = {}
    for name in layers(prior.config):
        linear = layer(prior, name)
        low, offset = LowRank(*linear.weight.shape), Offset(linear.bias.shape)
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
    return {part: integers(x.detach(), unit_bits(part)).to(torch.int8) for part, x in added.items()}
