"""Two-dimensional rotary positions: integers first, angles by table, so that an exact twin can swap it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from arpc_codec.scales import Schedule

Size = tuple[int, int]


def axis_positions(size: int, grid: int) -> list[int]:
    """Table position of each row (or column): i * grid / size rounded half to even, in integers only."""
    positions = []
    for i in range(size):
        quotient, remainder = divmod(i * grid, size)
        round_up = 2 * remainder > size or (2 * remainder == size and quotient % 2 == 1)
        positions.append(quotient + round_up)
    return positions


def token_positions(schedule: Schedule, grid: Size) -> tuple[list[int], list[int]]:
    """Row and column positions of all tokens, scales coarse to fine, row-major inside a scale."""
    rows: list[int] = []
    cols: list[int] = []
    for height, width in schedule:
        y, x = axis_positions(height, grid[0]), axis_positions(width, grid[1])
        rows += [position for position in y for _ in x]
        cols += x * height
    return rows, cols


def angle_tables(length: int, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """cos and sin [length, head_dim / 4] of position * base^(-4i / head_dim), in float64."""
    exponents = torch.arange(head_dim // 4, dtype=torch.float64) * (-4.0 / head_dim)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * torch.pow(base, exponents)
    return angles.cos(), angles.sin()


@lru_cache(maxsize=256)
def token_rotations(schedule: Schedule, grid: Size, head_dim: int) -> Tensor:
    """Float32 cos and sin [2, L, head_dim / 2] of all tokens: angles of the rows, then of the columns."""
    # Callers may be inside inference mode; a cached tensor must stay usable in later training.
    with torch.inference_mode(False):
        rows, cols = token_positions(schedule, grid)
        tables = torch.stack(angle_tables(max(rows + cols) + 1, head_dim))
        return torch.cat((tables[:, rows], tables[:, cols]), dim=-1).float()


def rotate(x_blxhe: Tensor, rotation_2lf: Tensor) -> Tensor:
    """Rotate adjacent channels of float32 heads [B, L, X, H, e] by the angles of each token [2, L, e / 2]."""
    cos, sin = rotation_2lf[:, :, None, None]
    pairs = torch.view_as_complex(x_blxhe.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.complex(cos, sin)).flatten(-2)
