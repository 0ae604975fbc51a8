"""Rate-distortion curves: quality over the logarithm of the rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import cycle

from arpc_codec.bench.compare import Comparison, Line, by_codec
from arpc_codec.bench.published import points as published_points
from arpc_codec.bench.report.plot import CIRCLE, OURS, Axis, Series, linear_axis, log_axis, mark_of, plot
from arpc_codec.bench.table import title_of
from arpc_codec.metrics.panel import METRICS

Point = tuple[float, float, str]


def measured_series(comparisons: Sequence[Comparison], point: Callable[[Line], Point | None]) -> list[Series]:
    """The points (rate, value, what the tooltip says after the codec's name) that lines have.

    A peer has a curve beside each of our codecs: its files have other sizes there, and means of both on one line
    would say nothing about rates between them.
    """
    found: dict[tuple[str, str], dict[tuple[float, float], str]] = {}
    for comparison in comparisons:
        for line in comparison.lines:
            if (one := point(line)) is not None:
                bpp, value, tip = one
                # A peer's smallest file stands beside several of ours: one point.
                found.setdefault((comparison.codec, line.codec), {})[bpp, value] = f"{title_of(line.codec)}: {tip}"
    marks = dict(zip(by_codec(comparisons), cycle(OURS), strict=False))
    return [
        Series(
            name,
            title_of(name),
            "ours" if name in marks else "peer",
            tuple((*place, tip) for place, tip in sorted(points.items())),
            marks[name] if name in marks else mark_of(name),
        )
        for (_, name), points in found.items()
    ]


def all_series(comparisons: Sequence[Comparison], metric: str, dataset: str) -> list[Series]:
    """Means over all pictures by one metric, and the published points of `dataset` ("" for none).

    Infinite ones, of pictures that are exact, have no place on an axis.
    """
    digits = METRICS[metric].digits

    def point(line: Line) -> Point | None:
        value = line.values.get(metric)
        if value is None or not math.isfinite(value):
            return None
        return line.bpp, value, f"{value:.{digits}f} at {line.bpp:.4f} bpp"

    stated: dict[str, list[Point]] = {}
    for bpp, value, entry in published_points(metric, dataset):
        tip = f"{entry.codec}, published: {value:.{digits}f} at {bpp:.4f} bpp. {entry.source}. {entry.note}"
        stated.setdefault(entry.codec, []).append((bpp, value, tip))
    return measured_series([c for c in comparisons if c.whole], point) + [
        Series(codec, codec, "published", tuple(sorted(points)), CIRCLE) for codec, points in stated.items()
    ]


def chart(metric: str, series: Sequence[Series]) -> str:
    """SVG of one metric; "" when there is no point."""
    rates = [point[0] for one in series for point in one.points]
    return metric_chart(metric, series, log_axis(rates), "bits a pixel") if rates else ""


def metric_chart(metric: str, series: Sequence[Series], across: Axis, unit: str) -> str:
    """SVG of one metric over something in a `unit`, better always upwards; `series` have points."""
    up = linear_axis([point[1] for one in series for point in one.points])
    better = METRICS[metric].better
    label = f"{METRICS[metric].title} over {unit}, {better} is better; the tables hold the numbers"
    return plot(series, across, up if better == "higher" else up.turned(), unit, label)
