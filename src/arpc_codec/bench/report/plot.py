"""Charts as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from arpc_codec.bench.peers import PEERS

WIDTH, HEIGHT = 360, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 14, 40

# Marks around the origin, so that codecs differ by more than a colour.
CIRCLE = "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0z"
OURS = (
    CIRCLE,
    "M0-5L1.3-1.8 4.8-1.5 2.1.7 2.9 4 0 2.2-2.9 4-2.1.7-4.8-1.5-1.3-1.8z",
    "M-4.4 0l4.4-4.4 4.4 4.4-4.4 4.4z",
)
MARKS = (
    "M-3-3h6v6h-6z",
    "M0-4.2l4 7h-8z",
    "M0-4.4l4.2 4.4-4.2 4.4-4.2-4.4z",
    "M0 4.2l4-7h-8z",
    "M-1.2-4h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8v-2.4h2.8z",
    "M-4.2-1.6h8.4v3.2h-8.4z",
    "M-3.6-2.2l1.4-1.4 2.2 2.2 2.2-2.2 1.4 1.4-2.2 2.2 2.2 2.2-1.4 1.4-2.2-2.2-2.2 2.2-1.4-1.4 2.2-2.2z",
)


@dataclass(frozen=True)
class Series:
    """One codec's points (x, y, tooltip) by growing x; `kind`: ours, peer or published."""

    name: str
    title: str
    kind: str
    points: tuple[tuple[float, float, str], ...]
    mark: str


def mark_of(peer: str) -> str:
    """Path of a peer's mark."""
    return MARKS[list(PEERS).index(peer) % len(MARKS)]


def ticks(low: float, high: float) -> list[float]:
    """About four round numbers from low to high, low < high."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from low to high; only the powers when these are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    wanted = [m * 10.0**p for p in powers for m in ((1, 2, 5) if len(powers) < 5 else (1,))]
    return [value for value in wanted if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]


@dataclass(frozen=True)
class Axis:
    """One direction of a chart: `low` lies left or at the bottom, and is the larger number where less is better."""

    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def place(self, value: float) -> float:
        """0 at low, 1 at high."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def turned(self) -> Axis:
        """The other way round."""
        return replace(self, low=self.high, high=self.low)


def log_axis(values: Sequence[float]) -> Axis:
    """A logarithmic axis that holds all values, which are above 0."""
    low, high = min(values) / 1.15, max(values) * 1.15
    marks = log_ticks(low, high)
    return Axis(low, high, marks if len(marks) > 1 else ticks(low, high), log=True)


def linear_axis(values: Sequence[float]) -> Axis:
    """An axis that holds all values."""
    spread = (max(values) - min(values)) or 1.0
    low, high = min(values) - 0.06 * spread, max(values) + 0.06 * spread
    return Axis(low, high, ticks(low, high))


def plot(series: Sequence[Series], across: Axis, up: Axis, unit: str, label: str) -> str:
    """SVG of some series, one at least; `unit` is that of x, `label` says what is drawn to those who cannot see it."""

    def x(value: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * across.place(value)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * up.place(value)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    for value in up.ticks:
        at = f"{y(value):.1f}"
        parts.append(f'<path class="grid" d="M{_LEFT} {at}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{at}" dy=".35em" text-anchor="end">{value:g}</text>')
    for value in across.ticks:
        at = f"{x(value):.1f}"
        parts.append(f'<path class="axis" d="M{at} {HEIGHT - _BOTTOM}v4"/>')
        parts.append(f'<text class="tick" x="{at}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}"/>')
    parts.append(f'<text class="tick" x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(unit)}</text>')
    # Ours last, so that it lies on top.
    for one in sorted(series, key=lambda s: s.kind == "ours"):
        if one.kind != "published" and one.points:
            path = "L".join(f"{x(position):.1f} {y(value):.1f}" for position, value, _ in one.points)
            parts.append(f'<path class="line {one.kind}" d="M{path}"/>')
        for position, value, tip in one.points:
            place = f"translate({x(position):.1f} {y(value):.1f})"
            parts.append(
                f'<path class="mark {one.kind}" d="{one.mark}" transform="{place}"><title>{escape(tip)}</title></path>'
            )
    return "".join([*parts, "</svg>"])


def legend(series: Sequence[Series]) -> str:
    """Marks and names, as a list."""
    items = []
    for one in series:
        mark = f'<svg viewBox="-7 -6 14 12" aria-hidden="true"><path class="mark {one.kind}" d="{one.mark}"/></svg>'
        title = escape(one.title) + (" (published, hollow)" if one.kind == "published" else "")
        items.append(f"<li>{mark}{title}</li>")
    return f'<ul class="legend">{"".join(items)}</ul>'
