"""Adapters: what one picture changes in the lossless prior, as small integers that travel in its file (HPAC's SARP-FT).

Every linear layer gets W + 2^-8 B A of low rank (LoRA) and b + 2^-5 d, the taps of every gated block c + 2^-5 t.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from arpc_codec.entropy.integers import decode_integers, encode_integers
from arpc_codec.exact.grid import BIAS_BITS, WEIGHT_BITS, State, Values, powers
from arpc_codec.prior.features import PixelConfig

RANK = 2
# Units as powers of two: coarse ones, as the bytes of a fine adapter cost more than it gains (dev/LOG.md).
FACTOR_BITS = 4
SHIFT_BITS = 5

# int8 changes in coding order: NAME.a [r, in], NAME.b [out, r], NAME.bias [out] of each layer, then blocks.I.taps.
Adapter: TypeAlias = dict[str, npt.NDArray[np.int8]]


def layers(config: PixelConfig) -> list[str]:
    """Names of the linear layers in the order of an adapter."""
    blocks = [f"blocks.{i}.{part}" for i in range(config.depth) for part in ("a", "v", "proj", "up", "down")]
    heads = [f"{part}.{place}" for part in ("inner", "outer") for place in range(config.channels)]
    return ["embed", *blocks, *heads]


def shapes(config: PixelConfig, state: State) -> dict[str, tuple[int, ...]]:
    """Parts of an adapter for an integer state in coding order, with their shapes."""
    result: dict[str, tuple[int, ...]] = {}
    for name in layers(config):
        outputs, inputs = state[f"{name}.weight"].shape
        result |= {f"{name}.a": (RANK, inputs), f"{name}.b": (outputs, RANK), f"{name}.bias": (outputs,)}
    return result | {f"blocks.{i}.taps": tuple(state[f"blocks.{i}.taps"].shape) for i in range(config.depth)}


def unit_bits(part: str) -> int:
    """The integers of a part are in units of 2 to minus this."""
    return SHIFT_BITS if part.endswith((".bias", ".taps")) else FACTOR_BITS


def write_adapter(adapter: Adapter) -> bytes:
    """Bytes of an adapter."""
    return encode_integers([part.ravel() for part in adapter.values()])


def read_adapter(data: bytes, config: PixelConfig, state: State) -> Adapter:
    """Adapter for an integer state. Raises FormatError when the bytes are none."""
    parts = shapes(config, state)
    values = decode_integers(data, [math.prod(shape) for shape in parts.values()])
    return {part: v.reshape(shape) for v, (part, shape) in zip(values, parts.items(), strict=True)}


def adapted(state: State, adapter: Adapter) -> State:
    """Integer state with the changes of an adapter: sums and products of small integers, the same everywhere."""
    result: dict[str, npt.NDArray[Any]] = dict(state)
    for name in (part.removesuffix(".b") for part in adapter if part.endswith(".b")):
        exponent = state[f"{name}.exponent"].astype(np.int32)
        # Below 2^8 ranks of 2^14, times a power of two: exact in float64.
        change: Values = adapter[f"{name}.b"].astype(np.float64) @ adapter[f"{name}.a"].astype(np.float64)
        matrix = state[f"{name}.weight"] + change * powers(exponent - 2 * FACTOR_BITS)[:, None]
        result[f"{name}.weight"], result[f"{name}.exponent"] = _narrowed(matrix, exponent)
    for name in (part for part in adapter if part.endswith((".bias", ".taps"))):
        shift = adapter[name] * 2.0 ** (BIAS_BITS - SHIFT_BITS)
        result[name] = (state[name] + shift).clip(-(2**30), 2**30).astype(np.int32)
    return result


def _narrowed(matrix: Values, exponent: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int8]]:
    """int16 matrix and int8 exponents: rows of [out, in] in units of 2^-exponent, halved until they fit."""
    limit = 2.0**WEIGHT_BITS - 1
    while (wide := np.rint(np.abs(matrix).max(1)) > limit).any():
        matrix, exponent = np.where(wide[:, None], matrix / 2, matrix), exponent - wide.astype(np.int32)
    return np.rint(matrix).astype(np.int16), exponent.astype(np.int8)
