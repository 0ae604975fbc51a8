"""The whole prior: VAR trunk plus context head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from arpc_codec.prior.attention import Text
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.context import ContextHead
from arpc_codec.prior.planes import SHOWN, PlaneContext
from arpc_codec.prior.rope import Size
from arpc_codec.prior.transformer import VAR
from arpc_codec.scales import Schedule


class Logits(NamedTuple):
    """Of bit = 1, [B, h, w, d] per scale: of the trunk alone, where it says any, and with the context head."""

    trunk: list[Tensor]
    full: list[Tensor]


class Prior(nn.Module):
    """Trunk and context head of one model. `context_width` 0: the trunk alone, of sign bits.

    context_hidden: units of each sign bit in the context head; those of integers are in the config.
    """

    def __init__(self, config: PriorConfig, context_width: int = 96, context_hidden: int = 8) -> None:
        super().__init__()
        self.config = config
        self.trunk = VAR(config)
        self.context: ContextHead | PlaneContext | None = None
        if config.groups:
            self.context = PlaneContext(config.embed_dim, config.groups, config.levels, context_width, config.units)
        elif context_width:
            self.context = ContextHead(config.embed_dim, config.d, context_width, context_hidden)

    def forward(
        self,
        x_scales: Sequence[Tensor],
        bits: Sequence[Tensor],
        symbols: Sequence[Tensor],
        schedule: Schedule,
        text: Text | None = None,
        grid: Size | None = None,
        steps: Sequence[float] = (),
        only: Sequence[int] | None = None,
    ) -> Logits:
        """Teacher-forced logits.

        `x_scales`: inputs of scales 1.. [B, h*w, C]; `bits`: [B, h, w, d] of every scale; `symbols`: [B, m, h, w], what
        the quantizer shows of them; `text` and `grid` as in `VAR.forward`; `steps`: of every scale, if tokens are
        integers; `only`: scales of integers to tell, None for all.
        """
        walked = len(schedule) - self.config.repeats
        features = self.trunk.features(x_scales[: walked - 1], schedule[:walked], text, grid)
        features += features[-1:] * self.config.repeats
        if isinstance(self.context, PlaneContext):
            told = []
            for scale in range(len(schedule)) if only is None else only:
                v = in_steps(x_scales[scale - 1] if scale else None, symbols[scale], steps[scale])
                hidden = features[scale].unflatten(1, schedule[scale])
                told.append(self.context(hidden, v, symbols[scale], len(schedule) - 1 - scale))
            return Logits([], told)
        alone = [bit_logits(self.trunk.head(hidden), size) for hidden, size in zip(features, schedule, strict=True)]
        if self.context is None:
            return Logits(alone, alone)
        corrections = [
            self.context(hidden.unflatten(1, size), shown, known)
            for hidden, shown, known, size in zip(features, symbols, bits, schedule, strict=True)
        ]
        return Logits(alone, [trunk + added for trunk, added in zip(alone, corrections, strict=True)])


def in_steps(x_bnc: Tensor | None, like_bchw: Tensor, step: float) -> Tensor:
    """A sum so far [B, h*w, C] in steps of the scale that refines it, [B, C, h, w]; nothing before the first."""
    if x_bnc is None:
        return torch.zeros_like(like_bchw)
    return (x_bnc / step).clamp(-SHOWN, SHOWN).mT.unflatten(-1, like_bchw.shape[-2:])


def bit_logits(pairs_bnd: Tensor, size: Size) -> Tensor:
    """Logits of bit = 1 [B, h, w, d] of a trunk's pairs [B, h*w, 2d], bit 0 before bit 1."""
    pairs = pairs_bnd.unflatten(-1, (-1, 2))
    return (pairs[..., 1] - pairs[..., 0]).unflatten(1, size)
