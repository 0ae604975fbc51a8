"""Regraded pictures have the same size and kind, and chroma that was halved and enlarged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from arpc_codec.train.regrade import LUMA, regrade


def detail(x: np.ndarray) -> float:
    """Mean square of the second differences of red less luma along rows."""
    red = x[..., 0] - x.astype(np.float64) @ LUMA
    return float((np.diff(red, 2, axis=1) ** 2).mean())


@pytest.mark.parametrize("seed", range(6))
def test_regrade(seed: int, picture: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(seed)
    x = np.clip(picture(48, 64, seed) + rng.integers(-20, 21, (48, 64, 3)), 0, 255).astype(np.uint8)
    graded = regrade(x, np.random.default_rng(seed))
    assert graded.shape == x.shape
    assert graded.dtype == np.uint8
    assert detail(graded) < 0.6 * detail(x)
    # Another contrast and saturation, but the same picture.
    luma, other = (y.astype(np.float64) @ LUMA for y in (x, graded))
    assert np.corrcoef(luma.ravel(), other.ravel())[0, 1] > 0.9
    assert np.array_equal(graded, regrade(x, np.random.default_rng(seed)))
