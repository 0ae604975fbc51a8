"""The VAR transformer of the Infinity family: predicts every bit of a scale from the coarser scales.

condition --------------------> shared adaLN --+------ ... ------+----> head adaLN
    |                                          v                 v          v
[start | word_embed(x_1) | ...] + scale --> block 0 --> ... --> block n --> head --> logits [.., 2d]
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.errors import UsageError
from arpc_codec.prior.attention import (
    NORM_EPS,
    Condition,
    CrossAttention,
    KeyValueCache,
    SelfAttention,
    Text,
    TextCondition,
)
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.linear import Linear
from arpc_codec.prior.rope import Size, token_rotations
from arpc_codec.scales import Schedule


def modulated_norm(x_blc: Tensor, scale_bc: Tensor, shift_bc: Tensor) -> Tensor:
    """LayerNorm(x) * (1 + scale) + shift, one scale and shift [B or 1, C] for all tokens of a picture."""
    if len(scale_bc) == 1:
        # The same for the whole batch, so it can ride in the fused kernel.
        return F.layer_norm(x_blc, x_blc.shape[-1:], 1 + scale_bc[0], shift_bc[0], NORM_EPS)
    normed = F.layer_norm(x_blc, x_blc.shape[-1:], eps=NORM_EPS)
    return normed * (1 + scale_bc[:, None]) + shift_bc[:, None]


def guide(cond: Tensor, uncond: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance: g * cond + (1 - g) * uncond."""
    return guidance * cond + (1 - guidance) * uncond


class Block(nn.Module):
    """Self-attention, optional cross-attention to the text, feed-forward; modulated by the condition."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        # Rows: gain attention, gain MLP, scale attention, scale MLP, shift attention, shift MLP.
        self.ada_gss = nn.Parameter(torch.zeros(6, config.embed_dim))
        self.sa = SelfAttention(config)
        self.ca_norm = nn.LayerNorm(config.embed_dim, eps=NORM_EPS) if config.text_channels else None
        self.ca = CrossAttention(config) if config.text_channels else None
        self.ffn = nn.Sequential(
            Linear(config.embed_dim, config.mlp_hidden),
            nn.GELU(approximate="tanh"),
            Linear(config.mlp_hidden, config.embed_dim),
        )

    def init_residuals(self) -> None:
        """Make the block the identity through its last matrices, with adaLN gains of 1."""
        nn.init.zeros_(self.ada_gss)
        nn.init.ones_(self.ada_gss[:2])
        for layer in (self.sa.proj, self.ffn[-1], self.ca.proj if self.ca is not None else None):
            if isinstance(layer, nn.Linear):
                nn.init.zeros_(layer.weight)

    def memory(self, condition: Condition) -> tuple[Tensor, Tensor] | None:
        """Cross-attention keys and values of the text; None without text."""
        return None if self.ca is None or condition.memory_btc is None else self.ca.kv(condition.memory_btc)

    def forward(
        self,
        x_blc: Tensor,
        shared_b6c: Tensor,
        rotation_2lf: Tensor,
        sizes: Sequence[int],
        memory: tuple[Tensor, Tensor] | None = None,
        memory_mask_bt: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Tokens [B, L, C] of the scales in `sizes`; with a cache these follow the cached scales."""
        gain1, gain2, scale1, scale2, shift1, shift2 = (shared_b6c + self.ada_gss).unbind(1)
        attended = self.sa(modulated_norm(x_blc, scale1, shift1), rotation_2lf, sizes, cache)
        x_blc = x_blc + attended * gain1[:, None]
        if self.ca is not None and self.ca_norm is not None and memory is not None:
            x_blc = x_blc + self.ca(self.ca_norm(x_blc), memory, memory_mask_bt)
        return x_blc + self.ffn(modulated_norm(x_blc, scale2, shift2)) * gain2[:, None]


class State:
    """One scale-by-scale run: schedule, condition and caches. Made by `VAR.start`, advanced by `VAR.step`."""

    def __init__(
        self,
        model: VAR,
        schedule: Schedule,
        rotation_2lf: Tensor,
        condition: Condition,
        batch: int,
    ) -> None:
        self.schedule = schedule
        self.scale = 0
        self.batch = batch
        self.condition = condition
        tokens = [h * w for h, w in schedule]
        self.rotations = rotation_2lf.split(tokens, dim=1)
        self.shared_b6c = model.modulation(condition.pooled_bc)
        self.caches = [KeyValueCache(sum(tokens)) for _ in model.stack]
        self.memories = [block.memory(condition) for block in model.stack]

    def fork(self) -> State:
        """A copy that can be advanced without changing this one."""
        other = copy(self)
        other.caches = [cache.fork() for cache in self.caches]
        return other


class VAR(nn.Module):
    """Next-scale transformer over bits. Raises UsageError when inputs do not fit the schedule or the config.

    `head` is public: a context head may take `features` and leave this trunk unchanged. It holds nothing but
    parameters: build a large one on the meta device, fill it with `load_state_dict(..., assign=True)`.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embed_dim
        if config.text_channels:
            self.text = TextCondition(config)
        else:
            self.cond = nn.Parameter(torch.zeros(width))
        self.pos_start = nn.Parameter(torch.zeros(width))
        self.word_embed = Linear(config.inputs, width)
        self.lvl_embed = nn.Embedding(config.max_levels, width)
        if config.scale_embed == "index+end":
            self.end_embed = nn.Embedding(config.max_levels, width)
        self.shared_ada = Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.head_ada = Linear(width, 2 * width)
        self.head = Linear(width, config.outputs) if config.outputs else nn.Identity()
        self.init_weights()

    @property
    def stack(self) -> Sequence[Block]:
        """The blocks, first to last."""
        return cast("Sequence[Block]", self.blocks)

    def init_weights(self) -> None:
        """Initial values for training.

        Matrices: truncated normal of 1/sqrt(inputs). Blocks start as the identity (zero last matrices).
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                std = module.in_features**-0.5
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.trunc_normal_(module.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if name in ("cond", "pos_start", "text.uncond", "text.pool.query"):
                nn.init.trunc_normal_(parameter, std=0.02)
        for block in self.stack:
            block.init_residuals()
        for layer in (self.shared_ada, self.head_ada):
            nn.init.zeros_(layer.weight)
        if isinstance(self.head, nn.Linear):
            nn.init.trunc_normal_(self.head.weight, std=0.02)

    def forward(
        self,
        x_scales: Sequence[Tensor],
        schedule: Schedule,
        text: Text | None = None,
        grid: Size | None = None,
    ) -> list[Tensor]:
        """Teacher-forced logits [B, n_s, 2d] of each scale; entries 2j and 2j+1 are bit j being 0 and 1.

        Of integers there are none here: features [B, n_s, C], which their context head reads (planes.py).

        `x_scales`: inputs [B, h_s*w_s, config.inputs] of scales 1... `grid`: what positions scale to; not needed when
        config.rope_grid is "final".
        """
        hidden = self._hidden(x_scales, schedule, text, grid)
        return list(self.head(hidden).split([h * w for h, w in schedule], dim=1))

    def features(
        self,
        x_scales: Sequence[Tensor],
        schedule: Schedule,
        text: Text | None = None,
        grid: Size | None = None,
    ) -> list[Tensor]:
        """As `forward`, but the input of `head` [B, n_s, C] of each scale."""
        hidden = self._hidden(x_scales, schedule, text, grid)
        return list(hidden.split([h * w for h, w in schedule], dim=1))

    @torch.no_grad()
    def start(
        self,
        schedule: Schedule,
        text: Text | None = None,
        grid: Size | None = None,
        *,
        batch: int = 1,
    ) -> State:
        """Begin a scale-by-scale run over `schedule`."""
        condition = self._condition(text)
        if text is not None:
            batch = len(text.features_btc)
        return State(self, schedule, self._rotation(schedule, grid), condition, batch)

    @torch.no_grad()
    def step(self, x_bnd: Tensor | None, state: State) -> tuple[Tensor, Tensor]:
        """(what `forward` gives, over the temperature; head inputs [B, n, C]) of the next scale; advances the state.

        `x_bnd`: input of that scale, None for the first. Two runs, with text and without, are mixed by `guide`.
        """
        s = state.scale
        if s >= len(state.schedule):
            raise UsageError(f"all {s} scales of this run were already predicted")
        self._check_inputs([] if x_bnd is None else [x_bnd], state.schedule[max(s, 1) : s + 1])
        if x_bnd is None:
            tokens = state.schedule[0][0] * state.schedule[0][1]
            x = self._start_token(state.condition.pooled_bc, state.batch, tokens)
        else:
            x = self.word_embed(x_bnd)
        x = x + self._scale_vector(s, len(state.schedule))
        for index, block in enumerate(self.stack):
            cache, memory = state.caches[index], state.memories[index]
            mask = state.condition.mask_bt
            x = block(x, state.shared_b6c, state.rotations[s], (x.shape[1],), memory, mask, cache)
        hidden = self._head_norm(x, state.condition.pooled_bc)
        logits = self.head(hidden) / self.config.temperature
        state.scale += 1
        return logits, hidden

    def modulation(self, pooled_bc: Tensor) -> Tensor:
        """Shared adaLN rows [B or 1, 6, C] of the pooled condition."""
        return _in_float32(self.shared_ada, F.silu(pooled_bc)).unflatten(-1, (6, -1))

    def _hidden(
        self,
        x_scales: Sequence[Tensor],
        schedule: Schedule,
        text: Text | None,
        grid: Size | None,
    ) -> Tensor:
        self._check_inputs(x_scales, schedule[1:])
        rotation = self._rotation(schedule, grid)
        condition = self._condition(text)
        shared = self.modulation(condition.pooled_bc)
        batch = len(x_scales[0]) if x_scales else len(condition.pooled_bc)
        start = self._start_token(condition.pooled_bc, batch, schedule[0][0] * schedule[0][1])
        embedded = [start, self.word_embed(torch.cat(list(x_scales), dim=1))] if x_scales else [start]
        tokens = [h * w for h, w in schedule]
        scales = torch.cat([self._scale_vector(s, len(tokens)).expand(n, -1) for s, n in enumerate(tokens)])
        x = torch.cat(embedded, dim=1) + scales
        for block in self.stack:
            x = block(x, shared, rotation, tokens, block.memory(condition), condition.mask_bt)
        return self._head_norm(x, condition.pooled_bc)

    def _head_norm(self, x_blc: Tensor, pooled_bc: Tensor) -> Tensor:
        scale, shift = _in_float32(self.head_ada, F.silu(pooled_bc)).chunk(2, dim=-1)
        return modulated_norm(x_blc, scale, shift)

    def _start_token(self, pooled_bc: Tensor, batch: int, tokens: int) -> Tensor:
        """The first scale has one token, but for pictures wider than 9:4."""
        return (pooled_bc + self.pos_start)[:, None].expand(batch, tokens, -1)

    def _scale_vector(self, scale: int, scales: int) -> Tensor:
        vector = self.lvl_embed.weight[scale]
        if self.config.scale_embed == "index+end":
            vector = vector + self.end_embed.weight[scales - 1 - scale]
        return vector

    def _condition(self, text: Text | None) -> Condition:
        if self.config.text_channels == 0:
            if text is not None:
                raise UsageError("this prior was built without text")
            return Condition(self.cond[None])
        if text is None:
            raise UsageError("this prior needs a text (`text.unconditional` gives the one that means none)")
        if text.features_btc.shape[-1] != self.config.text_channels:
            raise UsageError(f"text features must have {self.config.text_channels} channels")
        if text.features_btc.shape[1] > self.config.text_maxlen:
            raise UsageError(f"text is longer than {self.config.text_maxlen} tokens")
        return self.text(text)

    def _rotation(self, schedule: Schedule, grid: Size | None) -> Tensor:
        """Rotations of all tokens, on the model's device."""
        if not 1 <= len(schedule) <= self.config.max_levels:
            raise UsageError(f"{len(schedule)} scales do not fit a prior with {self.config.max_levels} levels")
        if grid is None:
            if self.config.rope_grid == "published":
                raise UsageError("the position grid must be given: it does not follow from this schedule")
            grid = schedule[-1]
        sizes = tuple((h, w) for h, w in schedule)
        rotation = token_rotations(sizes, (grid[0], grid[1]), self.config.head_dim)
        return rotation.to(self.pos_start.device)

    def _check_inputs(self, x_scales: Sequence[Tensor], sizes: Schedule) -> None:
        found = [tuple(x.shape[1:]) for x in x_scales]
        expected = [(h * w, self.config.inputs) for h, w in sizes]
        if found != expected:
            raise UsageError(f"inputs of the scales must be (tokens, channels) {expected}, not {found}")
        if any(len(a) != len(b) for a, b in pairwise(x_scales)):
            raise UsageError("inputs of the scales differ in batch size")


def _in_float32(layer: Linear, x_bc: Tensor) -> Tensor:
    """Modulations are a few rows that touch every token: not worth rounding under autocast."""
    with torch.autocast(x_bc.device.type, enabled=False):
        return layer(x_bc.to(layer.bias.dtype))
