"""Bilinear and area resampling as matrices whose bilinear weights are integers over 2^12.

Torch's own interpolation is free to round differently on another device. Two small matrix products per picture with
integer weights are exact in float64 (and good enough in float32 for training), so encoder and decoder agree.
"""

from __future__ import annotations

from functools import lru_cache, partial

import torch
from torch import Tensor

WEIGHT_BITS = 12


@lru_cache(maxsize=512)
def bilinear_matrix(n_in: int, n_out: int, bits: int = WEIGHT_BITS) -> Tensor:
    """[n_out, n_in] float64 matrix of integers; each row sums to 2^bits. Half-pixel centres, edges clamped."""
    one = 1 << bits
    matrix = torch.zeros(n_out, n_in, dtype=torch.float64)
    for i in range(n_out):
        position = max(0, (2 * i + 1) * n_in - n_out)  # source coordinate times 2*n_out
        low, rest = divmod(position, 2 * n_out)
        low = min(low, n_in - 1)
        weight = (2 * rest * one + 2 * n_out) // (4 * n_out)
        matrix[i, low] += one - weight
        matrix[i, min(low + 1, n_in - 1)] += weight
    return matrix


@lru_cache(maxsize=512)
def area_matrix(n_in: int, n_out: int) -> Tensor:
    """[n_out, n_in] float64 averaging matrix; cell i covers floor(i*N/n) .. ceil((i+1)*N/n)-1, as adaptive pooling."""
    matrix = torch.zeros(n_out, n_in, dtype=torch.float64)
    for i in range(n_out):
        start, stop = i * n_in // n_out, -(-(i + 1) * n_in // n_out)
        matrix[i, start:stop] = 1.0 / (stop - start)
    return matrix


def bilinear(x_bchw: Tensor, size: tuple[int, int], bits: int = WEIGHT_BITS) -> Tensor:
    """Resize [B, C, h, w] to [B, C, *size] with weights that are multiples of 2^-bits, in x's dtype."""
    return _separable(x_bchw, partial(bilinear_matrix, bits=bits), size, 2.0**-bits)


def area(x_bchw: Tensor, size: tuple[int, int]) -> Tensor:
    """Adaptive average pooling of [B, C, h, w] to [B, C, *size]."""
    return _separable(x_bchw, area_matrix, size, 1.0)


def _separable(x: Tensor, matrix, size: tuple[int, int], unit: float) -> Tensor:
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    rows = (matrix(x.shape[-2], size[0]) * unit).to(x)
    cols = (matrix(x.shape[-1], size[1]) * unit).to(x)
    with torch.autocast(x.device.type, enabled=False):
        return rows @ x @ cols.T
