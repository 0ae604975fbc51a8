"""The whole prior: VAR trunk plus context head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..scales import Schedule
from .attention import Text
from .config import PriorConfig
from .context import ContextHead, TreeContext
from .rope import Size
from .transformer import VAR
from .tree import Refinement, TreeHead


class Prior(nn.Module):
    """Trunk and context head of one model; logits are those of bit = 1. `context_width` 0: the trunk alone."""

    def __init__(self, config: PriorConfig, context_width: int = 96, context_hidden: int = 8) -> None:
        super().__init__()
        self.config = config
        self.trunk = VAR(config)
        self.tree = TreeHead(config.levels, config.rank) if config.levels else None
        self.refinement = Refinement(config.inputs, config.rank, config.repeats) if config.repeats else None
        self.context: ContextHead | TreeContext | None = None
        if context_width and config.levels:
            self.context = TreeContext(config.embed_dim, config.inputs, config.rank, len(config.levels), context_width)
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
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Teacher-forced logits [B, h, w, d] per scale: (trunk alone, with the context head if there is one).

        `x_scales`: inputs of scales 1.. [B, h*w, C]; `bits`: [B, h, w, d] of every scale; `symbols`: [B, m, h, w], what
        the quantizer shows of them; `text` and `grid` as in `VAR.forward`.
        """
        walked = len(schedule) - self.config.repeats
        features = self.trunk.features(x_scales[: walked - 1], schedule[:walked], None, text, grid)
        features += features[-1:] * self.config.repeats
        alone, full = [], []
        for scale, (hidden, bits_bhwd, shown, size) in enumerate(zip(features, bits, symbols, schedule, strict=True)):
            after, hidden_bhwc = len(schedule) - 1 - scale, hidden.unflatten(1, size)
            x = x_scales[scale - 1] if scale else None
            said = self.said(self.trunk.head(hidden), x, after)
            if self.tree is None:
                trunk = bit_logits(said, size)
                alone.append(trunk)
                if isinstance(self.context, ContextHead):
                    trunk = trunk + self.context(hidden_bhwc, shown, bits_bhwd)
                full.append(trunk)
            else:
                said_bhwr = said.unflatten(1, size)
                alone.append(self.tree(said_bhwr, bits_bhwd, after))
                if isinstance(self.context, TreeContext):
                    z = torch.zeros_like(shown) if x is None else x.mT.unflatten(-1, size)
                    said_bhwr = said_bhwr + self.context(hidden_bhwc, z, shown, after)
                full.append(self.tree(said_bhwr, bits_bhwd, after))
        return alone, full

    def said(self, outputs_bnr: Tensor, x_bnc: Tensor | None, after: int) -> Tensor:
        """The trunk's outputs for a scale that `after` others follow; x: its input, which repeats need."""
        if self.refinement is None or after >= self.config.repeats or x_bnc is None:
            return outputs_bnr
        return outputs_bnr + self.refinement(x_bnc, after)

    def chances(self, said_bnr: Tensor, size: Size, after: int) -> Tensor:
        """Chances [B, h, w, places] of a 1 by what is said: of the bits, or at the nodes of the tree."""
        if self.tree is None:
            return bit_logits(said_bnr, size).sigmoid()
        return self.tree.every(said_bnr.unflatten(1, size), after).sigmoid()


def bit_logits(pairs_bnd: Tensor, size: Size) -> Tensor:
    """Logits of bit = 1 [B, h, w, d] of a trunk's pairs [B, h*w, 2d], bit 0 before bit 1."""
    pairs = pairs_bnd.unflatten(-1, (-1, 2))
    return (pairs[..., 1] - pairs[..., 0]).unflatten(1, size)
