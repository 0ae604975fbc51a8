"""The prior in exact arithmetic: what drives the entropy coder, and what fills the scales that were not sent.

z so far -> tokens of the next scale -> trunk (KV cache) -> logits, features
logits + features + neighbours coded so far -> integer probability of the next bit
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from arpc_codec.entropy import PROBABILITY_BITS
from arpc_codec.exact.fixed import ExactConv3x3, ExactLinear, layer_norm, look_up, snap, unit_length
from arpc_codec.exact.grid import ACTIVATION_BITS, BIAS_BITS, EXP_BITS, EXP_RANGE, GELU_BITS, LOGIT_BITS, ROTATION_BITS
from arpc_codec.prior.attention import NORM_EPS
from arpc_codec.prior.coding import Phase
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.context import known_marks
from arpc_codec.prior.rope import axis_positions
from arpc_codec.scales import Schedule

# Unit vectors on this grid have dot products that are float32 numbers.
COSINE_BITS = 11
# Attention is computed for so many queries at a time that scores stay near this many elements.
SCORE_ELEMENTS = 1 << 22


@dataclass
class Caches:
    """Of each block, rotated keys and values of every scale that is looked at; what the last scale came to, [n, C]."""

    blocks: list[list[tuple[Tensor, Tensor]]]
    last: Tensor | None = None


class ExactAttention:
    """Cosine self-attention of one block with its cache of keys and values."""

    def __init__(self, state: dict[str, Tensor], name: str, config: PriorConfig, device: torch.device) -> None:
        self.qkv = ExactLinear(state, f"{name}.qkv", device)
        self.proj = ExactLinear(state, f"{name}.proj", device)
        temperature = state[f"{name}.temperature"].to(device).double() * 2.0**-BIAS_BITS
        # float32 on purpose: the product with the score difference is one correctly rounded operation.
        self.temperature = (temperature * (1 << EXP_BITS)).float()[:, None, None]
        self.exp = state["tables.exp"].to(device).double()
        self.heads, self.key_tokens = config.num_heads, config.key_tokens

    def __call__(self, x_nc: Tensor, rotation: tuple[Tensor, Tensor], cache: list[tuple[Tensor, Tensor]]) -> Tensor:
        """[n, C] -> [n, C]; appends to `cache` unless the scale has more than `key_tokens` tokens."""
        q, k, v = self.qkv(x_nc).unflatten(-1, (3, self.heads, -1)).permute(1, 2, 0, 3)
        q = rotate(unit_length(q, COSINE_BITS), rotation)
        if not self.key_tokens or len(x_nc) <= self.key_tokens:
            cache.append((rotate(unit_length(k, COSINE_BITS), rotation), snap(v, bits=10, limit=32.0)))
        keys, values = torch.cat([k for k, _ in cache], 1), torch.cat([v for _, v in cache], 1)
        step = max(1, SCORE_ELEMENTS // (self.heads * keys.shape[1]))
        out = torch.cat([self._attend(part, keys, values) for part in q.split(step, 1)], 1)
        return self.proj(out.transpose(0, 1).flatten(1))

    def _attend(self, q_hne: Tensor, k_hme: Tensor, v_hme: Tensor) -> Tensor:
        # float64 even though float32 would be exact: nothing (autocast, TF32, bfloat16 modes) ever lowers float64. The
        # scores themselves fit float32, and elementwise operations on them are faster there.
        scores = (q_hne @ k_hme.transpose(1, 2)).float()
        distance = (scores.amax(-1, keepdim=True) - scores).mul_(self.temperature)
        index = distance.round_().clamp_(max=(EXP_RANGE << EXP_BITS) - 1).to(torch.int32)
        weights = self.exp.index_select(0, index.flatten()).view(scores.shape)
        return snap((weights @ v_hme) / weights.sum(-1, keepdim=True))


def rotate(x_hne: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate adjacent pairs of channels; cos and sin are [n, e/2]."""
    cos, sin = rotation
    a, b = x_hne.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    return snap(turned, bits=COSINE_BITS)


class ExactPrior:
    """Integer twin of `Prior` but for its bits; state comes from `export_prior`, `exact_prior` makes the right one."""

    guarded = False

    def __init__(self, state: dict[str, Tensor], config: PriorConfig, device: str | torch.device = "cpu") -> None:
        device = torch.device(device)
        self.config, self.device = config, device
        unit = 2.0**-BIAS_BITS
        self.word = ExactLinear(state, "word", device)
        self.start = snap(state["start"].to(device).double() * unit)
        self.level = state["level"].to(device).double() * unit
        self.end = state["end"].to(device).double() * unit if "end" in state else None
        self.attention = [ExactAttention(state, f"blocks.{i}", config, device) for i in range(config.depth)]
        self.fc1 = [ExactLinear(state, f"blocks.{i}.fc1", device) for i in range(config.depth)]
        self.fc2 = [ExactLinear(state, f"blocks.{i}.fc2", device) for i in range(config.depth)]
        self.feature = ExactLinear(state, "context.feature", device)
        self.known, self.conv1, self.conv2 = (
            ExactConv3x3(state, f"context.{name}", device) for name in ("known", "conv1", "conv2")
        )
        self.gelu = state["tables.gelu"].to(device).double() * 2.0**-12
        self.probabilities = state["tables.probability"].to(device)
        self.rotation = state["tables.rotation"].to(device).double() * 2.0**-ROTATION_BITS

    def begin(self, schedule: Schedule) -> Caches:
        """Empty caches for one picture."""
        return Caches([[] for _ in self.attention])

    def fork(self, caches: Caches) -> Caches:
        """A copy of the caches; what is in them never changes."""
        return Caches([list(cache) for cache in caches.blocks], caches.last)

    def hidden(self, x_nd: Tensor | None, schedule: Schedule, scale: int, caches: Caches) -> Tensor:
        """[n, C] of one scale, before the head."""
        size = schedule[scale]
        x = self.start.expand(size[0] * size[1], -1) if x_nd is None else self.word(x_nd)
        vector = self.level[scale]
        if self.end is not None:
            vector = vector + self.end[len(schedule) - 1 - scale]
        x = snap(x + vector)
        rotation = self._rotation(size, schedule[-1])
        for attention, fc1, fc2, cache in zip(self.attention, self.fc1, self.fc2, caches.blocks, strict=True):
            x = snap(x + attention(layer_norm(x, NORM_EPS), rotation, cache))
            inner = fc1(layer_norm(x, NORM_EPS))
            x = snap(x + fc2(inner.clamp_min(0) + look_up(self.gelu, inner, GELU_BITS)))
        return layer_norm(x, NORM_EPS)

    def context(self, features: Tensor, shown_bmhw: Tensor, phase: Phase) -> Tensor:
        """[n, width] context of the tokens of a phase, given what is shown of earlier ones, 0 elsewhere."""
        known = torch.cat([shown_bmhw, known_marks(shown_bmhw, phase.number)], 1)
        x = snap(features + self.known.of_phases(snap(known.double()), phase.number)).relu_()
        return self.conv2.at(self.conv1(x).relu_(), phase.positions).relu_()

    def counts(self, logits: Tensor) -> Tensor:
        """P(bit = 1) as int32 counts of 65536."""
        return look_up(self.probabilities, logits, LOGIT_BITS)

    def probability(self, logits: Tensor) -> Tensor:
        """The same as float64, without rounding."""
        return self.counts(logits).double() * 2.0**-PROBABILITY_BITS

    def _rotation(self, size: tuple[int, int], final: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """cos and sin [h*w, e/2]: angles of the rows, then of the columns."""
        rows, cols = axis_positions(size[0], final[0]), axis_positions(size[1], final[1])
        y = self.rotation[:, rows].unsqueeze(2).expand(-1, -1, len(cols), -1)
        x = self.rotation[:, cols].unsqueeze(1).expand(-1, len(rows), -1, -1)
        cos, sin = torch.cat([y, x], -1).flatten(1, 2)
        return cos, sin


class ExactBitPrior(ExactPrior):
    """The trunk says the logits of independent bits."""

    def __init__(self, state: dict[str, Tensor], config: PriorConfig, device: str | torch.device = "cpu") -> None:
        super().__init__(state, config, device)
        self.head = ExactLinear(state, "head", self.device)
        self.units, self.earlier, self.out = (
            ExactLinear(state, f"context.{name}", self.device) for name in ("units", "earlier", "out")
        )

    def step(
        self, x_nd: Tensor | None, schedule: Schedule, scale: int, caches: Caches, step: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """(logits of the trunk [h, w, d], projected features [1, width, h, w]) of one scale.

        `x_nd`: z so far, resampled to the scale and on the 2^-12 grid; None for the first scale.
        """
        normed, size = self.hidden(x_nd, schedule, scale, caches), schedule[scale]
        return self.head(normed).unflatten(0, size), self.feature(normed).T.unflatten(1, size)[None]

    def around(self, features: Tensor, symbols_bmhw: Tensor, phase: Phase) -> Tensor:
        """Hidden units [n, d, u] of the tokens of a phase, before their earlier bits."""
        return self.units(self.context(features, symbols_bmhw, phase)).unflatten(-1, (self.config.d, -1))

    def logits(self, said: Tensor, around: Tensor, bits_nd: Tensor, places: slice, after: int) -> Tensor:
        """Logit [n, 1] of one bit, given the earlier bits of each token."""
        bit, width = places.start, around.shape[-1]
        rows = slice(bit * width, (bit + 1) * width)
        signs = bits_nd[:, :bit].double() * 2 - 1
        hidden = snap(around[:, bit] + (signs @ self.earlier.weight[:bit, rows]) * 2.0**-ACTIVATION_BITS).relu_()
        return (said[:, bit] + self.out.output(hidden, bit))[:, None]

    def chances(self, said: Tensor, features: Tensor, after: int) -> Tensor:
        """[h, w, d] of the bits."""
        return self.probability(said)
