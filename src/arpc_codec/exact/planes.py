"""The prior of planes in exact arithmetic: the integers that refine a sum, a group of channels at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from arpc_codec.exact.fixed import ExactConv3x3, ExactLinear, snap, to_activation
from arpc_codec.exact.grid import BIAS_BITS
from arpc_codec.exact.prior import Caches, ExactBitPrior, ExactPrior
from arpc_codec.prior.coding import Phase
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.planes import KNOWN, SEEN, SHOWN, own_sums, own_tokens, pairs
from arpc_codec.scales import Schedule
from arpc_codec.tokenizer.planes import SLOTS, Planes


class ExactPlanePrior(ExactPrior):
    """Integer twin of a `Prior` with a `PlaneContext`.

    What the trunk says is, here, what the sum so far says in the units of each channel, [h, w, C * u].
    """

    def __init__(self, state: dict[str, Tensor], config: PriorConfig, device: str | torch.device = "cpu") -> None:
        super().__init__(state, config, device)
        self.planes, self.channels, self.units = Planes(config.groups), config.groups[-1], config.units
        self.seen = ExactConv3x3(state, "context.seen", self.device)
        unit = 2.0**-BIAS_BITS
        self.context_level, self.place, self.bias = (
            snap(state[f"context.{name}"].to(self.device).double() * unit) for name in ("level", "place", "bias")
        )
        self.up, self.cell, self.earlier = (
            ExactLinear(state, f"context.{name}", self.device) for name in ("up", "cell", "earlier")
        )
        # [C, SEEN + KNOWN, u] and [C, u, SLOTS], in units of the grid.
        self.own = ExactLinear(state, "context.own", self.device).weight.unflatten(1, (self.channels, -1))
        self.own = self.own.transpose(0, 1).contiguous()
        self.out = ExactLinear(state, "context.out", self.device).weight.unflatten(1, (self.channels, -1))
        self.out = self.out.transpose(0, 1).contiguous()

    def step(
        self, x_nd: Tensor | None, schedule: Schedule, scale: int, caches: Caches, step: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """(what the sum so far says [h, w, C * u], projected features [1, width, h, w]) of one scale.

        `x_nd`: z so far, resampled to the scale and on the 2^-12 grid, None for the first scale; `step`: of the scale.
        The last scales are told by the trunk's features of the one before.
        """
        walked, size = schedule[: len(schedule) - self.config.repeats], schedule[scale]
        if scale < len(walked):
            caches.last = self.hidden(x_nd, walked, scale, caches)
        assert caches.last is not None
        assert step is not None
        if x_nd is None:
            v = torch.zeros(1, self.channels, *size, dtype=torch.float64, device=self.device)
        else:
            # A tensor, not a number: a GPU divides by a number as a product with its rounded reciprocal.
            count = torch.full((), step, dtype=torch.float64, device=self.device)
            v = snap(x_nd / count, limit=SHOWN).T.unflatten(1, size)[None]
        level = self._level(len(schedule) - 1 - scale)
        features = snap(self.feature(caches.last) + self.context_level[level]).T.unflatten(1, size)[None]
        features = snap(features + self.seen(pairs(v)))
        said = self._own(own_sums(v), slice(0, SEEN)) + self.cell(pairs(v)[0].flatten(1).T)
        return snap(said).unflatten(0, size), features

    def around(self, features: Tensor, symbols_bmhw: Tensor, phase: Phase) -> Tensor:
        """What the integers of earlier phases say of those of one, [n, C * u]."""
        known = symbols_bmhw.double()
        up = self.up(self.context(features, pairs(known), phase))
        own = self._own(own_tokens(known), slice(SEEN, SEEN + KNOWN))[phase.positions]
        return snap(up + own + self.place[self._level(phase.after), phase.number])

    def logits(self, said: Tensor, around: Tensor, bits_nd: Tensor, places: slice, after: int) -> Tensor:
        """Logits [n, k] of the bits of a group, given the groups before it."""
        first, last = places.start // SLOTS, places.stop // SLOTS
        rows = slice(first * self.units, last * self.units)
        units = said[:, rows] + around[:, rows]
        if first:
            before = self.planes.integers(bits_nd, first).double()
            shown = torch.cat([before, before.abs()], 1)
            weight = torch.cat([self.earlier.weight[:first, rows], self.earlier.weight[self.channels :][:first, rows]])
            units = units + to_activation(shown @ weight)
        return self._out(snap(units).relu_(), slice(first, last), after)

    def chances(self, said: Tensor, features: Tensor, after: int) -> Tensor:
        """[h, w, d] as if all tokens before were 0."""
        size, d = said.shape[:2], self.planes.bits
        positions = torch.arange(size[0] * size[1], device=said.device)
        nothing = torch.zeros(1, self.channels, *size, dtype=torch.float64, device=said.device)
        units = said.flatten(0, 1) + self.around(features, nothing, Phase(0, positions, after))
        units = snap(units).relu_()
        whole = slice(0, self.channels)
        # Of all channels at once, the bits stand slot by slot.
        logits = self._out(units, whole, after)[:, self.planes.back.to(said.device)]
        return self.probability(logits).view(*size, d)

    def _own(self, shown_bfchw: Tensor, rows: slice) -> Tensor:
        """[h * w, C * u] of what a channel sees of itself."""
        shown_cnf = shown_bfchw[0].flatten(2).permute(1, 2, 0)
        return to_activation(shown_cnf @ self.own[:, rows]).transpose(0, 1).flatten(1)

    def _out(self, units_nu: Tensor, channels: slice, after: int) -> Tensor:
        """[n, SLOTS * c] of some channels, slot by slot."""
        units_cnu = units_nu.unflatten(1, (-1, self.units)).transpose(0, 1)
        logits_cns = to_activation(units_cnu @ self.out[channels])
        logits_cns = logits_cns + self.bias[self._level(after)].unflatten(0, (self.channels, -1))[channels, None]
        return logits_cns.permute(1, 2, 0).flatten(1)

    def _level(self, after: int) -> int:
        return min(after, self.config.levels - 1)


def exact_prior(
    state: dict[str, Tensor], config: PriorConfig, device: str | torch.device = "cpu"
) -> ExactBitPrior | ExactPlanePrior:
    """The exact prior of a config: of integers, or of sign bits."""
    return (ExactPlanePrior if config.groups else ExactBitPrior)(state, config, device)
