"""Trained float prior -> the integer tensors that are shipped.

Without text the condition is constant, so every adaptive norm (its gain, scale and shift) folds into the linear layer
behind or in front of it, and the two logits of a bit become their difference.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.errors import ModelError
from arpc_codec.exact.fixed import quantize_bias, quantize_rows
from arpc_codec.exact.tables import exp_table, gelu_table, probability_table, rotation_table
from arpc_codec.prior.attention import MAX_LOG_SCALE
from arpc_codec.prior.context import ContextHead
from arpc_codec.prior.model import Prior

POSITIONS = 128
# What the blocks add up is only seen normed, so it may have any unit: in one of so much it stays within the limits of
# exact arithmetic (a trained trunk of `tiny` came to 317, the limit is 128).
RESIDUAL = 8.0


@torch.no_grad()
def export_prior(prior: Prior) -> dict[str, Tensor]:
    """Integer state of a prior without text: per layer int16 weight, int8 row exponent, int32 bias; tables; embeddings.

    Raises ModelError for a prior with text (its modulations are not constant) or without a context head.
    """
    if prior.config.text_channels or prior.context is None:
        raise ModelError("only a prior without text, with a context head, can be made exact")
    # On a copy: the caller may go on training.
    trunk, context = copy.deepcopy(prior.trunk).double(), copy.deepcopy(prior.context).double()
    state: dict[str, Tensor] = {}

    def put(name: str, weight: Tensor, bias: Tensor) -> None:
        state[f"{name}.weight"], state[f"{name}.exponent"] = quantize_rows(weight)
        state[f"{name}.bias"] = quantize_bias(bias)

    def put_normed(name: str, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> None:
        put(name, weight * (1 + scale), bias + weight @ shift)

    put("word", trunk.word_embed.weight / RESIDUAL, trunk.word_embed.bias / RESIDUAL)
    state["start"] = quantize_bias((trunk.cond + trunk.pos_start) / RESIDUAL)
    state["level"] = quantize_bias(trunk.lvl_embed.weight / RESIDUAL)
    if prior.config.scale_embed == "index+end":
        state["end"] = quantize_bias(trunk.end_embed.weight / RESIDUAL)
    shared = trunk.modulation(trunk.cond[None])
    for i, block in enumerate(trunk.stack):
        gain1, gain2, scale1, scale2, shift1, shift2 = (shared + block.ada_gss)[0]
        gain1, gain2 = gain1 / RESIDUAL, gain2 / RESIDUAL
        inner, outer = cast(nn.Linear, block.ffn[0]), cast(nn.Linear, block.ffn[2])
        qkv_bias = torch.cat([block.sa.q_bias, torch.zeros_like(block.sa.q_bias), block.sa.v_bias])
        put_normed(f"blocks.{i}.qkv", block.sa.qkv.weight, qkv_bias, scale1, shift1)
        put(f"blocks.{i}.proj", block.sa.proj.weight * gain1[:, None], block.sa.proj.bias * gain1)
        put_normed(f"blocks.{i}.fc1", inner.weight, inner.bias, scale2, shift2)
        put(f"blocks.{i}.fc2", outer.weight * gain2[:, None], outer.bias * gain2)
        state[f"blocks.{i}.temperature"] = quantize_bias(block.sa.log_scale.clamp(max=MAX_LOG_SCALE).exp())
    scale, shift = trunk.head_ada(F.silu(trunk.cond)).chunk(2)
    put_normed("context.feature", context.feature.weight, context.feature.bias, scale, shift)
    for name in ("known", "conv1", "conv2"):
        layer = getattr(context, name)
        put(f"context.{name}", layer.weight.flatten(1), layer.bias)
    if isinstance(context, ContextHead):
        assert isinstance(trunk.head, nn.Linear)
        head = trunk.head.weight.unflatten(0, (-1, 2)), trunk.head.bias.unflatten(0, (-1, 2))
        put_normed("head", head[0][:, 1] - head[0][:, 0], head[1][:, 1] - head[1][:, 0], scale, shift)
        put("context.units", context.units.weight, context.units.bias)
        lower = torch.tril(torch.ones(context.d, context.d, dtype=torch.float64), -1)[:, None]
        put("context.earlier", (context.earlier * lower).flatten(0, 1), torch.zeros(context.d * context.hidden))
        put("context.out", context.out, context.bias)
    else:
        put("context.seen", context.seen.weight.flatten(1), torch.zeros(len(context.seen.weight)))
        put("context.up", context.up.weight, context.up.bias)
        for name, matrix in (
            ("cell", context.cell.T),
            ("earlier", (context.earlier * context.lower).T),
            ("own", context.own.permute(0, 2, 1).flatten(0, 1)),
            ("out", context.out.permute(0, 2, 1).flatten(0, 1)),
        ):
            put(f"context.{name}", matrix, torch.zeros(len(matrix)))
        state["context.level"] = quantize_bias(context.level.weight)
        state["context.place"] = quantize_bias(context.place)
        state["context.bias"] = quantize_bias(context.bias.flatten(1))
    state["tables.gelu"], state["tables.exp"] = gelu_table(), exp_table()
    state["tables.probability"] = probability_table()
    state["tables.rotation"] = rotation_table(POSITIONS, prior.config.head_dim)
    return {name: tensor.contiguous() for name, tensor in state.items()}
