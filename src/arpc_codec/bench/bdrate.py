"""BD-rate: how many bytes more or fewer one codec needs than another for the same quality, on average.

The logarithm of the rate is a piecewise cubic, monotone function of the quality (PCHIP, the slopes of Fritsch
and Butland), and the mean difference of two such curves is taken over the qualities that both reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float]
"""(rate, quality)"""


@dataclass(frozen=True)
class BdRate:
    """`percent`: extra rate, negative when fewer bytes are enough, averaged over the qualities `low` to `high`."""

    percent: float
    low: float
    high: float


def bd_rate(reference: Sequence[Point], tested: Sequence[Point], higher_is_better: bool = True) -> BdRate | None:
    """Rate of `tested` beside that of `reference`, both lists of (rate > 0, quality), in any order and unit.

    Points that are no better than a cheaper one of their codec are left out: nobody would send them.
    None when one curve has fewer than two points left or when the two share no range of quality.
    Raises ValueError for rates that are not positive and values that are not finite.
    """
    sign = 1.0 if higher_is_better else -1.0
    curves = [_Curve.through(points, sign) for points in (reference, tested)]
    if any(len(curve.quality) < 2 for curve in curves):
        return None
    low = max(curve.quality[0] for curve in curves)
    high = min(curve.quality[-1] for curve in curves)
    if low >= high:
        return None
    base, other = (curve.integral(low, high) for curve in curves)
    percent = 100 * float(np.expm1((other - base) / (high - low)))
    return BdRate(percent, *sorted((float(sign * low), float(sign * high))))


@dataclass(frozen=True)
class _Curve:
    """Log rate, and its slope, at growing qualities."""

    quality: Array
    log_rate: Array
    slope: Array

    @classmethod
    def through(cls, points: Sequence[Point], sign: float) -> _Curve:
        kept: list[Point] = []
        for rate, quality in sorted((rate, -sign * quality) for rate, quality in points):
            if not (np.isfinite(rate) and np.isfinite(quality) and rate > 0):
                raise ValueError(f"no point of a curve: rate {rate:g}, quality {-sign * quality:g}")
            if not kept or -quality > kept[-1][1]:
                kept.append((rate, -quality))
        x = np.array([quality for _, quality in kept])
        y = np.log([rate for rate, _ in kept])
        return cls(x, y, _slopes(x, y) if len(x) > 1 else np.zeros_like(x))

    def at(self, quality: Array) -> Array:
        """Log rate at qualities inside the curve's range."""
        i = np.clip(np.searchsorted(self.quality, quality, side="right") - 1, 0, len(self.quality) - 2)
        width = self.quality[i + 1] - self.quality[i]
        t = (quality - self.quality[i]) / width
        start = (1 + 2 * t) * (1 - t) ** 2 * self.log_rate[i] + t * (1 - t) ** 2 * width * self.slope[i]
        end = t**2 * (3 - 2 * t) * self.log_rate[i + 1] + t**2 * (t - 1) * width * self.slope[i + 1]
        return start + end

    def integral(self, low: float, high: float) -> float:
        """Of the log rate over the quality; Simpson's rule is exact for each cubic piece."""
        inside = self.quality[(self.quality > low) & (self.quality < high)]
        knots = np.concatenate(([low], inside, [high]))
        left, right = knots[:-1], knots[1:]
        return float(np.sum((right - left) / 6 * (self.at(left) + 4 * self.at((left + right) / 2) + self.at(right))))


def _slopes(x: Array, y: Array) -> Array:
    """Slopes at the knots that keep every piece monotone, for growing x and two knots or more."""
    width = np.diff(x)
    secant = np.diff(y) / width
    if len(secant) == 1:
        return np.repeat(secant, 2)
    before, after = width[:-1], width[1:]
    # y grows, so that no secant is negative; where one is 0 the mean is 0 too.
    weights = (2 * after + before, after + 2 * before)
    with np.errstate(divide="ignore"):
        inner = sum(weights) / (weights[0] / secant[:-1] + weights[1] / secant[1:])
    return np.concatenate(([_end(width[:2], secant[:2])], inner, [_end(width[:-3:-1], secant[:-3:-1])]))


def _end(width: Array, secant: Array) -> float:
    """Slope at an end by three points, not below 0: the outer piece is the first of the two."""
    slope = ((2 * width[0] + width[1]) * secant[0] - width[0] * secant[1]) / (width[0] + width[1])
    return max(0.0, float(slope))
