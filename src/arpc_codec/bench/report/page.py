"""The report as one HTML page."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from arpc_codec.bench.compare import Comparison, by_codec, compare, measured_names
from arpc_codec.bench.growth import Row as Probed
from arpc_codec.bench.lossless import Row
from arpc_codec.bench.lossless_coders import Hpac
from arpc_codec.bench.outcomes import Outcome
from arpc_codec.bench.peers import PEERS
from arpc_codec.bench.published import dataset_of
from arpc_codec.bench.published import points as published_points
from arpc_codec.bench.report.curves import all_series, chart
from arpc_codec.bench.report.loss import loss_section
from arpc_codec.bench.report.lossless import lossless_section
from arpc_codec.bench.report.pictures import LARGEST, ORIGINAL, QUALITY, Exhibit, Gallery
from arpc_codec.bench.report.plot import legend
from arpc_codec.bench.report.scale import scale_section
from arpc_codec.bench.report.speed import speed_section
from arpc_codec.bench.report.tables import bd_rate_table, comparison_table, published_table
from arpc_codec.bench.report.words import Finding, findings, listed, lossless_findings, span, unjudged
from arpc_codec.bench.run import Measured, Step
from arpc_codec.bench.table import Facts, rule, title_of, titled, trained_on_note
from arpc_codec.bench.times import Timing
from arpc_codec.metrics.panel import METRICS

_STEPS = {"arpc": "scales", "progic": "stages"}


def page(
    steps: Sequence[Step],
    exhibits: Sequence[Exhibit],
    facts: Facts,
    times: Sequence[Timing] = (),
    lossless: Sequence[Row] = (),
    scale: Sequence[Probed] = (),
    loss: Sequence[Outcome] = (),
) -> str:
    """HTML of the whole report; `exhibits` are the pictures that the viewer shows.

    scale, loss: what `dev.bench.scale` and `dev.bench.loss` measured.
    """
    pictures = {step.picture for step in steps} | {row.picture for row in lossless}
    comparisons = compare(steps, times)
    peers = [peer for peer in PEERS if any(peer in step.peers for step in steps)]
    ours = list(by_codec(comparisons))
    exact = {row.title: row.codec for row in lossless}
    all_ours = [*ours, *([Hpac.name] if Hpac.name in exact.values() else [])]
    titles = [*(PEERS[peer].title for peer in peers), *(title for title in exact if exact[title] != Hpac.name)]
    rivals = listed(list(dict.fromkeys(title.split(" (")[0] for title in titles)))
    title = " beside ".join(part for part in (listed(all_ours), rivals) if part)
    rates = [f"{span(sorted(c.bpp for c in comparisons))} bits a pixel"] if comparisons else []
    lead = f"{listed([*rates, *(['lossless'] if lossless else [])])}, on the bytes of real files."
    codecs = [(ORIGINAL, "Original"), *((name, title_of(name)) for name in (*ours, *peers))]
    shown = exhibits if len(codecs) > 1 else []
    marked = trained_on_note(measured_names(comparisons), facts.trained_on)
    found = findings(comparisons, facts.trained_on) + lossless_findings(lossless)
    return Template(_read("page.html")).substitute(
        title=escape(title),
        kicker=f"Measured on {_count(pictures)}",
        lead=lead[0].upper() + lead[1:],
        style=_read("style.css"),
        script=_read("viewer.js"),
        findings=_findings(found, [unjudged(comparisons), marked], all_ours),
        quality=_quality(steps, comparisons, _viewer(shown, ours), facts, times),
        lossless=lossless_section(lossless, facts.machine),
        scale=scale_section(scale),
        loss=loss_section(loss),
        published=published_table(),
        footer=_footer(facts),
        exhibits=_json(_exhibits(shown, steps, codecs, ours)),
    )


def _quality(
    steps: Sequence[Step],
    comparisons: Sequence[Comparison],
    viewer: str,
    facts: Facts,
    times: Sequence[Timing],
) -> str:
    """What a report says of lossy files; "" without them."""
    if not steps:
        return ""
    pictures = sorted({step.picture for step in steps})
    names = measured_names(comparisons)
    dataset = dataset_of(pictures)
    series = {name: all_series(comparisons, name, dataset) for name in names}
    shapes = {(one.name, one.kind): one for lines in series.values() for one in lines}
    return Template(_read("quality.html")).substitute(
        viewer=viewer,
        legend=legend(sorted(shapes.values(), key=lambda one: one.kind != "ours")),
        charts="\n".join(
            _figure(name, svg, facts.trained_on) for name, lines in series.items() if (svg := chart(name, lines))
        ),
        sources=_sources(names, dataset),
        bdrate=_bd_rate(bd_rate_table(comparisons, names, facts.trained_on)),
        speed=speed_section(comparisons, sorted({timing.picture for timing in times}), facts.machine),
        rule=escape(rule(comparisons, facts)),
        means=comparison_table(comparisons, names, facts.trained_on, f"Means over {_count(pictures)}"),
        each="\n".join(_details(steps, name, names, facts) for name in pictures),
    )


def _count(pictures: Collection[str]) -> str:
    return f"{len(pictures)} picture{'s' * (len(pictures) != 1)}"


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _json(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _findings(found: Sequence[Finding], notes: Sequence[str], ours: Sequence[str]) -> str:
    parts = []
    if not found:
        reason = "No rate could be compared." if ours else "No codec of ours took part in this run."
        parts.append(f"<p>{reason}</p>")
    for one in found:
        columns = "".join(
            f'<div><p class="label">{escape(one.codec)} {verb}</p>'
            f"{''.join(f'<p>{escape(sentence)}</p>' for sentence in sentences)}</div>"
            for verb, sentences in zip(one.verbs, (one.wins, one.losses), strict=True)
        )
        remarks = f'<p class="remark">{escape(" ".join(one.remarks))}</p>' if one.remarks else ""
        parts.append(f'<div class="finding"><h3>{escape(one.rival)}</h3>{columns}{remarks}</div>')
    return "\n".join([*parts, *(f'<p class="note">{escape(note)}</p>' for note in notes if note)])


def _viewer(exhibits: Sequence[Exhibit], ours: Sequence[str]) -> str:
    if not exhibits:
        return ""
    viewer = Template(_read("viewer.html")).substitute(quality=QUALITY, largest=LARGEST)
    return viewer + (_read("progress.html") if ours else "")


def _figure(metric: str, svg: str, trained_on: Sequence[str]) -> str:
    better = METRICS[metric].better
    title = titled(metric, trained_on)
    return f"<figure><figcaption>{title} <span>{better} is better</span></figcaption>{svg}</figure>"


def _sources(metrics: Sequence[str], dataset: str) -> str:
    """Where hollow marks come from."""
    entries = [entry for metric in metrics for *_, entry in published_points(metric, dataset)]
    sources = dict.fromkeys(f"{entry.codec}: {entry.source}. {entry.note}." for entry in entries)
    if not sources:
        return ""
    return f'<p class="note">Hollow marks are stated for {dataset}, not measured here. {escape(" ".join(sources))}</p>'


def _bd_rate(table: str) -> str:
    if not table:
        return ""
    return (
        '<section aria-labelledby="h-bdrate"><h2 id="h-bdrate">The same quality, in how many bytes</h2>'
        "<p>BD-rate of the mean curves, by piecewise cubic interpolation and only over the qualities that both codecs "
        f"reach, which stand below each number. Below zero, ours needs fewer bytes.</p>{table}</section>"
    )


def _details(steps: Sequence[Step], picture: str, names: Sequence[str], facts: Facts) -> str:
    own = compare([step for step in steps if step.picture == picture])
    table = comparison_table(own, names, facts.trained_on, picture)
    return f"<details><summary>{escape(picture)}</summary>{table}</details>"


def _footer(facts: Facts) -> str:
    lines = [f"Missing here: {name}: {reason}" for name, reason in facts.missing.items()]
    lines += [f"{name}: {version}" for name, version in facts.versions.items()]
    return "\n".join(f"<p>{escape(line)}</p>" for line in lines)


def _label(step: Step) -> str:
    """What the files of a step hold, or should."""
    if not step.codec:
        return f"{step.k:g} bits a pixel"
    # Beside others of its codec it is called after its model, too.
    return f"{step.k:g} {_STEPS[step.codec.split()[0]]} of {step.codec}"


def _exhibits(
    exhibits: Sequence[Exhibit], steps: Sequence[Step], codecs: Sequence[tuple[str, str]], ours: Sequence[str]
) -> dict[str, Any]:
    """What the viewer's script reads; pictures stand once each in a list of their own."""
    gallery = Gallery()

    def file(exhibit: Exhibit, name: str, measured: Measured) -> dict[str, Any]:
        values = ((METRICS[name], value) for name, value in measured.values.items() if value is not None)
        note = ", ".join(f"{metric.title} {value:.{metric.digits}f}" for metric, value in values)
        return {"picture": gallery.place(exhibit.file(name, measured)), "bytes": measured.bytes, "note": note}

    def step_of(exhibit: Exhibit, step: Step, falling: Sequence[Step]) -> dict[str, Any]:
        # Our other codecs as peers: the last that is put in is the smallest file that is not smaller.
        measured = {other.codec: other.ours for other in falling if other.bytes >= step.bytes}
        measured |= {name: peer.main for name, peer in step.peers.items()}
        found = {name: file(exhibit, name, each) for name, each in measured.items() if each is not None}
        return {"codec": step.codec, "bytes": step.bytes, "label": _label(step), "files": found}

    rows = []
    for exhibit in exhibits:
        own = sorted((step for step in steps if step.picture == exhibit.picture), key=lambda step: step.bytes)
        rows.append(
            {
                "name": exhibit.picture,
                "width": exhibit.width,
                "height": exhibit.height,
                "pixels": own[0].pixels,
                "original": gallery.place(exhibit.original),
                "steps": [step_of(exhibit, step, own[::-1]) for step in own],
            }
        )
    titles = [{"id": name, "title": title} for name, title in codecs]
    return {"codecs": titles, "ours": list(ours), "exhibits": rows, "pictures": gallery.urls}
