"""Attention layers of the VAR prior: cosine self-attention with a cache, cross-attention, text condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.linear import Linear
from arpc_codec.prior.rope import rotate

MAX_LOG_SCALE = math.log(100.0)
NORM_EPS = 1e-6
# Queries go in parts of so many scores: a device without a fused kernel for float32 holds all of a call, here 512 MiB.
SCORE_ELEMENTS = 1 << 27


def at_least_float32(x: Tensor) -> Tensor:
    """What must not be computed in a smaller type."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@dataclass(frozen=True)
class Text:
    """Text features [B, T, text_channels]; where lengths differ also a mask [B, T] (True = real)."""

    features_btc: Tensor
    mask_bt: Tensor | None = None

    @classmethod
    def pad(cls, prompts: Sequence[Tensor]) -> Text:
        """Batch prompts [len, text_channels] of any lengths >= 1."""
        features = nn.utils.rnn.pad_sequence(list(prompts), batch_first=True)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=features.device)
        mask = torch.arange(features.shape[1], device=features.device) < lengths[:, None]
        return cls(features, None if bool(mask.all()) else mask)


@dataclass(frozen=True)
class Condition:
    """What the trunk is conditioned on: a pooled vector [B or 1, C], the cross-attention memory [B, T, C]."""

    pooled_bc: Tensor
    memory_btc: Tensor | None = None
    mask_bt: Tensor | None = None


class KeyValueCache:
    """Keys and values of one layer for the scales seen so far, in buffers that hold `length` tokens."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.used = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(self, k_bhne: Tensor, v_bhne: Tensor) -> tuple[Tensor, Tensor]:
        """Store the keys and values of the next scale; return those of all scales so far."""
        if self._keys is None or self._values is None:
            shape = (*k_bhne.shape[:2], self.length, k_bhne.shape[-1])
            self._keys, self._values = k_bhne.new_empty(shape), v_bhne.new_empty(shape)
        start, self.used = self.used, self.used + k_bhne.shape[2]
        self._keys[:, :, start : self.used] = k_bhne
        self._values[:, :, start : self.used] = v_bhne
        return self._keys[:, :, : self.used], self._values[:, :, : self.used]

    def fork(self) -> KeyValueCache:
        """A copy that can grow without changing this one."""
        other = KeyValueCache(self.length)
        if self._keys is not None and self._values is not None:
            other.used, other._keys, other._values = self.used, self._keys.clone(), self._values.clone()
        return other


class SelfAttention(nn.Module):
    """Cosine attention: unit q and k, a learned temperature per head, rotary positions, no other scale."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.num_heads, self.key_tokens = config.num_heads, config.key_tokens
        self.qkv = Linear(config.embed_dim, 3 * config.embed_dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(config.embed_dim))
        self.v_bias = nn.Parameter(torch.zeros(config.embed_dim))
        self.log_scale = nn.Parameter(torch.full((config.num_heads,), math.log(4.0)))
        self.proj = Linear(config.embed_dim, config.embed_dim)

    def forward(
        self, x_blc: Tensor, rotation_2lf: Tensor, sizes: Sequence[int], cache: KeyValueCache | None = None
    ) -> Tensor:
        """Attend from each scale (`sizes` tokens each) to itself and all coarser ones, [B, L, C]."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = self.qkv.apply_with(x_blc, bias).unflatten(-1, (3, self.num_heads, -1))
        qk_blxhe, v = at_least_float32(qkv[:, :, :2]), qkv[:, :, 2].transpose(1, 2)
        # Not F.normalize: its backward pass costs three times as much on a CPU.
        unit = qk_blxhe * (qk_blxhe.square().sum(-1, keepdim=True) + 1e-24).rsqrt()
        q_blhe, k_blhe = rotate(unit, rotation_2lf).unbind(2)
        scale = at_least_float32(self.log_scale).clamp(max=MAX_LOG_SCALE).exp()
        q = (q_blhe * scale[:, None]).to(v.dtype).transpose(1, 2)
        k = k_blhe.to(v.dtype).transpose(1, 2)
        end = 0 if cache is None else cache.used
        shown = sum(n for n in sizes if not self.key_tokens or n <= self.key_tokens)
        k, v = k[:, :, :shown], v[:, :, :shown]
        if cache is not None:
            k, v = cache.append(k, v)
        # One call per scale instead of a block-causal mask: the fused kernel, and no work on hidden keys.
        outputs = []
        for q_scale in q.split(list(sizes), dim=2):
            end = min(end + q_scale.shape[2], k.shape[2])
            for part in q_scale.split(max(1, SCORE_ELEMENTS // (len(q) * self.num_heads * end)), dim=2):
                outputs.append(F.scaled_dot_product_attention(part, k[:, :, :end], v[:, :, :end], scale=1.0))
        return self.proj(torch.cat(outputs, dim=2).transpose(1, 2).flatten(2))


class KeyValue(nn.Module):
    """Keys and values of a memory; only the values carry a bias."""

    def __init__(self, in_channels: int, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.linear = Linear(in_channels, 2 * embed_dim, bias=False)
        self.v_bias = nn.Parameter(torch.zeros(embed_dim))

    def forward(self, memory_btc: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, in] -> keys and values, each [B, H, T, e]."""
        bias = torch.cat((torch.zeros_like(self.v_bias), self.v_bias))
        kv = self.linear.apply_with(memory_btc, bias).unflatten(-1, (2, self.num_heads, -1))
        k, v = kv.transpose(1, 3).unbind(2)
        return k, v


class CrossAttention(nn.Module):
    """Ordinary scaled attention from image tokens to the text memory."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q = Linear(config.embed_dim, config.embed_dim)
        self.kv = KeyValue(config.embed_dim, config.embed_dim, config.num_heads)
        self.proj = Linear(config.embed_dim, config.embed_dim)

    def forward(self, x_blc: Tensor, kv: tuple[Tensor, Tensor], mask_bt: Tensor | None) -> Tensor:
        """`kv` is `self.kv(memory)`: the same for all scales, so a cached run computes it once."""
        q = self.q(x_blc).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        mask = None if mask_bt is None else mask_bt[:, None, None]
        out = F.scaled_dot_product_attention(q, *kv, attn_mask=mask)
        return self.proj(out.transpose(1, 2).flatten(2))


class AttentionPool(nn.Module):
    """Attention with one learned query: text tokens -> one vector."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        heads = config.text_pool_heads
        self.query = nn.Parameter(torch.zeros(heads, config.embed_dim // heads))
        self.kv = KeyValue(config.text_channels, config.embed_dim, heads)
        self.proj = Linear(config.embed_dim, config.embed_dim)

    def forward(self, text_btc: Tensor, mask_bt: Tensor | None) -> Tensor:
        """[B, T, text_channels] -> [B, C]."""
        k, v = self.kv(text_btc)
        q = self.query[None, :, None].to(k.dtype).expand(len(k), -1, -1, -1)
        mask = None if mask_bt is None else mask_bt[:, None, None]
        return self.proj(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).flatten(1))


class TextCondition(nn.Module):
    """Text features -> condition; also holds the learned features that stand for `no text`."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.uncond = nn.Parameter(torch.zeros(config.text_maxlen, config.text_channels))
        self.norm = nn.RMSNorm(config.text_channels, eps=NORM_EPS)
        self.pool = AttentionPool(config)
        self.memory = nn.Sequential(
            Linear(config.text_channels, config.embed_dim),
            nn.GELU(approximate="tanh"),
            Linear(config.embed_dim, config.embed_dim),
        )

    def forward(self, text: Text) -> Condition:
        """Normalise, pool and project the text features."""
        normed = self.norm(at_least_float32(text.features_btc))
        return Condition(self.pool(normed, text.mask_bt), self.memory(normed), text.mask_bt)

    def unconditional(self, text: Text) -> Text:
        """The `no text` features with the batch, lengths and mask of `text`, as guidance needs them."""
        batch, length, _ = text.features_btc.shape
        return Text(self.uncond[:length].expand(batch, -1, -1), text.mask_bt)

    def dropped(self, text: Text, dropped_b: Tensor) -> Text:
        """A copy of `text` with the `no text` features in place of the prompts that `dropped_b` [B] bool marks."""
        nothing = self.unconditional(text).features_btc
        return Text(torch.where(dropped_b[:, None, None], nothing, text.features_btc), text.mask_bt)
