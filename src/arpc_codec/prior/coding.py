"""What drives the coding of bits, and two priors that can: the float transformer, and none at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from arpc_codec.entropy.guard import grid_counts
from arpc_codec.prior.attention import Text
from arpc_codec.prior.context import ContextHead, known_marks
from arpc_codec.prior.precision import plain_float32
from arpc_codec.prior.rope import Size
from arpc_codec.prior.transformer import VAR, State
from arpc_codec.scales import Schedule
from arpc_codec.tokenizer.multiscale import MultiScaleQuantizer

# Rows of the `no text` features that stand for no caption.
UNCAPTIONED_TOKENS = 64


class Phase(NamedTuple):
    """Which of the four, the flat positions [n] of its tokens, and how many scales follow."""

    number: int
    positions: Tensor
    after: int


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

    def step(
        self, x_nd: Tensor | None, schedule: Schedule, scale: int, caches: Any, step: float | None
    ) -> tuple[Tensor, Tensor]:
        """(what the trunk says [h, w, :], features for `around`) of one scale.

        x_nd: z so far, float64. step: of the scale, where tokens are integers.
        """

    def around(self, features: Tensor, symbols_bmhw: Tensor, phase: Phase) -> Tensor:
        """What the symbols of earlier phases, 0 elsewhere, say of the tokens of a phase."""

    def logits(self, said: Tensor, around: Tensor, bits_nd: Tensor, places: slice, after: int) -> Tensor:
        """Logits [n, k] of some bits, given the earlier bits of each token, and how many scales follow.

        said: by the trunk, of these tokens.
        """

    def chances(self, said: Tensor, features: Tensor, after: int) -> Tensor:
        """[h, w, d] chances of a 1 before any token of a scale is known: what expected codes are taken of."""

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

    def step(
        self, x_nd: Tensor | None, schedule: Schedule, scale: int, caches: State, step: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """(trunk logits [h, w, d] over the temperature, features [1, width, h, w], or nothing without context head)."""
        with plain_float32(self.device):
            logits, hidden = self.trunk.step(None if x_nd is None else x_nd.to(self.trunk.pos_start)[None], caches)
            pairs = logits[0].unflatten(-1, (-1, 2)).unflatten(0, schedule[scale])
            if self.context is None:
                features = hidden.new_empty(0)
            else:
                features = self.context.feature(hidden).mT.unflatten(-1, schedule[scale])
            return pairs[..., 1] - pairs[..., 0], features

    def around(self, features: Tensor, symbols_bmhw: Tensor, phase: Phase) -> Tensor:
        """Hidden units [n, d, u] of the tokens of a phase before their earlier bits; nothing without context head."""
        if self.context is None:
            return features
        known = torch.cat([symbols_bmhw, known_marks(symbols_bmhw, phase.number)], 1)
        with plain_float32(self.device):
            context = self.context.neighbourhood(features, known.to(features))[0].flatten(1).T[phase.positions]
            return self.context.units(context).unflatten(-1, (self.context.d, -1))

    def logits(self, said: Tensor, around: Tensor, bits_nd: Tensor, places: slice, after: int) -> Tensor:
        """Logit [n, 1] of one bit."""
        if self.context is None:
            return said[:, places]
        bit = places.start
        signs = bits_nd[:, :bit].to(said) * 2 - 1
        with plain_float32(self.device):
            hidden = (around[:, bit] + signs @ self.context.earlier[bit, :, :bit].T).relu()
            return (said[:, bit] + (hidden * self.context.out[bit]).sum(-1) + self.context.bias[bit])[:, None]

    def chances(self, said: Tensor, features: Tensor, after: int) -> Tensor:
        """[h, w, d] of the bits."""
        return self.probability(said)

    def counts(self, logits: Tensor) -> Tensor:
        """P(bit = 1) as int32 counts of 65536, of the rows nearest to the logits."""
        return torch.from_numpy(np.asarray(grid_counts(logits.cpu().numpy()))).to(logits.device)

    def probability(self, logits: Tensor) -> Tensor:
        """P(bit = 1), float64."""
        return logits.double().sigmoid()


@dataclass(frozen=True)
class NoPrior:
    """Every bit is as likely as the quantizer says it usually is: how portable files are coded."""

    quantizer: MultiScaleQuantizer
    device: torch.device
    guarded = False

    def begin(self, schedule: Schedule) -> None:
        """No caches."""

    def fork(self, caches: None) -> None:
        """No caches."""

    def step(
        self, x_nd: Tensor | None, schedule: Schedule, scale: int, caches: None, step: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """(chances of a 1 [h, w, d], nothing)."""
        usual_d = self.quantizer.usual(scale, schedule).to(self.device)
        return usual_d.expand(*schedule[scale], -1), torch.empty(0, device=self.device)

    def around(self, features: Tensor, symbols_bmhw: Tensor, phase: Phase) -> Tensor:
        """Nothing."""
        return features

    def logits(self, said: Tensor, around: Tensor, bits_nd: Tensor, places: slice, after: int) -> Tensor:
        """Chances [n, k]."""
        return said[:, places]

    def chances(self, said: Tensor, features: Tensor, after: int) -> Tensor:
        """[h, w, d]; scales are filled by a prior that knows something."""
        return said

    def counts(self, logits: Tensor) -> Tensor:
        """Counts of 65536 of chances."""
        return (logits * 65536).to(torch.int32)

    def probability(self, logits: Tensor) -> Tensor:
        """The chances."""
        return logits


def text_condition(trunk: VAR, features_tc: Tensor | None) -> Text | None:
    """What conditions a transformer: text features [T, text_channels], or for None its own that mean no text."""
    if not trunk.config.text_channels:
        return None
    features = trunk.text.uncond[:UNCAPTIONED_TOKENS] if features_tc is None else features_tc
    return Text(features.to(trunk.pos_start)[None])
