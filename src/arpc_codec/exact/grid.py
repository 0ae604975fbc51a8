"""Grids, limits and sizes of tables of the exact arithmetic, and its layers in numpy, for the lossless prior.

Why the results are the same everywhere is said in `fixed.py`, whose layers in torch these are the twins of: a lossless
file is coded without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from arpc_codec.errors import ModelError

Values: TypeAlias = npt.NDArray[np.floating[Any]]
# Integers of a model by name, as shipped.
State: TypeAlias = Mapping[str, npt.NDArray[Any]]

ACTIVATION_BITS = 12
ACTIVATION_LIMIT = 128.0
WEIGHT_BITS = 15
MAX_EXPONENT = 20
BIAS_BITS = 20
MAX_INPUTS = 1 << 19

GELU_BITS = 9  # grid of the argument
GELU_RANGE = 8
EXP_BITS = 7
EXP_RANGE = 16
LOGIT_BITS = 6
LOGIT_RANGE = 12
ROTATION_BITS = 14


def snap(x: Values, bits: int = ACTIVATION_BITS, limit: float = ACTIVATION_LIMIT) -> Values:
    """Nearest multiple of 2^-bits (half to even), held inside +-limit. Same shape, float64."""
    return _held(x * 2.0**bits, limit * 2.0**bits, bits)


def to_activation(units: Values) -> Values:
    """`snap` of values in units of the activation grid, which are overwritten."""
    return _held(units, ACTIVATION_LIMIT * 2.0**ACTIVATION_BITS, ACTIVATION_BITS)


def _held(units: Values, limit: float, bits: int) -> Values:
    np.rint(units, out=units)
    np.minimum(np.maximum(units, -limit, out=units), limit, out=units)
    return np.multiply(units, 2.0**-bits, out=units)


class Linear:
    """y = snap(W x + b) from integers. x: multiples of 2^-12 within +-128.

    A term is an integer of at most 2^19 * 2^15 = 2^34 in its unit, so sums of up to 2^19 terms stay within 2^53.
    bits: grid of what `units` gives. Raises ModelError for a wider layer.
    """

    def __init__(self, state: State, *names: str, bits: int = ACTIVATION_BITS) -> None:
        """Of several layers with the same input, one behind the other."""
        matrix, exponent, bias = (
            np.concatenate([state[f"{name}.{part}"] for name in names]) for part in ("weight", "exponent", "bias")
        )
        if matrix.shape[1] > MAX_INPUTS:
            raise ModelError(f"layer {names[0]} has {matrix.shape[1]} inputs; exact sums hold up to {MAX_INPUTS}")
        # In units of the grid, so that rounding needs no product before it.
        self.weight = np.ascontiguousarray((matrix * powers(bits - exponent.astype(np.int32))[:, None]).T)
        self.bias = bias * 2.0 ** (bits - BIAS_BITS)

    def units(self, x: Values) -> Values:
        """[n, in] -> [n, out] in units of the grid, not rounded."""
        out = x @ self.weight
        out += self.bias
        return out

    def __call__(self, x: Values) -> Values:
        """[n, in] -> [n, out] on the activation grid."""
        return to_activation(self.units(x))


def powers(exponent: npt.NDArray[np.integer[Any]]) -> Values:
    """2^exponent; from Python, as libraries' powers of two need not be exact."""
    return np.array([2.0**e for e in exponent.tolist()])


def layer_norm(x: Values, eps: float) -> Values:
    """(x - mean) / sqrt(variance + eps) over the last dimension, on the activation grid."""
    count = float(x.shape[-1])
    centred = snap(x - x.sum(-1, keepdims=True) / count)
    variance = (centred * centred).sum(-1, keepdims=True) / count
    return snap(centred / np.sqrt(variance + eps), limit=32.0)


def look_up(table: Values, x: Values, bits: int) -> Values:
    """table[round(x * 2^bits) + half of the table], clamped to its ends. Table: odd length, centre = 0."""
    half = float(len(table) // 2)
    index = np.rint(x * 2.0**bits)
    np.minimum(np.maximum(index, -half, out=index), half, out=index)
    return table.take((index + half).astype(np.intp))


class Silu:
    """silu of values rounded to multiples of 2^-9 within +-64, on the activation grid."""

    def __init__(self, table: npt.NDArray[np.integer[Any]]) -> None:
        """table: int32, see `silu_table`; its ends hold beyond it."""
        index = np.arange(-64 << GELU_BITS, (64 << GELU_BITS) + 1)
        below = table[(index + len(table) // 2).clip(0, len(table) - 1)] * 2.0**-ACTIVATION_BITS
        self.values, self.limit = below + index.clip(0) * 2.0**-GELU_BITS, float(64 << GELU_BITS)

    def __call__(self, units: Values) -> Values:
        """Of values in units of 2^-9, which are overwritten. Same shape."""
        np.rint(units, out=units)
        np.minimum(np.maximum(units, -self.limit, out=units), self.limit, out=units)
        units += self.limit
        return self.values.take(units.astype(np.int32))
