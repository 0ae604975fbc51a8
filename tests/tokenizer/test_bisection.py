"""Codebooks in the order of a tree: a permutation, whose first bits name regions."""

from __future__ import annotations

import pytest
import torch

from arpc_codec.tokenizer.bisection import bisected, reordered


@pytest.mark.parametrize("entries", [1, 2, 7, 64])
def test_a_permutation_that_ordering_again_keeps(entries: int) -> None:
    torch.manual_seed(0)
    codebook = torch.randn(entries, 4)
    order = bisected(codebook)
    assert sorted(order.tolist()) == list(range(entries))
    once = codebook[order]
    halves = once[bisected(once)].split((entries + 1) // 2)
    # An axis has two directions, so halves may change places.
    assert {tuple(sorted(map(tuple, half.tolist()))) for half in halves} == {
        tuple(sorted(map(tuple, half.tolist()))) for half in once.split((entries + 1) // 2)
    }


def test_clusters_share_their_first_bits() -> None:
    torch.manual_seed(1)
    centres = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 4.0], [9.0, 4.0]])
    codebook = (centres.repeat(8, 1) + 0.1 * torch.randn(32, 2))[torch.randperm(32)]
    for cluster in reordered(torch.stack([codebook, codebook]))[1].split(8):
        assert float(cluster.std(0).max()) < 0.5


def test_equal_entries() -> None:
    assert sorted(bisected(torch.ones(8, 3)).tolist()) == list(range(8))
