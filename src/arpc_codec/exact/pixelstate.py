"""Trained lossless prior <-> the integers that are shipped. Needs torch."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from arpc_codec.exact.fixed import quantize_bias, quantize_rows
from arpc_codec.exact.grid import BIAS_BITS, State
from arpc_codec.exact.tables import exp_table, rate_table, sigmoid_table, silu_table
from arpc_codec.prior.adapter import layers
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.lowrank import layer
from arpc_codec.prior.pixel import Block, PixelPrior


@torch.no_grad()
def export_pixel(prior: PixelPrior) -> State:
    """Integer state: int16 weights, int8 row exponents, int32 biases, tables; norms folded into the next layers."""
    state: dict[str, Tensor] = {}

    def put(name: str, weight: Tensor, bias: Tensor) -> None:
        state[f"{name}.weight"], state[f"{name}.exponent"] = quantize_rows(weight.double())
        state[f"{name}.bias"] = quantize_bias(bias)

    def put_normed(name: str, layer: nn.Linear, norm: nn.LayerNorm) -> None:
        weight, own = layer.weight[:, : len(norm.weight)], layer.weight[:, len(norm.weight) :]
        put(name, torch.cat([weight * norm.weight, own], 1), layer.bias + weight @ norm.bias)

    put("embed", prior.embed.weight, prior.embed.bias)
    for i, block in enumerate(cast(list[Block], list(prior.blocks))):
        put_normed(f"blocks.{i}.a", block.gating.a, block.norm1)
        put_normed(f"blocks.{i}.v", block.gating.v, block.norm1)
        state[f"blocks.{i}.taps"] = quantize_bias(block.gating.taps)
        put(f"blocks.{i}.proj", block.gating.proj.weight, block.gating.proj.bias)
        put_normed(f"blocks.{i}.up", block.up, block.norm2)
        put(f"blocks.{i}.down", block.down.weight, block.down.bias)
    for place in range(prior.config.channels):
        inner, outer = cast(nn.Linear, prior.inner[place]), cast(nn.Linear, prior.outer[place])
        put_normed(f"inner.{place}", inner, prior.norm)
        put(f"outer.{place}", outer.weight, outer.bias)
    state["tables.silu"], state["tables.exp"] = silu_table(), exp_table()
    state["tables.rate"], state["tables.sigmoid"] = rate_table(), sigmoid_table()
    return {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in state.items()}


@torch.no_grad()
def import_pixel(config: PixelConfig, integers: State) -> PixelPrior:
    """The float prior of an integer state, for adapting it to a picture: norms stay folded into the next layers."""
    prior = PixelPrior(config)
    state = {name: torch.from_numpy(part) for name, part in integers.items()}
    for name in layers(config):
        linear = layer(prior, name)
        linear.weight.copy_(state[f"{name}.weight"] * torch.exp2(-state[f"{name}.exponent"].float())[:, None])
        linear.bias.copy_(state[f"{name}.bias"] * 2.0**-BIAS_BITS)
    for i, block in enumerate(cast(list[Block], list(prior.blocks))):
        block.gating.taps.copy_(state[f"blocks.{i}.taps"] * 2.0**-BIAS_BITS)
    return prior
