"""An order of a codebook's entries in which an index is a path: each of its bits halves what is left."""

from __future__ import annotations

import torch
from torch import Tensor


def bisected(codebook_ec: Tensor) -> Tensor:
    """Order [E] of the entries: halved at the median along their leading principal axis, and so on in both halves."""
    order = torch.arange(len(codebook_ec))
    todo = [order]
    while todo:
        part = todo.pop()
        if len(part) < 2:
            continue
        x = codebook_ec[part].double()
        x = x - x.mean(0)
        axis = torch.linalg.eigh(x.T @ x).eigenvectors[:, -1]
        # Slices of `order`, so that sorting one sorts the whole.
        part.copy_(part[(x @ axis).argsort(stable=True)])
        half = (len(part) + 1) // 2
        todo += [part[:half], part[half:]]
    return order


def reordered(codebooks_sec: Tensor) -> Tensor:
    """Codebooks [stages, E, C], each with its entries in the order of `bisected`."""
    return torch.stack([codebook[bisected(codebook)] for codebook in codebooks_sec])
