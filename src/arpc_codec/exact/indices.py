"""The prior of ProGIC's indices in exact arithmetic, one pass of positions at a time.

Sums of codebook entries are the same on every machine; on the activation grid they are the network's only inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from arpc_codec.entropy.mixture import chances
from arpc_codec.exact.fixed import ExactLinear, Silu, quantize_bias, quantize_rows, snap
from arpc_codec.exact.grid import BIAS_BITS, EXP_BITS, EXP_RANGE, GELU_BITS
from arpc_codec.exact.tables import exp_table, silu_table
from arpc_codec.prior.indices import IndexConfig, IndexPrior
from arpc_codec.prior.quincunx import AROUND, NEAR, Pass, gathered, grouped, merged, passes

# Positions computed at a time: what they take stays below some 50 MB.
CHUNK = 4096
# Entries of the first codebook stay within this, sums of several within four times as much.
INPUT_LIMIT = 32.0
# (probabilities [n, m], symbols): codes the symbols of some positions, or with None reads them; returns them.
Choose = Callable[[Tensor, "Tensor | None"], Tensor]


@torch.no_grad()
def export_indices(prior: IndexPrior) -> dict[str, Tensor]:
    """Integer state of a trained prior: int16 weights, int8 row exponents, int32 biases, tables; without codebooks."""
    state: dict[str, Tensor] = {}
    seen = prior.codebooks[0, :, : prior.config.channels]
    unit = math.floor(math.log2(INPUT_LIMIT / float(seen.abs().max().clamp_min(2.0**-20))))
    scale = prior.scale.double() * 2.0**-unit

    def put(name: str, weight: Tensor, bias: Tensor) -> None:
        state[f"{name}.weight"], state[f"{name}.exponent"] = quantize_rows(weight.double())
        state[f"{name}.bias"] = quantize_bias(bias)

    near = prior.near.weight.double()
    sums, inside = near[:, :-NEAR], near[:, -NEAR:]
    put("around", prior.around.weight * scale.repeat(len(AROUND)), prior.around.bias)
    put("near", torch.cat([sums * scale.repeat(NEAR), inside], 1), torch.zeros(len(near)))
    state["places"] = quantize_bias(prior.places)
    put("outer", prior.outer.weight, prior.outer.bias)
    put("narrow", prior.narrow.weight, prior.narrow.bias)
    for name, weight, bias in (("high", prior.high, prior.high_bias), ("low", prior.low, prior.low_bias)):
        put(name, weight.flatten(0, 1), bias.flatten())
    state["unit"] = torch.tensor([unit], dtype=torch.int8)
    state["tables.silu"], state["tables.exp"] = silu_table(), exp_table()
    return {name: tensor.contiguous() for name, tensor in state.items()}


class ExactIndexPrior:
    """Integer twin of `IndexPrior`; state comes from `export_indices`, codebooks [stages, E, C] from the network."""

    def __init__(self, state: dict[str, Tensor], config: IndexConfig, codebooks: Tensor) -> None:
        cpu = torch.device("cpu")
        self.config = config
        self.codebooks = codebooks[..., : config.channels].to(cpu, torch.float32).contiguous()
        self.unit = 2.0 ** int(state["unit"])
        self.around, self.near, self.outer = (
            ExactLinear(state, name, cpu, GELU_BITS) for name in ("around", "near", "outer")
        )
        self.narrow = ExactLinear(state, "narrow", cpu)
        self.places = state["places"].double() * 2.0 ** (GELU_BITS - BIAS_BITS)
        self.silu = Silu(state["tables.silu"])
        self.exp = state["tables.exp"].double()
        high, low = (ExactLinear(state, name, cpu, EXP_BITS) for name in ("high", "low"))
        first, second = config.parts
        # [stages, in, first], and for each value of the first half [in, second].
        self.high = high.weight.unflatten(1, (-1, first)).transpose(0, 1).contiguous()
        self.high_bias = high.bias.unflatten(0, (-1, 1, first))
        self.low = low.weight.unflatten(1, (-1, first, second)).permute(1, 2, 0, 3).contiguous()
        self.low_bias = low.bias.unflatten(0, (-1, first, second))

    def code(self, before: Sequence[Tensor], shape: tuple[int, int], choose: Choose, truth_p: Tensor | None) -> Tensor:
        """Code the indices [P] of the stage behind those `before`, each int64 [P], or with None for them read them.

        Positions are flat. `choose` is called with the first halves of a pass in raster order, then with the second
        halves, in as few parts as memory allows.
        """
        sums, outside = self._sums(before), torch.zeros(1, self.config.channels, dtype=torch.float64)
        seen = None if sums is None else torch.cat([self._inputs(sums), outside])
        if truth_p is not None:
            known = torch.cat([self._inputs(self._with(len(before), sums, truth_p)), outside])
            for steps in grouped(passes(*shape), CHUNK):
                self._write(len(before), steps, seen, known, choose, truth_p)
            return truth_p
        known, found = outside.repeat(shape[0] * shape[1] + 1, 1), torch.empty(shape[0] * shape[1], dtype=torch.int64)
        for steps in grouped(passes(*shape), CHUNK):
            shares: Sequence[Tensor | None] = [None]
            if len(steps) > 1:
                # What the stages before say is computed for several small passes together.
                shares = self._ahead(seen, merged(steps).around).split([len(step.positions) for step in steps])
            for step, share in zip(steps, shares, strict=True):
                at = step.positions
                found[at] = self._pass(len(before), step, seen, share, known, choose, None)
                known[at] = self._inputs(self._with(len(before), None if sums is None else sums[at], found[at]))
        return found

    def _write(
        self,
        stage: int,
        steps: Sequence[Pass],
        seen: Tensor | None,
        known: Tensor,
        choose: Choose,
        truth_p: Tensor,
    ) -> None:
        """Code passes whose indices are known: several small ones are computed together."""
        if len(steps) == 1:
            self._pass(stage, steps[0], seen, None, known, choose, truth_p[steps[0].positions])
            return
        together = merged(steps)
        truth = truth_p[together.positions]
        first, second = truth // self.config.parts[1], truth % self.config.parts[1]
        hidden = self._hidden(stage, together, slice(None), self._ahead(seen, together.around), known)
        high, low = self._high(stage, hidden), self._low(stage, self.narrow(hidden), first)
        start = 0
        for step in steps:
            part = slice(start, start + len(step.positions))
            choose(high[part], first[part])
            choose(low[part], second[part])
            start = part.stop

    def _pass(
        self,
        stage: int,
        step: Pass,
        seen: Tensor | None,
        ahead: Tensor | None,
        known: Tensor,
        choose: Choose,
        truth_n: Tensor | None,
    ) -> Tensor:
        """Indices [n] of the positions of one pass. ahead: what `_ahead` gives for them, None to compute it here."""
        second, halves = self.config.parts[1], []
        chunks = [slice(i, i + CHUNK) for i in range(0, len(step.positions), CHUNK)]
        for part in chunks:
            share = self._ahead(seen, step.around[part]) if ahead is None else ahead[part]
            hidden = self._hidden(stage, step, part, share, known)
            truth = None if truth_n is None else truth_n[part] // second
            halves.append((choose(self._high(stage, hidden), truth), self.narrow(hidden)))
        index = []
        for part, (first, x) in zip(chunks, halves, strict=True):
            truth = None if truth_n is None else truth_n[part] % second
            index.append(first * second + choose(self._low(stage, x, first), truth))
        return torch.cat(index)

    def _high(self, stage: int, hidden: Tensor) -> Tensor:
        """[n, outer width] -> probabilities of the first halves."""
        return self._chances(hidden @ self.high[stage] + self.high_bias[stage])

    def _low(self, stage: int, x: Tensor, first: Tensor) -> Tensor:
        """[n, low], first halves [n] -> probabilities of the second halves."""
        units = torch.bmm(x[:, None], self.low[stage].index_select(0, first))[:, 0]
        return self._chances(units.add_(self.low_bias[stage].index_select(0, first)))

    def _ahead(self, seen: Tensor | None, around_nk: Tensor) -> Tensor:
        """[n, inner width]: share of the sums of the stages before. Before the first stage there is nothing to see."""
        if seen is None:
            return self.around.bias.expand(len(around_nk), -1)
        return self.around.units(gathered(seen, around_nk))

    def _hidden(self, stage: int, step: Pass, part: slice, ahead_nd: Tensor, known: Tensor) -> Tensor:
        """[n, outer width] of some positions of a pass."""
        neighbours = step.neighbours[part]
        inside = (neighbours < len(known) - 1).double()
        units = self.near.units(torch.cat([gathered(known, neighbours), inside], 1)).add_(
            self.places[stage, step.place[part]]
        )
        return self.silu(self.outer.units(self.silu(units.add_(ahead_nd))))

    def _chances(self, units_nm: Tensor) -> Tensor:
        """Logits in units of the grid of the table -> probabilities, positive multiples of 2^-20 that sum to 1."""
        units = units_nm.round_()
        distance = (units.amax(1, keepdim=True) - units).clamp_(max=(EXP_RANGE << EXP_BITS) - 1).to(torch.int32)
        weights = self.exp.index_select(0, distance.flatten()).view(units.shape)
        mass = torch.zeros(units.shape[1] + 1, len(units), dtype=torch.float64)
        torch.cumsum(weights.T, 0, out=mass[1:])
        return torch.from_numpy(chances(mass.numpy()))

    def _sums(self, before: Sequence[Tensor]) -> Tensor | None:
        """[P, channels seen] float32, as the quantizer adds them; None for no stages."""
        sums = None
        for stage, index in enumerate(before):
            sums = self._with(stage, sums, index)
        return sums

    def _with(self, stage: int, sums: Tensor | None, index: Tensor) -> Tensor:
        """[n, channels seen] float32: `sums` of the stages before and the entries of this one."""
        entries = self.codebooks[stage].index_select(0, index)
        return entries if sums is None else sums + entries

    def _inputs(self, sums: Tensor) -> Tensor:
        return snap(sums.double() * self.unit)
