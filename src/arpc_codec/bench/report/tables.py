"""Tables of a report: means or one picture, BD-rates, growth with the picture, lost packets, published numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from arpc_codec.bench.bdrate import Point, bd_rate
from arpc_codec.bench.compare import Comparison, Line, by_codec
from arpc_codec.bench.growth import Fit
from arpc_codec.bench.outcomes import Outcome
from arpc_codec.bench.published import QUANTITIES, published
from arpc_codec.bench.table import title_of, titled
from arpc_codec.metrics.panel import METRICS


def html_table(head: Sequence[str], rows: Sequence[str], caption: str) -> str:
    """A table that scrolls in a narrow window; `head` and `rows` are HTML."""
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{cells}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def comparison_table(
    comparisons: Sequence[Comparison], names: Sequence[str], trained_on: Sequence[str], caption: str
) -> str:
    """One row for each codec at each k; ours is bold where it beats every peer."""
    head = ["beside", "codec", "bytes", "bpp"]
    for name in names:
        way = METRICS[name].better
        head.append(f'{escape(titled(name, trained_on))} <span class="way">{way} is better</span>')

    def row(line: Line, comparison: Comparison) -> str:
        ours = line is comparison.ours
        cells = [f"{line.bytes:,.0f}", f"{line.bpp:.4f}"]
        for name in names:
            value = line.values.get(name)
            text = "–" if value is None else f"{value:.{METRICS[name].digits}f}"
            cells.append(f"<b>{text}</b>" if ours and comparison.better(name) else text)
        data = "".join(f"<td>{cell}</td>" for cell in cells)
        kind = ' class="ours"' if ours else ""
        title = escape(title_of(line.codec))
        return f'<tr{kind}><td>{escape(comparison.counted_label)}</td><th scope="row">{title}</th>{data}</tr>'

    return html_table(head, [row(line, c) for c in comparisons for line in c.lines], caption)


def bd_rate_table(comparisons: Sequence[Comparison], names: Sequence[str], trained_on: Sequence[str]) -> str:
    """Bytes of each of our codecs beside each peer's at equal quality, with the range of quality that both reach.

    A peer's curve is that of its files beside this very codec; clipped and infinite scores are left out, and what only
    some of the pictures have.
    "" without codecs of ours or without peers.
    """

    def curve(lines: Sequence[Line], name: str) -> list[Point]:
        values = [(line.bpp, line.values.get(name)) for line in lines]
        return [(bpp, v) for bpp, v in values if v is not None and METRICS[name].floor < v < math.inf]

    def cell(peer: Sequence[Line], ours: Sequence[Line], name: str) -> str:
        curves = [curve(lines, name) for lines in (peer, ours)]
        found = bd_rate(curves[0], curves[1], METRICS[name].higher_is_better)
        low, high = (f"{end:.{METRICS[name].digits}f}" for end in ((found.low, found.high) if found else (0, 0)))
        # An overlap that the digits cannot show would be a mean over nothing.
        if found is None or low == high:
            return '<td class="none">no overlap</td>'
        return f'<td>{found.percent:+.1f} %<span class="way">{low} to {high}</span></td>'

    rows = []
    for codec, own in by_codec(c for c in comparisons if c.whole).items():
        ours = [c.ours for c in own if c.ours]
        for peer in dict.fromkeys(line.codec for c in own for line in c.peers):
            lines = [line for c in own for line in c.peers if line.codec == peer]
            cells = "".join(cell(lines, ours, name) for name in names)
            rows.append(f'<tr><th scope="row">{escape(f"{codec} beside {title_of(peer)}")}</th>{cells}</tr>')
    if not rows:
        return ""
    head = ["codec", *(escape(titled(name, trained_on)) for name in names)]
    return html_table(head, rows, "Bytes that ours needs for the same quality, and the qualities that both reach")


def growth_table(fits: Sequence[Fit]) -> str:
    """Each codec's fixed cost, what its smallest and its largest picture need, and the fitted exponent."""

    def row(fit: Fit) -> str:
        quantity, small, large = fit.quantity, fit.rows[0], fit.rows[-1]
        costs = [(fit.fixed, "")] + [(quantity.value(at), at.size) for at in (small, large)]
        cells = [f'{amount(cost)}&nbsp;{quantity.unit}<span class="way">{size}</span>' for cost, size in costs]
        slope = "–" if fit.exponent is None else f"{fit.exponent:.2f}"
        cells += [f"<b>{slope}, worse than linear</b>" if fit.worse_than_linear else slope, f"{fit.sizes}"]
        data = "".join(f"<td>{cell}</td>" for cell in cells)
        return f'<tr><th scope="row">{escape(fit.codec)}</th><td class="text">{quantity.title}</td>{data}</tr>'

    head = ("codec", "what", "fixed", "smallest picture", "largest picture", "exponent", "sizes fitted")
    return html_table(head, [row(fit) for fit in fits], "Cost, and the power of the pixels that it grows with")


def loss_table(outcomes: Sequence[Outcome], name: str) -> str:
    """One metric: a row for each way of sending, a column for each loss rate."""
    losses = list(dict.fromkeys(one.loss for one in outcomes))
    rows = []
    for way in dict.fromkeys(one.way for one in outcomes):
        own = [one for one in outcomes if one.way == way]
        cells = [f"{own[0].bytes:,.0f}", *(f"{one.values[name]:.{METRICS[name].digits}f}" for one in own)]
        data = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(way)}</th>{data}</tr>')
    head = ("sent", "bytes", *(f"{100 * loss:g} % lost" for loss in losses))
    return html_table(head, rows, f"{METRICS[name].title} after loss")


def amount(value: float) -> str:
    """A number to about three digits, never with an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def published_table() -> str:
    """Everything that papers state, with where from."""
    rows = []
    for entry in published():
        for name, value in entry.values.items():
            what = QUANTITIES[name] + (f", against {entry.against}" if entry.against else "")
            cells = (entry.dataset, what, f"{value:g}", entry.source, entry.note)
            data = "".join(f'<td class="text">{escape(cell)}</td>' for cell in cells)
            rows.append(f'<tr><th scope="row">{escape(entry.codec)}</th>{data}</tr>')
    return html_table(("codec", "on", "what", "value", "source", "note"), rows, "Published numbers, none measured here")
