"""Views of the reconstruction loss."""

from __future__ import annotations

import torch

from arpc_codec.train.losses import turn


def test_turns_show_all_eight_orientations_and_keep_the_pair_together() -> None:
    x = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(80):
        a, b = turn(x + 1, x, generator)
        assert torch.equal(a, b + 1)
        seen.add(tuple(b.flatten().tolist()))
    assert len(seen) == 8
    assert all(sorted(view) == x.flatten().tolist() for view in seen)
