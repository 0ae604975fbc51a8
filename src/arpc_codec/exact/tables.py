"""Integer tables of functions that libraries may round differently; built at export and shipped in the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from arpc_codec.entropy import PROBABILITY_BITS
from arpc_codec.entropy.mixture import SIGMOID_BITS, SIGMOID_GRID, SIGMOID_RANGE
from arpc_codec.exact.grid import (
    EXP_BITS,
    EXP_RANGE,
    GELU_BITS,
    GELU_RANGE,
    LOGIT_BITS,
    LOGIT_RANGE,
    ROTATION_BITS,
)
from arpc_codec.prior.rope import angle_tables


def gelu_table() -> Tensor:
    """int32: GELU(x) - max(x, 0) (tanh form) at multiples of 2^-9 in +-8, in units of 2^-12; 0 beyond."""
    x = torch.arange(-GELU_RANGE << GELU_BITS, (GELU_RANGE << GELU_BITS) + 1, dtype=torch.float64) / (1 << GELU_BITS)
    y = torch.nn.functional.gelu(x, approximate="tanh") - x.clamp_min(0)
    return (y * 4096).round().to(torch.int32)


def silu_table() -> Tensor:
    """int32: SiLU(x) - max(x, 0) at multiples of 2^-9 in +-8, in units of 2^-12; the ends hold beyond."""
    x = torch.arange(-GELU_RANGE << GELU_BITS, (GELU_RANGE << GELU_BITS) + 1, dtype=torch.float64) / (1 << GELU_BITS)
    return ((torch.nn.functional.silu(x) - x.clamp_min(0)) * 4096).round().to(torch.int32)


def rate_table() -> Tensor:
    """int32: exp(x) at multiples of 2^-7 in +-8, in units of 2^-16."""
    x = torch.arange(-8 << EXP_BITS, (8 << EXP_BITS) + 1, dtype=torch.float64) / (1 << EXP_BITS)
    return (torch.exp(x) * 65536).round().to(torch.int32)


def sigmoid_table() -> Tensor:
    """int32: sigmoid at multiples of 2^-6 in +-20, in units of 2^-24; one more entry to interpolate to."""
    x = torch.arange((-SIGMOID_RANGE << SIGMOID_GRID), (SIGMOID_RANGE << SIGMOID_GRID) + 2, dtype=torch.float64)
    return (torch.sigmoid(x / (1 << SIGMOID_GRID)) * (1 << SIGMOID_BITS)).round().to(torch.int32)


def exp_table() -> Tensor:
    """int32: exp(-x) at multiples of 2^-7 in 0..16, in units of 2^-16."""
    x = torch.arange(EXP_RANGE << EXP_BITS, dtype=torch.float64) / (1 << EXP_BITS)
    return (torch.exp(-x) * 65536).round().to(torch.int32)


def probability_table() -> Tensor:
    """int32: P(bit = 1) for logits at multiples of 2^-6 in +-12, as counts 1..65535 of 65536."""
    x = torch.arange(-LOGIT_RANGE << LOGIT_BITS, (LOGIT_RANGE << LOGIT_BITS) + 1, dtype=torch.float64)
    p = torch.sigmoid(x / (1 << LOGIT_BITS))
    return (p * (1 << PROBABILITY_BITS)).round().clamp(1, (1 << PROBABILITY_BITS) - 1).to(torch.int32)


def rotation_table(positions: int, head_dim: int) -> Tensor:
    """int32 [2, positions, head_dim/4]: cos and sin of the rotary angles, in units of 2^-14."""
    return (torch.stack(angle_tables(positions, head_dim)) * (1 << ROTATION_BITS)).round().to(torch.int32)
