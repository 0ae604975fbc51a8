"""Chances of the entries of a codebook as those of the turns of a path through a binary tree (hierarchical softmax).

The bits of an index, the highest first, lead from the root to a leaf. Every node has a vector of its own; its product
with what is known of a token is the logit of turning right. Each level of codebooks has a tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


def path_nodes(bits_xn: Tensor) -> Tensor:
    """Nodes [..., n] int64 that the bits [..., n] are decided at: the root is 0, depth j starts at 2^j - 1."""
    nodes = torch.zeros(bits_xn.shape, dtype=torch.int64, device=bits_xn.device)
    for depth in range(1, bits_xn.shape[-1]):
        nodes[..., depth] = 2 * nodes[..., depth - 1] + 1 + bits_xn[..., depth - 1].long()
    return nodes


def path_costs(chances_xn: Tensor) -> Tensor:
    """Bits [..., E] that each of E entries costs, from the chance of going right at every of E - 1 nodes."""
    right, wrong = -chances_xn.log2(), -(1 - chances_xn).log2()
    costs, first = chances_xn.new_zeros(*chances_xn.shape[:-1], 1), 0
    while first < chances_xn.shape[-1]:
        level = slice(first, 2 * first + 1)
        costs = torch.stack([costs + wrong[..., level], costs + right[..., level]], -1).flatten(-2)
        first = 2 * first + 1
    return costs


class Refinement(nn.Module):
    """What the sum so far [..., C] says of the token that refines it: [..., rank]; `after`: scales that follow."""

    def __init__(self, channels: int, rank: int, repeats: int, width: int = 256) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(channels, width), nn.Linear(width, rank)
        self.level = nn.Embedding(repeats, width)
        for parameter in (self.outer.weight, self.outer.bias, self.level.weight):
            nn.init.zeros_(parameter)

    def forward(self, z_xc: Tensor, after: int) -> Tensor:
        return self.outer((self.inner(z_xc) + self.level.weight[after]).relu())


class TreeHead(nn.Module):
    """Trees of the depths in `levels`, with node vectors of `rank` numbers."""

    def __init__(self, levels: tuple[int, ...], rank: int) -> None:
        super().__init__()
        self.levels = levels
        self.nodes = nn.ModuleList(nn.Linear(rank, 2**depth - 1) for depth in levels)

    @property
    def trees(self) -> Sequence[nn.Linear]:
        """Node vectors and biases of each level."""
        return cast("Sequence[nn.Linear]", self.nodes)

    def level(self, after: int) -> int:
        """Tree of a scale that `after` others follow; the last is that of all beyond."""
        return min(after, len(self.levels) - 1)

    def forward(self, asked_bhwr: Tensor, bits_bhwd: Tensor, after: int) -> Tensor:
        """Logits [B, h, w, d] of the turns along the paths of the bits; 0 for bits that the level does not have."""
        level = self.level(after)
        tree, depth = self.trees[level], self.levels[level]
        nodes = path_nodes(bits_bhwd[..., :depth])
        logits = (tree.weight[nodes] @ asked_bhwr[..., None]).squeeze(-1) + tree.bias[nodes]
        return nn.functional.pad(logits, (0, bits_bhwd.shape[-1] - depth))

    def every(self, asked_bhwr: Tensor, after: int) -> Tensor:
        """Logits [B, h, w, nodes] of all nodes."""
        return self.nodes[self.level(after)](asked_bhwr)
