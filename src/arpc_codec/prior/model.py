"""The whole prior: VAR trunk plus context head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..scales import Schedule
from .attention import Text
from .config import PriorConfig
from .context import ContextHead
from .rope import Size
from .transformer import VAR


class Prior(nn.Module):
    """Trunk and context head of one model; logits are those of bit = 1. `context_width` 0: the trunk alone."""

    def __init__(self, config: PriorConfig, context_width: int = 96, context_hidden: int = 8) -> None:
        super().__init__()
        self.config = config
        self.trunk = VAR(config)
        headed = context_width > 0
        self.context = ContextHead(config.embed_dim, config.d, context_width, context_hidden) if headed else None

    def forward(
        self,
        x_scales: Sequence[Tensor],
        bits: Sequence[Tensor],
        schedule: Schedule,
        active: Sequence[int],
        text: Text | None = None,
        grid: Size | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Teacher-forced logits [B, h, w, d] per scale: (trunk alone, with the context head if there is one).

        `x_scales`: inputs of scales 1.. [B, h*w, d]; `bits`: [B, h, w, d] of every scale; `active`: channels coded;
        `text` and `grid` as in `VAR.forward`.
        """
        features = self.trunk.features(x_scales, schedule, None, text, grid)
        trunk = [bit_logits(self.trunk.head(hidden), size) for hidden, size in zip(features, schedule, strict=True)]
        if self.context is None:
            return trunk, trunk
        full = []
        for logits, hidden, bits_bhwd, size, a in zip(trunk, features, bits, schedule, active, strict=True):
            full.append(logits + self.context(hidden.unflatten(1, size), bits_bhwd, a))
        return trunk, full


def bit_logits(pairs_bnd: Tensor, size: Size) -> Tensor:
    """Logits of bit = 1 [B, h, w, d] of a trunk's pairs [B, h*w, 2d], bit 0 before bit 1."""
    pairs = pairs_bnd.unflatten(-1, (-1, 2))
    return (pairs[..., 1] - pairs[..., 0]).unflatten(1, size)
