"""Section of the report: what a picture costs, against its size and against the scales or stages that are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import isqrt

from arpc_codec.bench.growth import FITTED, QUANTITIES, Quantity, Row, by_parts, codecs_of, fits, newest, verdict, whole
from arpc_codec.bench.ours import version_of
from arpc_codec.bench.report.plot import OURS, Series, legend, log_axis, plot
from arpc_codec.bench.report.tables import amount, growth_table
from arpc_codec.loading import DEFAULT_MODELS

Across = Callable[[Row], float]
_MARKS = dict(zip(DEFAULT_MODELS, OURS, strict=True))
_NO_MARK = "M0 0"


def scale_section(rows: Sequence[Row]) -> str:
    """HTML of the rows of the version that was measured last; "" without rows."""
    if not rows:
        return ""
    shown = newest(rows)
    found = fits(shown)
    codecs = codecs_of(shown)
    wholes = {codec: whole(shown, codec) for codec in codecs}
    counted = {codec: own for codec in codecs if (own := by_parts(shown, codec))}
    side = isqrt(FITTED)
    last = {row.codec: row.version for row in shown}
    old = [codec for codec in codecs if last[codec] != version_of(DEFAULT_MODELS[codec])]
    parts = [
        '<section aria-labelledby="h-scale"><h2 id="h-scale">Cost and scale</h2>',
        f"<p>{escape(verdict(found))}</p>",
        "<p>Each encoding and each decoding ran in a process of its own, on one thread; times are those of the "
        f"processor. An exponent is the slope of a straight line through the logarithms from {side}x{side} on, without "
        "what a process pays once, which stands apart: seconds to start and load the model, and the memory it then "
        "has. The thin lines are linear growth.</p>",
        f'<p class="note">Measured with another version: {", ".join(old)}.</p>' if old else "",
        legend(_series(QUANTITIES[0], wholes, _megapixels)),
        "<h3>Against the size of the picture</h3>",
        _charts(wholes, _megapixels, "megapixels"),
    ]
    if counted:
        sizes = ", ".join(dict.fromkeys(row.size for own in counted.values() for row in own))
        parts += [
            f"<h3>Against the number of scales or stages, at {sizes}</h3>",
            _charts(counted, lambda row: row.parts, "scales or stages"),
        ]
    return "\n".join(part for part in (*parts, growth_table(found), "</section>") if part)


def _megapixels(row: Row) -> float:
    return row.pixels / 1e6


def _series(quantity: Quantity, by_codec: dict[str, list[Row]], across: Across) -> list[Series]:
    def point(row: Row) -> tuple[float, float, str]:
        value = quantity.value(row)
        return across(row), value, f"{row.codec}, {row.size}, {row.parts} sent: {amount(value)} {quantity.unit}"

    return [Series(codec, codec, "ours", tuple(map(point, rows)), _MARKS[codec]) for codec, rows in by_codec.items()]


def _linear(xs: Sequence[float], ys: Sequence[float]) -> Series:
    """Growth of power 1 from the lower left corner, as far as both axes reach."""
    grown = min(max(xs) / min(xs), max(ys) / min(ys))
    ends = (min(xs), min(ys), ""), (grown * min(xs), grown * min(ys), "")
    return Series("linear", "linear", "peer", ends, _NO_MARK)


def _charts(by_codec: dict[str, list[Row]], across: Across, unit: str) -> str:
    figures = []
    for quantity in QUANTITIES:
        series = _series(quantity, by_codec, across)
        points = [point for one in series for point in one.points]
        xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
        # Memory has a floor, and what scales cost is no straight line: nothing to compare with.
        guide = [_linear(xs, ys)] if across is _megapixels and not quantity.memory else []
        label = f"{quantity.title} over {unit}, both logarithmic; the table below holds numbers"
        svg = plot(series + guide, log_axis(xs), log_axis(ys), unit, label)
        title = f"{quantity.title} <span>{quantity.unit}, lower is better</span>"
        figures.append(f"<figure><figcaption>{title}</figcaption>{svg}</figure>")
    return f'<div class="charts pairs">{"".join(figures)}</div>'
