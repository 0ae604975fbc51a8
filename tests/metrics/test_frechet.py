"""Frechet distance of features: the formula, and what it is blind to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arpc_codec.metrics import NotMeasurable
from arpc_codec.metrics.frechet import frechet


def features(seed: int, channels: int = 5, side: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(channels, channels, generator=generator)
    return torch.einsum("ij,jhw->ihw", mix, torch.randn(channels, side, side, generator=generator)) + seed


def test_it_is_the_distance_of_two_gaussians() -> None:
    a, b = features(1), features(2)
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(1), np.cov(x)) for x in (a.flatten(1).numpy(), b.flatten(1).numpy()))
    # The trace of a root is the sum of the roots of the eigenvalues.
    common = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real).sum()
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * common
    assert frechet(a, b) == pytest.approx(expected, rel=1e-4)
    assert frechet(b, a) == pytest.approx(frechet(a, b), rel=1e-6)


def test_places_do_not_matter_and_scatter_does() -> None:
    a = features(3)
    shuffled = a.flatten(1)[:, torch.randperm(144, generator=torch.Generator().manual_seed(0))].view_as(a)
    assert frechet(a, a) < 1e-5
    assert frechet(a, shuffled) < 1e-5
    centre = a.mean((1, 2), keepdim=True)
    smooth, smoother = (centre + part * (a - centre) for part in (0.8, 0.4))
    assert 0.01 < frechet(a, smooth) < frechet(a, smoother)


def test_more_channels_than_positions() -> None:
    a = torch.randn(100, 8, 8, generator=torch.Generator().manual_seed(5))
    assert frechet(a, a) < 1e-5
    assert frechet(a, a + 1) == pytest.approx(100, rel=1e-3)


def test_too_few_positions() -> None:
    with pytest.raises(NotMeasurable, match="64 positions"):
        frechet(features(1, side=7), features(2, side=7))
