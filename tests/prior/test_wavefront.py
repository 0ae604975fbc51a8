"""Skewed layout and adaptive prediction: causal, the same for every batch, and good."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.prior.adaptive import contexts, predict_tiles, solve
from arpc_codec.prior.wavefront import Carried, causal, rank, rows_of, skew, steps, unskew


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
@settings(max_examples=30)
def test_skew_is_undone_and_steps_are_causal(height: int, width: int, batch: int) -> None:
    x = np.arange(batch * height * width, dtype=np.float64).reshape(batch, height, width, 1)
    y = skew(x)
    assert y.shape == (steps(height, width), batch, height, 1)
    assert np.array_equal(unskew(y, width), x)
    # The step of each pixel; what it may see has been there in an earlier one.
    step = unskew(np.broadcast_to(np.arange(len(y))[:, None, None, None], y.shape), width)[0, ..., 0]
    for row, column in np.ndindex(height, width):
        for dr, dc in causal(3):
            if row + dr >= 0 and 0 <= column + dc < width:
                assert step[row + dr, column + dc] < step[row, column]


def test_offsets_are_coded_before() -> None:
    assert len(causal(3)) == 22
    assert all(rank(offset) < 0 for offset in causal(3))
    for channels in (1, 2, 3, 4):
        seen: list[int] = []
        for context in contexts(channels):
            for channel, offset in context.inputs:
                assert rank(offset) < 0 or (offset == (0, 0) and channel in seen)
            assert len(context.inputs) == len(context.start) == len(set(context.inputs))
            seen.append(context.channel)
        assert sorted(seen) == list(range(channels))


def test_solve() -> None:
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(50, 7, 9, generator=generator, dtype=torch.float64)
    matrix = root.mT @ root + torch.eye(9, dtype=torch.float64)
    b = torch.randn(50, 9, generator=generator, dtype=torch.float64)
    found = solve(torch.cat([matrix.permute(1, 2, 0), b.T[:, None]], 1).numpy())
    torch.testing.assert_close(torch.from_numpy(found.T), torch.linalg.solve(matrix, b))


def test_prediction_sees_only_the_past_and_not_the_batch(picture: Callable[..., np.ndarray]) -> None:
    x = np.stack([picture(20, 24, i) for i in (1, 2)]).astype(np.float64)
    mean = predict_tiles(x, 8)
    assert np.array_equal(predict_tiles(x[1:], 8), mean[1:])
    changed = x.copy()
    changed[0, 9, 11, 0] += 50  # red is coded after green, before blue
    other = predict_tiles(changed, 8)
    same = (other == mean)[0]
    for row in range(20):
        for column in range(24):
            if rank((row - 9, column - 11)) < 0:
                assert same[row, column].all()
    assert same[9, 11, 1]
    assert same[9, 11, 0]
    assert not same[9, 11, 2]
    assert not same[9, 12].all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_it_follows_a_linear_law(channels: int) -> None:
    """Waves obey a linear recursion that no fixed predictor knows: after a while the error vanishes."""
    rows, columns = np.mgrid[:32, :48]
    planes = [100 + 60 * np.sin(0.5 * rows + 0.9 * columns + c) + 20 * np.sin(0.2 * rows) for c in range(channels)]
    x = np.stack(planes, -1)[None]
    error = np.abs(predict_tiles(x, 8) - x)[0, 16:, 8:40]
    step = np.abs(x[:, :, 1:] - x[:, :, :-1])[0, 16:, 8:40]
    assert float(error.mean()) < 0.1 * float(step.mean())


def test_carried_sums_are_a_recursion_over_the_picture() -> None:
    height, width, fade = 5, 7, (0.5, 0.2, 0.25)
    x = np.random.default_rng(4).normal(size=(1, height, width, 1))
    own, found = skew(x), np.zeros((steps(height, width), 1, height, 1))
    carried = Carried(1, 1, height)
    for step in range(len(own)):
        rows = rows_of(step, height, width)
        sums = carried.faded(fade, rows)
        found[step, :, rows, 0] = sums[0]
        carried.put(sums + own[step, :, rows, 0])
    state = np.zeros((height + 1, width + 2))  # a row above, a column to either side
    for row in range(height):
        for column in range(width):
            west, north, north_east = state[row + 1, column], state[row, column + 1], state[row, column + 2]
            expected = fade[0] * west + fade[1] * north + fade[2] * north_east
            assert np.isclose(unskew(found, width)[0, row, column, 0], expected)
            state[row + 1, column + 1] = expected + x[0, row, column, 0]
