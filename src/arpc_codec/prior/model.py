"""The whole prior: VAR trunk plus context head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..scales import Schedule
from .config import PriorConfig
from .context import ContextHead
from .transformer import VAR


class Prior(nn.Module):
    """Trunk and context head of one model; logits are those of bit = 1."""

    def __init__(self, config: PriorConfig, context_width: int = 96, context_hidden: int = 8) -> None:
        super().__init__()
        self.config = config
        self.trunk = VAR(config)
        self.context = ContextHead(config.embed_dim, config.d, context_width, context_hidden)

    def forward(
        self, x_scales: Sequence[Tensor], bits: Sequence[Tensor], schedule: Schedule, active: Sequence[int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Teacher-forced logits [B, h, w, d] per scale: (trunk alone, with the context head).

        `x_scales`: inputs of scales 1.. [B, h*w, d]; `bits`: [B, h, w, d] of every scale; `active`: channels coded.
        """
        trunk, full = [], []
        features = self.trunk.features(x_scales, schedule)
        for hidden, bits_bhwd, size, a in zip(features, bits, schedule, active, strict=True):
            pairs = self.trunk.head(hidden).unflatten(-1, (-1, 2))
            logits = (pairs[..., 1] - pairs[..., 0]).unflatten(1, size)
            trunk.append(logits)
            full.append(logits + self.context(hidden.unflatten(1, size), bits_bhwd, a))
        return trunk, full
