"""What drives the coding of bits, and two priors that can: the float transformer, and none at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..entropy.guard import grid_counts
from ..scales import Schedule
from .attention import Text
from .context import ContextHead
from .precision import plain_float32
from .rope import Size
from .transformer import VAR, State

# Rows of the `no text` features that stand for no caption.
UNCAPTIONED_TOKENS = 64


class CodingPrior(Protocol):
    """What a walk through the scales needs of a prior; `ExactPrior` says more about each method.

    guarded: logits may differ between machines, so coding needs a guard list and `counts` are those of its grid.
    """

    @property
    def device(self) -> torch.device: ...

    @property
    def guarded(self) -> bool: ...

    def begin(self, schedule: Schedule) -> Any:
        """Empty caches for one picture."""

    def fork(self, caches: Any) -> Any:
        """A copy of the caches."""

    def step(self, x_nd: Tensor | None, schedule: Schedule, scale: int, caches: Any) -> tuple[Tensor, Tensor]:
        """(trunk logits [h, w, d], features for `phase_context`) of one scale; x_nd: z so far, float64."""

    def phase_context(self, features: Tensor, known_bchw: Tensor, positions: Tensor) -> Tensor:
        """Context of the tokens at n flat positions, given the symbols [1, m+1, h, w] of earlier phases."""

    def phase_units(self, context: Tensor) -> Tensor:
        """What `bit_logit` needs of it."""

    def bit_logit(self, trunk_nd: Tensor, units: Tensor | None, bits_nd: Tensor, bit: int, after: int) -> Tensor:
        """Logit [n] of one bit, given the earlier bits of each token, and how many scales follow.

        Without units by the trunk alone.
        """

    def chances(self, trunk_hwd: Tensor, after: int) -> Tensor:
        """[h, w, places] chances of a 1 by the trunk alone, float64: what the quantizer takes expected codes of."""

    def counts(self, logits: Tensor) -> Tensor:
        """P(bit = 1) as int32 counts of 65536."""

    def probability(self, logits: Tensor) -> Tensor:
        """P(bit = 1), float64, for what need not be coded."""


@dataclass(frozen=True)
class FloatPrior:
    """A float transformer under one condition, one picture at a time, one call a scale.

    context: adds to the logits over the temperature. text: needed exactly if the transformer has text. grid: as in
    `VAR.start`.
    """

    trunk: VAR
    context: ContextHead | None = None
    text: Text | None = None
    grid: Size | None = None
    guarded = True

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.trunk.pos_start.device

    def unconditional(self) -> FloatPrior:
        """The same for no text in place of its text, of as many tokens, as guidance needs it."""
        assert self.text is not None
        return replace(self, text=self.trunk.text.unconditional(self.text))

    def begin(self, schedule: Schedule) -> State:
        """Empty caches for one picture. Raises UsageError when the schedule does not fit the transformer."""
        with plain_float32(self.device):
            return self.trunk.start(schedule, text=self.text, grid=self.grid)

    def fork(self, caches: State) -> State:
        """A copy of the caches."""
        return caches.fork()

    def step(self, x_nd: Tensor | None, schedule: Schedule, scale: int, caches: State) -> tuple[Tensor, Tensor]:
        """(trunk logits [h, w, d] over the temperature, features [1, width, h, w], or nothing without context head)."""
        with plain_float32(self.device):
            logits, hidden = self.trunk.step(None if x_nd is None else x_nd.to(self.trunk.pos_start)[None], caches)
            pairs = logits[0].unflatten(-1, (-1, 2)).unflatten(0, schedule[scale])
            if self.context is None:
                features = hidden.new_empty(0)
            else:
                features = self.context.feature(hidden).mT.unflatten(-1, schedule[scale])
            return pairs[..., 1] - pairs[..., 0], features

    def phase_context(self, features: Tensor, known_bchw: Tensor, positions: Tensor) -> Tensor:
        """[n, width] context of the tokens at n flat positions; nothing without context head."""
        if self.context is None:
            return features
        with plain_float32(self.device):
            context = self.context.neighbourhood(features, known_bchw.to(features))
            return context[0].flatten(1).T[positions]

    def phase_units(self, context: Tensor) -> Tensor:
        """[n, width] context -> hidden units [n, d, u] before the earlier bits; nothing without context head."""
        if self.context is None:
            return context
        with plain_float32(self.device):
            return self.context.units(context).unflatten(-1, (self.context.d, -1))

    def bit_logit(self, trunk_nd: Tensor, units: Tensor | None, bits_nd: Tensor, bit: int, after: int) -> Tensor:
        """Logit [n] of one bit."""
        if self.context is None or units is None:
            return trunk_nd[:, bit]
        signs = bits_nd[:, :bit].to(trunk_nd) * 2 - 1
        with plain_float32(self.device):
            hidden = (units[:, bit] + signs @ self.context.earlier[bit, :, :bit].T).relu()
            return trunk_nd[:, bit] + (hidden * self.context.out[bit]).sum(-1) + self.context.bias[bit]

    def chances(self, trunk_hwd: Tensor, after: int) -> Tensor:
        """[h, w, d] of the bits."""
        return self.probability(trunk_hwd)

    def counts(self, logits: Tensor) -> Tensor:
        """P(bit = 1) as int32 counts of 65536, of the rows nearest to the logits."""
        return torch.from_numpy(np.asarray(grid_counts(logits.cpu().numpy()))).to(logits.device)

    def probability(self, logits: Tensor) -> Tensor:
        """P(bit = 1), float64."""
        return logits.double().sigmoid()


@dataclass(frozen=True)
class NoPrior:
    """Every bit is as likely 0 as 1: how portable files are coded."""

    bits: int
    device: torch.device
    guarded = False

    def begin(self, schedule: Schedule) -> None:
        """No caches."""

    def fork(self, caches: None) -> None:
        """No caches."""

    def step(self, x_nd: Tensor | None, schedule: Schedule, scale: int, caches: None) -> tuple[Tensor, Tensor]:
        """(logits of 0 [h, w, d], nothing)."""
        return torch.zeros(*schedule[scale], self.bits, device=self.device), torch.empty(0, device=self.device)

    def phase_context(self, features: Tensor, known_bchw: Tensor, positions: Tensor) -> Tensor:
        """Nothing."""
        return features

    def phase_units(self, context: Tensor) -> Tensor:
        """Nothing."""
        return context

    def bit_logit(self, trunk_nd: Tensor, units: Tensor | None, bits_nd: Tensor, bit: int, after: int) -> Tensor:
        """Zeros [n]."""
        return trunk_nd[:, bit]

    def chances(self, trunk_hwd: Tensor, after: int) -> Tensor:
        """[h, w, d] halves; scales are filled by a prior that knows something."""
        return self.probability(trunk_hwd)

    def counts(self, logits: Tensor) -> Tensor:
        """Half of 65536."""
        return torch.full_like(logits, 1 << 15, dtype=torch.int32)

    def probability(self, logits: Tensor) -> Tensor:
        """One half."""
        return torch.full_like(logits, 0.5, dtype=torch.float64)


def text_condition(trunk: VAR, features_tc: Tensor | None) -> Text | None:
    """What conditions a transformer: text features [T, text_channels], or for None its own that mean no text."""
    if not trunk.config.text_channels:
        return None
    features = trunk.text.uncond[:UNCAPTIONED_TOKENS] if features_tc is None else features_tc
    return Text(features.to(trunk.pos_start)[None])
