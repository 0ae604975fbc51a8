"""The whole prior: VAR trunk plus context head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..scales import Schedule
from .attention import Text
from .config import PriorConfig
from .context import ContextHead, TreeContext
from .rope import Size
from .transformer import VAR
from .tree import TreeHead


class Prior(nn.Module):
    """Trunk and context head of one model; logits are those of bit = 1. `context_width` 0: the trunk alone."""

    def __init__(self, config: PriorConfig, context_width: int = 96, context_hidden: int = 8) -> None:
        super().__init__()
        self.config = config
        self.trunk = VAR(config)
        self.tree = TreeHead(config.levels, config.rank) if config.levels else None
        self.context: ContextHead | TreeContext | None = None
        if context_width and config.levels:
            self.context = TreeContext(config.embed_dim, config.inputs, config.rank, context_width)
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
        features = self.trunk.features(x_scales, schedule, None, text, grid)
        alone, full = [], []
        for scale, (hidden, bits_bhwd, shown, size) in enumerate(zip(features, bits, symbols, schedule, strict=True)):
            after, hidden_bhwc = len(schedule) - 1 - scale, hidden.unflatten(1, size)
            if self.tree is None:
                trunk = bit_logits(self.trunk.head(hidden), size)
                alone.append(trunk)
                if isinstance(self.context, ContextHead):
                    trunk = trunk + self.context(hidden_bhwc, shown, bits_bhwd)
                full.append(trunk)
            else:
                asked = self.trunk.head(hidden_bhwc)
                alone.append(self.tree(asked, bits_bhwd, after))
                if isinstance(self.context, TreeContext):
                    asked = asked + self.context(hidden_bhwc, shown)
                full.append(self.tree(asked, bits_bhwd, after))
        return alone, full

    def chances(self, outputs_bnd: Tensor, size: Size, after: int) -> Tensor:
        """Chances [B, h, w, places] of a 1 from the trunk's outputs: of the bits, or at the nodes of the tree."""
        if self.tree is None:
            return bit_logits(outputs_bnd, size).sigmoid()
        return self.tree.every(outputs_bnd.unflatten(1, size), after).sigmoid()


def bit_logits(pairs_bnd: Tensor, size: Size) -> Tensor:
    """Logits of bit = 1 [B, h, w, d] of a trunk's pairs [B, h*w, 2d], bit 0 before bit 1."""
    pairs = pairs_bnd.unflatten(-1, (-1, 2))
    return (pairs[..., 1] - pairs[..., 0]).unflatten(1, size)
