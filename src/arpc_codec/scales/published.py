"""Schedules of the published Infinity models: 15 aspect ratios, 4 sizes each, and which of them a picture gets.

A schedule is the first scales of the largest one of its ratio; positions of the prior always scale to that one's end.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from arpc_codec.scales.schedule import STRIDE, Schedule

# Rows and columns of the 13 scales of each ratio from square to tall; the wide ones are these turned over.
_TALL = (
    ((1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64), (1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64)),
    ((1, 2, 3, 5, 10, 15, 20, 25, 30, 35, 45, 55, 70), (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 36, 44, 56)),
    ((1, 2, 4, 8, 12, 16, 20, 24, 28, 36, 48, 60, 72), (1, 2, 3, 6, 9, 12, 15, 18, 21, 27, 36, 45, 54)),
    ((1, 2, 3, 6, 9, 15, 21, 27, 33, 39, 48, 63, 78), (1, 2, 2, 4, 6, 10, 14, 18, 22, 26, 32, 42, 52)),
    ((1, 2, 3, 7, 11, 14, 21, 28, 35, 42, 56, 70, 84), (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48)),
    ((1, 2, 4, 6, 10, 16, 22, 30, 38, 46, 60, 74, 90), (1, 2, 2, 3, 5, 8, 11, 15, 19, 23, 30, 37, 45)),
    ((1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 65, 80, 100), (1, 2, 2, 4, 6, 8, 10, 12, 16, 20, 26, 32, 40)),
    ((1, 2, 6, 9, 15, 21, 27, 36, 45, 54, 72, 90, 111), (1, 2, 2, 3, 5, 7, 9, 12, 15, 18, 24, 30, 37)),
)
# Ratios from widest to tallest.
_WHOLE: tuple[Schedule, ...] = tuple(
    [tuple(zip(cols, rows, strict=True)) for rows, cols in _TALL[:0:-1]]
    + [tuple(zip(rows, cols, strict=True)) for rows, cols in _TALL]
)
# Scales of the four sizes: about 0.06, 0.25, 0.6 and 1 megapixel.
_LENGTHS = (7, 10, 12, 13)


class Published(NamedTuple):
    """schedule: of the picture. grid: last scale of the ratio's largest schedule. size: (height, width) in pixels."""

    schedule: Schedule
    grid: tuple[int, int]
    size: tuple[int, int]


def published(height: int, width: int) -> Published:
    """Ratio nearest to height / width, then size nearest to height * width, both as logarithms; integers only.

    Between two neighbours lies their geometric mean, which itself belongs to the taller or larger one.
    """
    whole = _WHOLE[0]
    for taller in _WHOLE[1:]:
        (a, b), (c, d) = whole[-1], taller[-1]
        if height * height * b * d >= width * width * a * c:
            whole = taller
    cells = [whole[length - 1][0] * whole[length - 1][1] for length in _LENGTHS]
    chosen = sum((height * width) ** 2 >= STRIDE**4 * a * b for a, b in pairwise(cells))
    schedule = whole[: _LENGTHS[chosen]]
    return Published(schedule, whole[-1], (schedule[-1][0] * STRIDE, schedule[-1][1] * STRIDE))
