"""The curves as one SVG file that stands alone, for a README or a slide."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from arpc_codec.bench.compare import Comparison, measured_names
from arpc_codec.bench.report.curves import all_series, chart
from arpc_codec.bench.report.plot import HEIGHT, WIDTH, Series
from arpc_codec.bench.table import titled
from arpc_codec.metrics.panel import METRICS

COLUMNS = 3
_HEAD, _GAP, _LEGEND_ROW = 26, 24, 24
# Opaque, so that it reads on dark pages too.
_STYLE = """text{font:11px Helvetica,Arial,sans-serif;fill:#6b6862}.title{font-size:14px;fill:#191816}
.grid{stroke:#dedad2;fill:none}.axis{stroke:#191816;fill:none}.line{fill:none;stroke:#6b6862}
.line.ours{stroke:#c2401c;stroke-width:2.5}.line.ours~.line.ours{stroke-dasharray:7 4}
.mark{fill:#6b6862;stroke:#fbfaf7}.mark.ours{fill:#c2401c}.mark.published{fill:#fbfaf7;stroke:#191816;stroke-width:1.4}"""


def figure(comparisons: Sequence[Comparison], trained_on: Sequence[str], dataset: str) -> str:
    """SVG of a chart for each metric, and what the marks stand for. dataset: whose published points belong to it."""
    lines = {name: all_series(comparisons, name, dataset) for name in measured_names(comparisons)}
    charts = [(name, svg) for name, series in lines.items() if (svg := chart(name, series))]
    shapes = {(one.name, one.kind): one for series in lines.values() for one in series}
    rows = -(-len(charts) // COLUMNS)
    width, below = COLUMNS * (WIDTH + _GAP) + _GAP, rows * (HEIGHT + _HEAD + _GAP) + _GAP
    names, height = _legend(sorted(shapes.values(), key=lambda one: one.kind != "ours"), width, below)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fbfaf7"/>',
    ]
    for index, (name, svg) in enumerate(charts):
        row, column = divmod(index, COLUMNS)
        x, y = _GAP + column * (WIDTH + _GAP), _GAP + row * (HEIGHT + _HEAD + _GAP)
        better = METRICS[name].better
        parts.append(f'<text class="title" x="{x}" y="{y + 14}">{escape(titled(name, trained_on))}, {better} is better')
        parts.append(svg.replace("<svg ", f'</text><svg x="{x}" y="{y + _HEAD}" width="{WIDTH}" height="{HEIGHT}" ', 1))
    return "\n".join([*parts, *names, "</svg>\n"])


def _legend(series: Sequence[Series], width: int, top: int) -> tuple[list[str], int]:
    """Marks and names in rows, and where they end."""
    parts, x, y = [], _GAP, top
    for one in series:
        title = one.title + (" (published)" if one.kind == "published" else "")
        # About as wide as its letters: SVG has no flow.
        needed = 30 + 7 * len(title)
        if x + needed > width:
            x, y = _GAP, y + _LEGEND_ROW
        parts.append(f'<path class="mark {one.kind}" d="{one.mark}" transform="translate({x + 6} {y})"/>')
        parts.append(f'<text x="{x + 18}" y="{y}" dy=".35em">{escape(title)}</text>')
        x += needed
    return parts, y + _LEGEND_ROW
