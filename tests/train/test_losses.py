"""Views of the reconstruction loss."""

from __future__ import annotations

import pytest
import torch

from arpc_codec.train import losses
from arpc_codec.train.losses import colour_error, drawn, flat_errors, turn


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


def test_colour_error_is_that_of_large_patches_whatever_their_light() -> None:
    error = torch.zeros(1, 3, 32, 32)
    error[:] = 0.4
    assert colour_error(error, 8) < 1e-6
    error[:, 0, :16] += 0.3
    # Red is .2 above and the others .1 below the mean, in half of the picture.
    assert colour_error(error, 8).item() == pytest.approx((0.2 + 0.1 + 0.1) / 3 / 2, rel=1e-4)
    # What alternates within 8 pixels is no patch.
    fine = torch.zeros(1, 3, 32, 32)
    fine[:, 1, ::2] = 0.5
    fine[:, 1, 1::2] = -0.5
    assert colour_error(fine, 8) < 1e-6
    # Tints beside an edge are one of 2.
    edge = fine.repeat_interleave(2, -2)
    assert colour_error(edge, 8) < 1e-6
    assert colour_error(edge, 2).item() == pytest.approx(2 / 9, rel=1e-4)


def test_flat_errors_mind_smooth_surfaces_alone_marks_and_blotches_apart() -> None:
    size = 1, 3, 64, 64
    smooth = torch.linspace(-0.5, 0.5, 64).expand(size)
    rough = 0.5 * torch.randn(size, generator=torch.Generator().manual_seed(0))
    marks = torch.zeros(size)
    marks[..., ::2, :], marks[..., 1::2, :] = 0.1, -0.1
    blotches = torch.full(size, 0.1)
    blotches[..., :32] = -0.1
    for x, seen in ((smooth, pytest.approx(0.1, rel=0.1)), (rough, pytest.approx(0, abs=1e-3))):
        fine, slow = flat_errors(x + marks, x)
        assert (fine.item(), slow.item()) == (seen, pytest.approx(0, abs=1e-6))
        fine, slow = flat_errors(x + blotches, x)
        assert slow.item() == seen
        # The edge between them is seen a little.
        assert fine < 0.02


def test_networks_are_asked_as_often_as_they_share(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [drawn(chance) for chance in (0, 0.29, 0.3, 0.59, 0.6, 0.999)] == ["alex"] * 2 + ["squeeze"] * 2 + [
        "vgg"
    ] * 2
    monkeypatch.setattr(losses, "SHARES", {"alex": 0.1, "squeeze": 0.1, "vgg": 0.8})
    assert [drawn(chance) for chance in (0.05, 0.15, 0.25)] == ["alex", "squeeze", "vgg"]
