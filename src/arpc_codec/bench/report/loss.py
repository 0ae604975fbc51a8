"""Section of the report: what pictures are like after packets were lost, by way of sending."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count

from arpc_codec.bench.outcomes import Outcome
from arpc_codec.bench.report.curves import metric_chart
from arpc_codec.bench.report.plot import MARKS, OURS, Series, legend, linear_axis
from arpc_codec.bench.report.tables import loss_table
from arpc_codec.metrics.panel import METRICS


def loss_section(outcomes: Sequence[Outcome]) -> str:
    """HTML of what `dev.bench.loss` measured; "" without outcomes or without a metric."""
    judges = list(outcomes[0].values) if outcomes else []
    if not judges:
        return ""
    across = linear_axis([100 * one.loss for one in outcomes])
    figures = []
    for name in judges:
        metric = METRICS[name]
        series = _series(outcomes, name)
        if not any(one.points for one in series):
            continue
        svg = metric_chart(name, series, across, "% of packets lost")
        title = f"{metric.title} <span>{metric.better} is better</span>"
        figures.append(f"<figure><figcaption>{title}</figcaption>{svg}</figure>")
    return (
        '<section aria-labelledby="h-loss"><h2 id="h-loss">When packets are lost</h2>'
        "<p>ProGIC over a link that loses packets, each for itself. Every way of sending takes the same bytes; those "
        "that send fewer stages spend the rest on redundancy. What is missing is concealed, so no picture has holes."
        f'</p>{legend(_series(outcomes, judges[0]))}<div class="charts pairs">{"".join(figures)}</div>'
        f'<div class="numbers">{"".join(loss_table(outcomes, name) for name in judges)}</div></section>'
    )


def _series(outcomes: Sequence[Outcome], name: str) -> list[Series]:
    """One for each way of sending, those with redundancy as ours."""
    by_way: dict[str, list[Outcome]] = {}
    for one in outcomes:
        by_way.setdefault(one.way, []).append(one)
    numbers = {"ours": count(), "peer": count()}
    result = []
    for way, own in by_way.items():
        kind = "peer" if "no redundancy" in way else "ours"
        marks = OURS if kind == "ours" else MARKS
        placed = ((100 * one.loss, one.values[name]) for one in own if math.isfinite(one.values[name]))
        tips = ((loss, value, f"{way}: {value:.3g} at {loss:g} % lost") for loss, value in placed)
        result.append(Series(way, way, kind, tuple(tips), marks[next(numbers[kind]) % len(marks)]))
    return result
