"""Adapters: what one picture changes in the lossless prior, as small integers that travel in its file (HPAC's SARP-FT).

Every linear layer gets W + 2^-12 B A of rank one (LoRA) and b + 2^-7 d.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .pixel import PixelConfig, PixelPrior

RANK = 1
# Units of the factors and of the change of a bias, as powers of two.
FACTOR_BITS = 6
BIAS_BITS = 7
LARGEST = 127


@dataclass(frozen=True)
class Shift:
    """Change of one layer: int8 A [r, in], B [out, r], bias [out]."""

    a: Tensor
    b: Tensor
    bias: Tensor

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The tensors in the order in which they are coded."""
        return self.a, self.b, self.bias


Adapter = dict[str, Shift]


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


class LowRank(nn.Module):
    """Parametrization of a weight [out, in] with rounded factors; the gradient passes the rounding."""

    def __init__(self, outputs: int, inputs: int, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, inputs) * 4 * 2.0**-FACTOR_BITS)
        self.b = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with its change."""
        return weight + rounded(self.b, FACTOR_BITS) @ rounded(self.a, FACTOR_BITS)


class Offset(nn.Module):
    """Parametrization of a bias [out]."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.d = nn.Parameter(torch.zeros(outputs))

    def forward(self, bias: Tensor) -> Tensor:
        """The bias with its change."""
        return bias + rounded(self.d, BIAS_BITS)


def integers(x: Tensor, bits: int) -> Tensor:
    """Nearest integers in units of 2^-bits, within +-127."""
    return (x * 2.0**bits).round().clamp(-LARGEST, LARGEST)


def rounded(x: Tensor, bits: int) -> Tensor:
    """On the grid of the integers; the gradient is that of the identity."""
    return x + (integers(x, bits) * 2.0**-bits - x).detach()


def attach(prior: PixelPrior, rank: int = RANK) -> list[nn.Parameter]:
    """Freeze a prior and give its layers trainable changes, which are returned."""
    prior.requires_grad_(False)
    added: list[nn.Parameter] = []
    for name in layers(prior.config):
        linear = layer(prior, name)
        outputs, inputs = linear.weight.shape
        low, offset = LowRank(outputs, inputs, rank), Offset(outputs)
        parametrize.register_parametrization(linear, "weight", low)
        parametrize.register_parametrization(linear, "bias", offset)
        added += [low.a, low.b, offset.d]
    return added


def collect(prior: PixelPrior) -> Adapter:
    """The changes of a prior after `attach` as integers."""
    adapter = {}
    for name in layers(prior.config):
        parts = layer(prior, name).parametrizations
        low, offset = parts["weight"][0], parts["bias"][0]  # type: ignore[index]
        assert isinstance(low, LowRank)
        assert isinstance(offset, Offset)
        values = ((low.a, FACTOR_BITS), (low.b, FACTOR_BITS), (offset.d, BIAS_BITS))
        adapter[name] = Shift(*(integers(x.detach(), bits).to(torch.int8) for x, bits in values))
    return adapter
