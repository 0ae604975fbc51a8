"""The integer schedule rule and the resampling matrices."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from arpc_codec.scales import MAX_SCALES, active_channels, raw_bits, scale_schedule
from arpc_codec.scales.resample import area, bilinear, bilinear_matrix

SIDES = (1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64)


@pytest.mark.parametrize(("side", "count"), [(64, 13), (32, 10), (16, 7)])
def test_square_schedules_are_the_published_ones(side: int, count: int) -> None:
    assert scale_schedule(side, side) == tuple((s, s) for s in SIDES[:count])


@given(st.integers(1, 200), st.integers(1, 200))
def test_rule_holds_for_any_size(rows: int, cols: int) -> None:
    schedule = scale_schedule(rows, cols)
    assert 1 <= len(schedule) <= MAX_SCALES
    assert schedule[-1] == (rows, cols)
    areas = [h * w for h, w in schedule]
    assert areas == sorted(set(areas))
    assert all(1 <= h <= rows and 1 <= w <= cols for h, w in schedule)
    assert scale_schedule(cols, rows) == tuple((w, h) for h, w in schedule)


@given(st.integers(16, 64), st.integers(16, 64))
def test_aspect_ratio_is_kept_from_the_fourth_scale_on(rows: int, cols: int) -> None:
    if not 1 / 4 <= rows / cols <= 4:
        return
    for height, width in scale_schedule(rows, cols)[3:]:
        # Rounding moves a side by at most half a cell.
        assert abs(height - width * rows / cols) <= 0.5 + 0.5 * rows / cols + 1e-9


def test_groups_are_the_published_ones() -> None:
    assert active_channels(13, 16) == (8,) * 4 + (12,) * 5 + (16,) * 4
    assert active_channels(10, 16) == (8,) * 3 + (12,) * 4 + (16,) * 3
    assert all(max(active_channels(k, 16)) <= 16 for k in range(1, 16))


def test_raw_bits_of_the_published_schedule() -> None:
    bits = raw_bits(scale_schedule(64, 64), [slice(0, count) for count in active_channels(13, 16)])
    assert sum(bits) == 162120
    assert sum(bits[:10]) == 34120


def test_empty_latent_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one cell"):
        scale_schedule(0, 4)


@given(st.integers(1, 40), st.integers(1, 40))
def test_bilinear_rows_sum_to_one(n_in: int, n_out: int) -> None:
    matrix = bilinear_matrix(n_in, n_out)
    assert torch.equal(matrix.sum(1), torch.full((n_out,), 4096.0, dtype=torch.float64))
    assert torch.equal(matrix, matrix.round())


@pytest.mark.parametrize("size", [(32, 48), (5, 4), (7, 10), (1, 1)])
def test_resampling_agrees_with_torch(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 7, 10, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(bilinear(x, size), F.interpolate(x, size=size, mode="bilinear"), atol=2e-3)
    assert torch.allclose(area(x, size), F.adaptive_avg_pool2d(x, size), atol=1e-6)


def test_float64_sums_are_exact_in_any_order() -> None:
    generator = torch.Generator().manual_seed(1)
    codes = [(torch.randint(-1024, 1025, (1, 4, n, n), generator=generator) / 4096).double() for n in (1, 3, 6, 8)]
    forward = sum((bilinear(c, (8, 8)) for c in codes), torch.zeros(1, 4, 8, 8, dtype=torch.float64))
    backward = sum((bilinear(c, (8, 8)) for c in codes[::-1]), torch.zeros(1, 4, 8, 8, dtype=torch.float64))
    assert torch.equal(forward, backward)
