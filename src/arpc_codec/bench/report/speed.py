"""The part of a report about speed and memory."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from arpc_codec.bench.compare import Comparison, Line, counted
from arpc_codec.bench.report.curves import Point, measured_series
from arpc_codec.bench.report.plot import Series, legend, log_axis, plot
from arpc_codec.bench.report.tables import html_table
from arpc_codec.bench.report.words import SPOKEN
from arpc_codec.bench.table import title_of
from arpc_codec.bench.times import RUNS, WAYS, Cost

_HEAD = ("in process, s", "command, s", "its peak, MiB")


def _timed(comparisons: Sequence[Comparison]) -> int:
    """How many pictures were timed."""
    return max((line.speed.pictures for c in comparisons for line in c.lines if line.speed), default=0)


def speed_series(comparisons: Sequence[Comparison], way: str) -> list[Series]:
    """Seconds a megapixel over the rate, means over all timed pictures."""
    timed = _timed(comparisons)

    def point(line: Line) -> Point | None:
        seconds = line.speed.a_megapixel(way) if line.speed else None
        if line.speed is None or line.speed.pictures < timed or seconds is None:
            return None
        return line.speed.bpp, seconds, f"{seconds:.3g} s a megapixel at {line.speed.bpp:.4f} bpp"

    return measured_series(comparisons, point)


def speed_table(comparisons: Sequence[Comparison], caption: str) -> str:
    """Seconds and memory of each codec at each k that was timed."""

    def texts(cost: Cost) -> list[str]:
        seconds = "command" if cost.seconds is None else f"{cost.seconds:.3g}"
        if cost.command_seconds is None or cost.mib is None:
            return [seconds, "library", "–"]
        return [seconds, f"{cost.command_seconds:.3g}", f"{cost.mib:,.0f}"]

    rows, timed = [], _timed(comparisons)
    for comparison in comparisons:
        for line in comparison.lines:
            if line.speed is not None:
                cells = [f"{line.speed.bpp:.4f}", *(text for way in WAYS for text in texts(line.speed.costs[way]))]
                data = "".join(f"<td>{cell}</td>" for cell in cells)
                kind = ' class="ours"' if line is comparison.ours else ""
                title = f'<th scope="row">{escape(title_of(line.codec))}</th>'
                label = escape(counted(comparison.label, line.speed.pictures, timed))
                rows.append(f"<tr{kind}><td>{label}</td>{title}{data}</tr>")
    heads = (f'{way} <span class="way">{head}</span>' for way in WAYS for head in _HEAD)
    return html_table(("beside", "codec", "bpp", *heads), rows, caption)


def speed_section(comparisons: Sequence[Comparison], pictures: Sequence[str], machine: str) -> str:
    """Charts and a table; "" when nothing was timed."""
    if not pictures:
        return ""
    series = {way: speed_series(comparisons, way) for way in WAYS}
    shapes = {one.name: one for one in series[WAYS[0]]}
    figures = []
    for way in WAYS:
        label = f"Seconds to {way} a megapixel over bits a pixel, lower is better; the table holds the numbers"
        points = [point for one in series[way] for point in one.points]
        if not points:
            continue
        across, up = log_axis([point[0] for point in points]), log_axis([point[1] for point in points]).turned()
        svg = plot(series[way], across, up, "bits a pixel", label)
        title = f"{SPOKEN[way].capitalize()}, seconds a megapixel"
        figures.append(f"<figure><figcaption>{title} <span>lower is better</span></figcaption>{svg}</figure>")
    charts = "".join(figures)
    which = pictures[0] if len(pictures) == 1 else f"the first {len(pictures)} pictures"
    return (
        '<section aria-labelledby="h-speed"><h2 id="h-speed">Speed over rate</h2>'
        f"<p>Measured on {escape(which)}, with one thread for ours and for every peer that lets its threads be set, on "
        f"{escape(machine)}. In process: the median of {RUNS} calls in a process that has loaded the codec, with the "
        "resizing of peers. As a command: the whole process from its start, once, pixels through pipes. A codec that "
        "is only a command stands in the charts with that, and in the words at the top beside ours as a command. "
        "Up is faster.</p>"
        f"{legend(sorted(shapes.values(), key=lambda one: one.kind != 'ours'))}"
        f'<div class="charts pairs">{charts}</div>{speed_table(comparisons, f"Seconds and memory, {which}")}</section>'
    )
