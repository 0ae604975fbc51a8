"""The order of the positions of a map: each once, neighbours before, the same tables in both forms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.prior.quincunx import NEAR, PLACES, gathered, grouped, lattice, merged, passes

SIDES = st.integers(1, 70)


@given(SIDES, SIDES)
@settings(max_examples=60)
def test_every_position_once_and_neighbours_before(rows: int, cols: int) -> None:
    coded = torch.zeros(rows * cols + 1, dtype=torch.bool)
    coded[-1] = True  # what is outside
    for step in passes(rows, cols):
        assert len(step.place) == len(step.positions)
        assert len(step.place.unique()) == 1
        assert 0 <= int(step.place[0]) < PLACES
        assert bool((step.positions.diff() > 0).all())
        assert not coded[step.positions].any()
        assert coded[step.neighbours].all()
        coded[step.positions] = True
    assert coded.all()


@given(SIDES, SIDES)
@settings(max_examples=20)
def test_passes_are_those_of_the_specification(rows: int, cols: int) -> None:
    first = max([1] + [2**n for n in range(4) if 2**n < max(rows, cols)])
    wanted = [[(r, c) for r in range(0, rows, first) for c in range(0, cols, first)]]
    d = first // 2
    while d:
        multiples = [(r, c) for r in range(0, rows, d) for c in range(0, cols, d)]
        wanted.append([(r, c) for r, c in multiples if r // d % 2 and c // d % 2])
        wanted.append([(r, c) for r, c in multiples if r // d % 2 != c // d % 2])
        d //= 2
    found = [[divmod(p, cols) for p in step.positions.tolist()] for step in passes(rows, cols)]
    assert found == [positions for positions in wanted if positions]


def test_few_passes() -> None:
    sizes = (1, 1), (2, 2), (8, 8), (16, 16), (32, 32), (270, 480)
    assert [len(passes(rows, cols)) for rows, cols in sizes] == [1, 1, 5, 7, 7, 7]


def test_neighbours_are_the_nearest() -> None:
    """In the middle of a map: the last two passes see twelve neighbours on all sides."""
    rows = cols = 33
    centres, edges = passes(rows, cols)[-2:]
    for step, distances in ((centres, [2] * 4 + [10] * 8), (edges, [1] * 4 + [5] * 8)):
        at = next(i for i, p in enumerate(step.positions.tolist()) if 15 < p // cols < 18 and 15 < p % cols < 18)
        own, near = int(step.positions[at]), step.neighbours[at]
        squares = (near // cols - own // cols) ** 2 + (near % cols - own % cols) ** 2
        assert sorted(squares.tolist()) == distances
        assert (near // cols - own // cols).sum() == (near % cols - own % cols).sum() == 0


@given(SIDES, SIDES)
@settings(max_examples=20)
def test_all_passes_in_raster_order(rows: int, cols: int) -> None:
    tables = lattice(rows, cols)
    assert tables.neighbours.shape == (rows * cols, NEAR)
    for step in passes(rows, cols):
        assert torch.equal(tables.neighbours[step.positions], step.neighbours)
        assert torch.equal(tables.around[step.positions], step.around)
        assert bool((tables.place[step.positions] == step.place).all())
    assert torch.equal(tables.around[:, 4], torch.arange(rows * cols))


def test_what_is_outside_is_zero() -> None:
    maps = torch.cat([torch.arange(1.0, 7.0)[:, None] * torch.tensor([1.0, 10.0]), torch.zeros(1, 2)])
    found = gathered(maps, lattice(2, 3).around)[0].view(3, 3, 2)
    assert found[..., 0].tolist() == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]
    assert torch.equal(found[..., 1], 10 * found[..., 0])


@pytest.mark.parametrize("most", [1, 20, 90, 10_000])
def test_groups_hold_all_passes_in_order(most: int) -> None:
    steps = passes(11, 17)
    groups = list(grouped(steps, most))
    assert all(a is b for a, b in zip((s for group in groups for s in group), steps, strict=True))
    for group in groups:
        together = merged(group)
        assert len(group) == 1 or len(together.positions) <= most
        assert torch.equal(together.neighbours, torch.cat([step.neighbours for step in group]))
