"""Arithmetic whose result is the same on every device, thread count and batch size, by construction.

Values are float64 numbers on a binary grid (multiples of 2^-b) and bounded, so that every product and every partial sum
of a matrix product is a float64 number too: nothing is rounded, and the order of summation cannot matter. Between the
products stand only +, -, *, /, sqrt and rounding, which IEEE 754 defines to the last bit, and table look-ups.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from arpc_codec.errors import ModelError
from arpc_codec.exact.grid import (
    ACTIVATION_BITS,
    ACTIVATION_LIMIT,
    BIAS_BITS,
    GELU_BITS,
    MAX_EXPONENT,
    MAX_INPUTS,
    WEIGHT_BITS,
)
from arpc_codec.prior.context import PHASES


def snap(x: Tensor, bits: int = ACTIVATION_BITS, limit: float = ACTIVATION_LIMIT) -> Tensor:
    """Nearest multiple of 2^-bits (half to even), held inside +-limit. Same shape, float64."""
    return (x * 2.0**bits).round_().clamp_(-limit * 2.0**bits, limit * 2.0**bits).mul_(2.0**-bits)


def to_activation(units: Tensor) -> Tensor:
    """`snap` of values in units of the activation grid, which are overwritten."""
    limit = ACTIVATION_LIMIT * 2.0**ACTIVATION_BITS
    return units.round_().clamp_(-limit, limit).mul_(2.0**-ACTIVATION_BITS)


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """[out, in] float -> int16 matrix and int8 exponent of each row: weight ~ matrix * 2^-exponent."""
    largest = weight.abs().amax(1).clamp_min(2.0**-MAX_EXPONENT)
    exponent = torch.floor(torch.log2((2.0**WEIGHT_BITS - 1) / largest)).clamp(-15, MAX_EXPONENT)
    matrix = (weight * torch.exp2(exponent)[:, None]).round().clamp(-(2**WEIGHT_BITS) + 1, 2**WEIGHT_BITS - 1)
    return matrix.to(torch.int16), exponent.to(torch.int8)


def quantize_bias(bias: Tensor) -> Tensor:
    """float -> int32 in units of 2^-20, within +-1024."""
    return (bias.double() * 2.0**BIAS_BITS).round().clamp(-(2**30), 2**30).to(torch.int32)


class ExactLinear:
    """y = snap(W x + b) from integers. x: multiples of 2^-12 within +-128.

    A term is an integer of at most 2^19 * 2^15 = 2^34 in its unit, so sums of up to 2^19 terms stay within 2^53.
    bits: grid of what `units` gives. Raises ModelError for a wider layer.
    """

    def __init__(self, state: dict[str, Tensor], name: str, device: torch.device, bits: int = ACTIVATION_BITS) -> None:
        matrix, exponent = state[f"{name}.weight"].to(device), state[f"{name}.exponent"].to(device)
        if matrix.shape[1] > MAX_INPUTS:
            raise ModelError(f"layer {name} has {matrix.shape[1]} inputs; exact sums hold up to {MAX_INPUTS}")
        # In units of the grid, so that rounding needs no product before it.
        units = torch.tensor([2.0 ** (bits - e) for e in exponent.tolist()], dtype=torch.float64)
        # [in, out] in memory: products are some 15 % faster than with [out, in].
        self.weight = (matrix.double() * units.to(device)[:, None]).T.contiguous()
        self.bias = state[f"{name}.bias"].to(device).double() * 2.0 ** (bits - BIAS_BITS)

    def units(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out] in units of the grid, not rounded."""
        return (x @ self.weight).add_(self.bias)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out] on the activation grid."""
        return to_activation(self.units(x))

    def output(self, x: Tensor, index: int) -> Tensor:
        """[..., in] -> [...]: one of the outputs."""
        return to_activation(x @ self.weight[:, index] + self.bias[index])


class ExactConv3x3(ExactLinear):
    """3x3 convolution with zero padding as one matrix product (a library's Winograd would not be exact)."""

    def __init__(self, state: dict[str, Tensor], name: str, device: torch.device) -> None:
        super().__init__(state, name, device)
        # [9 * in, out], tap by tap: a map's positions are copied as whole rows of channels.
        self.weight = self.weight.unflatten(0, (-1, 9)).transpose(0, 1).flatten(0, 1).contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """[1, in, h, w] -> [1, out, h, w] on the activation grid."""
        around = _around(x, torch.arange(x[0, 0].numel(), device=x.device))
        # In this order products are a third faster than the other way round.
        units = (self.weight.T @ around.T).add_(self.bias[:, None])
        return to_activation(units).unflatten(1, x.shape[-2:])[None]

    def of_phases(self, x: Tensor, phases: int) -> Tensor:
        """The same of a map that is 0 but at positions of the first `phases` phases: most products are left out."""
        height, width = x.shape[-2:]
        padded_hwc, taps = _padded(x), self.weight.unflatten(0, (9, -1))
        out = self.bias.expand(height, width, -1).clone()
        for row, col in PHASES:
            seen = [
                (down, across)
                for down in range(3)
                for across in range(3)
                if ((row + down + 1) % 2, (col + across + 1) % 2) in PHASES[:phases]
            ]
            here = out[row::2, col::2]
            if not seen or not here.numel():
                continue
            rows, cols = 2 * here.shape[0] - 1, 2 * here.shape[1] - 1
            around = [padded_hwc[row + d : row + d + rows : 2, col + a : col + a + cols : 2] for d, a in seen]
            weight = torch.cat([taps[3 * d + a] for d, a in seen])
            here += torch.cat(around, -1) @ weight
        return to_activation(out).permute(2, 0, 1)[None]

    def at(self, x: Tensor, positions: Tensor) -> Tensor:
        """[1, in, h, w], flat positions [n] -> [n, out] at these positions only."""
        return super().__call__(_around(x, positions))


def _padded(x: Tensor) -> Tensor:
    """[1, C, h, w] -> [h + 2, w + 2, C] with zeros around."""
    return F.pad(x[0].permute(1, 2, 0), (0, 0, 1, 1, 1, 1))


def _around(x: Tensor, positions: Tensor) -> Tensor:
    """[1, C, h, w], flat positions [n] -> [n, 9 * C]: the cells around each, row by row."""
    padded_hwc, width = _padded(x), x.shape[-1]
    pitch = width + 2
    first = positions.div(width, rounding_mode="floor") * pitch + positions % width
    taps = torch.tensor([pitch * down + across for down in range(3) for across in range(3)], device=x.device)
    cells = (first[:, None] + taps).flatten()
    return padded_hwc.flatten(0, 1).index_select(0, cells).view(len(positions), -1)


def layer_norm(x: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over the last dimension, on the activation grid."""
    # A tensor, not a number: a GPU divides by a number as a product with its rounded reciprocal.
    count = torch.full((), x.shape[-1], dtype=x.dtype, device=x.device)
    centred = snap(x - x.sum(-1, keepdim=True) / count)
    variance = (centred * centred).sum(-1, keepdim=True) / count
    return snap(centred / torch.sqrt(variance + eps), limit=32.0)


def unit_length(x: Tensor, bits: int) -> Tensor:
    """x / |x| over the last dimension, on the grid 2^-bits; a zero vector stays zero."""
    x = snap(x, bits=10)
    return snap(x / torch.sqrt((x * x).sum(-1, keepdim=True).clamp_min(2.0**-20)), bits=bits)


def look_up(table: Tensor, x: Tensor, bits: int) -> Tensor:
    """table[round(x * 2^bits) + half of the table], clamped to its ends. Table: odd length, centre = 0."""
    # Not an integer: torch would convert it anew for every product.
    half = float(table.numel() // 2)
    index = (x * 2.0**bits).round_().clamp_(-half, half).add_(half)
    return table.index_select(0, index.flatten().to(torch.int32)).view(x.shape)


class Silu:
    """silu of values rounded to multiples of 2^-9 within +-64, on the activation grid."""

    def __init__(self, table: Tensor) -> None:
        """table: int32, see `silu_table`; its ends hold beyond it."""
        index = torch.arange(-64 << GELU_BITS, (64 << GELU_BITS) + 1, device=table.device)
        below = table[(index + len(table) // 2).clamp(0, len(table) - 1)].double() * 2.0**-ACTIVATION_BITS
        self.values, self.limit = below + index.clamp_min(0).double() * 2.0**-GELU_BITS, float(64 << GELU_BITS)

    def __call__(self, units: Tensor) -> Tensor:
        """Of values in units of 2^-9, which are overwritten. Same shape."""
        index = units.round_().clamp_(-self.limit, self.limit).add_(self.limit).to(torch.int32)
        return self.values.index_select(0, index.flatten()).view(units.shape)
