"""Which token maps a picture has: integer rules only, so that every machine agrees.

A schedule is a tuple of (rows, columns), coarse to fine, ending at the latent's own size.
Nominal schedules: the sides are those of the published 1024x1024 schedule (Infinity, VAR); other shapes keep the
area of the nominal square and the aspect ratio of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, log2

Schedule = tuple[tuple[int, int], ...]

# Pixels on each side of a cell of the latent.
STRIDE = 16
NOMINAL_SIDES = (1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80)
MAX_SCALES = len(NOMINAL_SIDES) + 1
# A scale with more than 7/8 of the final cells would repeat the final scale at almost its price.
_FULL_NUM, _FULL_DEN = 7, 8


def latent_size(height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of the latent of a picture."""
    return -(-height // STRIDE), -(-width // STRIDE)


def scale_schedule(rows: int, cols: int) -> Schedule:
    """Schedule of a latent of `rows` x `cols` cells: at most 15 scales, the last one is (rows, cols).

    A nominal side s becomes (round(s*sqrt(rows/cols)), round(s*sqrt(cols/rows))), at least 1, at most the latent.
    Raises ValueError for an empty latent.
    """
    if rows < 1 or cols < 1:
        raise ValueError(f"a latent needs at least one cell, got {rows}x{cols}")
    sizes: list[tuple[int, int]] = []
    for side in NOMINAL_SIDES:
        size = (_rounded_root(side * side * rows, cols, rows), _rounded_root(side * side * cols, rows, cols))
        if _FULL_DEN * size[0] * size[1] > _FULL_NUM * rows * cols:
            break
        if size not in sizes:
            sizes.append(size)
    return (*sizes, (rows, cols))


def halved_schedule(rows: int, cols: int, repeats: int) -> Schedule:
    """Schedule of a latent of `rows` x `cols` cells: its size `repeats` times, before them smaller ones.

    From one cell up to a quarter of the sides every size is half of the next one, rounded up. (Half of the sides would
    tell little that the first scale of the latent's own size does not tell better.) Raises ValueError for an empty
    latent.
    """
    if rows < 1 or cols < 1:
        raise ValueError(f"a latent needs at least one cell, got {rows}x{cols}")
    sizes, part = [(rows, cols)] * repeats, 4
    while sizes[0] != (1, 1):
        sizes.insert(0, (-(-rows // part), -(-cols // part)))
        part *= 2
    return tuple(sizes)


def scales_shown(total: int, side: int, shown: int) -> int:
    """How many of the `total` scales of a picture show when its longest side of `side` pixels is made `shown`.

    A picture of half the size has half of the error, which is that of one scale or, where a step is two scales, of two:
    so this never leaves out one that shows.
    """
    return max(1, total - round(log2(max(1, side / shown))))


def _rounded_root(num: int, den: int, limit: int) -> int:
    """round(sqrt(num/den)) held inside 1..limit, in integers."""
    return max(1, min(limit, (isqrt(4 * num // den) + 1) // 2))


def active_channels(total_scales: int, channels: int) -> tuple[int, ...]:
    """Channels that carry a bit in each scale: the group masks of GM-BMSRQ (ARPC, ICLR 2026).

    With pm_i = (i+1) // (K//3 + 1) + 2 quarters of the channels: 8/12/16 of 16 in groups 4/5/4 for K = 13.
    """
    step = total_scales // 3 + 1
    return tuple(channels * min(4, (i + 1) // step + 2) // 4 for i in range(total_scales))


def raw_bits(schedule: Schedule, coded: Sequence[slice]) -> list[int]:
    """Bits of each scale before entropy coding; coded: places of a token's bits."""
    return [h * w * (places.stop - places.start) for (h, w), places in zip(schedule, coded, strict=True)]
