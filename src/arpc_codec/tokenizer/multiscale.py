"""What quantizers of token maps share: the walk from the coarsest scale to the finest, each coding what is left.

h --(-z)--> residual --area--> bits of every token --> code --bilinear--> (+) --> z
               ^                                                           |
               +-------------------------- next scale ---------------------+
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arpc_codec.scales import Schedule
from arpc_codec.scales.resample import area, bilinear


def binary_entropy(chances: Tensor) -> Tensor:
    """Bits that a decision of these chances takes; same shape, float64."""
    likely = chances.double().clamp(1e-9, 1 - 1e-9)
    return -(likely * likely.log2() + (1 - likely) * (1 - likely).log2())


class Quantized(NamedTuple):
    """bits: per scale [B, h, w, d] bool. prefixes: per scale the sum so far, [B, C, H, W]."""

    bits: list[Tensor]
    prefixes: list[Tensor]


# (residual [B, C, h, w] of the size of a scale, scale, sum so far [B, C, H, W]) -> bits [B, h, w, d]
Choice = Callable[[Tensor, int, Tensor], Tensor]


class MultiScaleQuantizer(nn.Module):
    """Tokens of d `bits` for a latent of C `channels`; codes and resampling weights are multiples of 2^-grid_bits."""

    def __init__(self, channels: int, bits: int, grid_bits: int) -> None:
        super().__init__()
        self.channels, self.bits, self.grid_bits = channels, bits, grid_bits

    @abstractmethod
    def coded(self, schedule: Schedule) -> tuple[slice, ...]:
        """Places of the bits of a token that are coded, for each scale."""

    @abstractmethod
    def choose(self, residual_bchw: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """[B, C, h, w] of the size of the scale -> bits [B, h, w, d] bool."""

    @abstractmethod
    def flipped(self, bits_bhwd: Tensor, rate: float, scale: int, schedule: Schedule) -> Tensor:
        """The bits with errors at that rate."""

    @abstractmethod
    def code(self, bits_bhwd: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """Bits -> code [B, C, h, w], float64."""

    @abstractmethod
    def expected(self, chances_hwn: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """Expected code [1, C, h, w], float64, from the chances of a 1 in all n places of the prior."""

    @abstractmethod
    def entropy(self, chances_hwn: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """Bits [h, w] that each token is expected to cost, from chances as in `expected`."""

    @abstractmethod
    def symbols(self, bits_bhwd: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """What a context head is shown of known tokens: [B, m, h, w] of about 1, multiples of 2^-12."""

    def groups(self, scale: int, schedule: Schedule) -> list[slice]:
        """Places of the coded bits whose chances are told together, in the order of coding."""
        coded = self.coded(schedule)[scale]
        return [slice(bit, bit + 1) for bit in range(coded.start, coded.stop)]

    def parts(self, group: slice) -> list[slice]:
        """Places of a group that are decided together."""
        return [group]

    def asked(self, group_xk: Tensor) -> Tensor:
        """[..., k] bool: which bits of a group [..., k] are coded, given those before them; the others are 0."""
        return torch.ones_like(group_xk)

    def usual(self, scale: int, schedule: Schedule) -> Tensor:
        """[d] chances of a 1, multiples of 2^-11: what is known of bits without a prior."""
        return torch.full((self.bits,), 0.5, dtype=torch.float64)

    def step(self, scale: int, schedule: Schedule) -> float | None:
        """What the integers of a scale count, if its tokens are integers."""
        return None

    def guessed(self, schedule: Schedule) -> int:
        """Leading scales whose expected codes say something."""
        return len(schedule)

    def resample(self, x_bchw: Tensor, size: tuple[int, int]) -> Tensor:
        """Codes to the size of the latent, or the sum so far to the next scale: [B, C, *size]."""
        return bilinear(x_bchw, size, self.grid_bits)

    def forward(
        self,
        h_bchw: Tensor,
        schedule: Schedule,
        flip: Sequence[float] | None = None,
        choose: Choice | None = None,
    ) -> Quantized:
        """Quantise [B, C, H, W] (H, W = the schedule's last scale) in float32.

        `flip` gives for each scale a rate of errors in the bits before the residual is taken on (bitwise
        self-correction of Infinity and ARPC): `prefixes` are then the corrupted sums and `bits` what the residuals
        ask for.
        `choose` stands in for the method of that name.
        """
        final = schedule[-1]
        z = h_bchw.new_zeros(h_bchw.shape)
        bits: list[Tensor] = []
        prefixes: list[Tensor] = []
        for scale, size in enumerate(schedule):
            residual = area((h_bchw - z).detach(), size)
            chosen = self.choose(residual, scale, schedule) if choose is None else choose(residual, scale, z)
            bits.append(chosen)
            if flip is not None and flip[scale] > 0:
                chosen = self.flipped(chosen, flip[scale], scale, schedule)
            z = z + self.resample(self.code(chosen, scale, schedule).to(h_bchw), final)
            prefixes.append(z)
        return Quantized(bits, prefixes)
