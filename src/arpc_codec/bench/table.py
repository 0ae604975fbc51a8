"""A comparison as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from arpc_codec.bench.compare import Comparison, Line, by_codec, measured_names
from arpc_codec.bench.lossless import Row
from arpc_codec.bench.lossless import table as lossless_table
from arpc_codec.bench.peers import PEERS
from arpc_codec.metrics.panel import METRICS

_SIZES = {1.0: "1", 0.5: "1/2", 0.25: "1/4"}


@dataclass(frozen=True)
class Facts:
    """What steps do not tell: how the run was set."""

    deciding: Sequence[str]
    floors: bool = True
    trained_on: Sequence[str] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""


def markdown(comparisons: Sequence[Comparison], pictures: int, facts: Facts, lossless: Sequence[Row] = ()) -> str:
    """The whole report: the table of judged k, those listed only, verdicts, lossless files, and what was missing.

    What has no peers stands with the judged.
    """
    names = measured_names(comparisons)
    judged = [c for c in comparisons if c.judged or c.ours is None or not c.peers]
    listed = [c for c in comparisons if c not in judged]
    parts = []
    if comparisons:
        parts.append(f"{pictures} pictures; means over pictures. {rule(comparisons, facts)}")
    if judged:
        parts.append(_table(judged, names, facts))
    if listed:
        parts.append("Listed, not judged (no peer has files this small; its smallest fitting ones are shown):")
        parts.append(_table(listed, names, facts))
    verdicts = [
        _verdict(codec, name, own)
        for codec, own in by_codec(c for c in comparisons if c.whole).items()
        for name in names
        if any(c.better(name) is not None for c in own)
    ]
    if verdicts:
        parts.append("\n".join(verdicts))
    if note := trained_on_note(names, facts.trained_on):
        parts.append(note)
    if lossless:
        parts.append(f"Lossless, every file decoded and compared, on {facts.machine}:")
        parts.append(lossless_table(lossless).rstrip("\n"))
    if facts.missing:
        parts.append("Missing here:\n" + "\n".join(f"- {name}: {reason}" for name, reason in facts.missing.items()))
    if facts.versions:
        parts.append("Versions:\n" + "\n".join(f"- {name}: {version}" for name, version in facts.versions.items()))
    return "\n\n".join(parts) + "\n"


def title_of(codec: str) -> str:
    """How a peer is called, or one of our codecs."""
    return PEERS[codec].title if codec in PEERS else codec


def titled(metric: str, trained_on: Sequence[str]) -> str:
    """How a metric is called, marked when our networks were trained on it."""
    return METRICS[metric].title + (" †" if metric in trained_on else "")


def trained_on_note(names: Sequence[str], trained_on: Sequence[str]) -> str:
    """What the mark of `titled` means; "" when none of the metrics `names` carries it."""
    if not set(names) & set(trained_on):
        return ""
    return "† marked by --trained-on: no evidence on its own for a network that was trained on it or on its features."


def rule(comparisons: Sequence[Comparison], facts: Facts) -> str:
    """How files are compared, in some sentences."""
    exceeding = "sizes whose smallest file exceeds ours take no part while another size reaches ours"
    limit = "" if facts.floors else f" ({exceeding})"
    columns = " and ".join(METRICS[name].title for name in facts.deciding)
    fewer = " Rows of fewer pictures say so, and are left out of curves, BD-rates and verdicts."
    return (
        "On each picture every peer takes its smallest file that is not smaller than ours, at full, half or "
        f"quarter size, whichever is best{limit}: its {columns} from the best size by that very metric, its "
        f"other columns from the best size by {METRICS[facts.deciding[0]].title}. Bold: ours is better than every peer."
        f"{'' if all(c.whole for c in comparisons) else fewer}"
    )


def _table(group: Sequence[Comparison], names: Sequence[str], facts: Facts) -> str:
    head = ["beside", "codec", "bytes", "bpp", "sizes"]
    for name in names:
        arrow = "↑" if METRICS[name].higher_is_better else "↓"
        head.append(f"{titled(name, facts.trained_on)} {arrow}")
    rows = [head, ["---", "---", *(["---:"] * (len(head) - 2))]]
    for comparison in group:
        for line in comparison.lines:
            ours = comparison if line is comparison.ours else None
            title = f"**{title_of(line.codec)}**" if ours else title_of(line.codec)
            rows.append([comparison.counted_label, title, *_cells(line, names, ours)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cells(line: Line, names: Sequence[str], ours: Comparison | None) -> list[str]:
    """Bytes, rate, sizes used and values; `ours` is given for our own line, whose wins are bold."""
    sizes = ", ".join(f"{_SIZES[scale]}: {count}" for scale, count in line.scales.items())
    cells = [f"{line.bytes:.0f}", f"{line.bpp:.4f}", "" if ours else sizes]
    for name in names:
        value = line.values.get(name)
        text = "-" if value is None else f"{value:.{METRICS[name].digits}f}"
        cells.append(f"**{text}**" if ours and ours.better(name) else text)
    return cells


def _verdict(codec: str, name: str, comparisons: Sequence[Comparison]) -> str:
    wins = [f"{c.k:g}" for c in comparisons if c.better(name)]
    losses = [f"{c.k:g}" for c in comparisons if c.better(name) is False]
    return (
        f"- {codec}, {METRICS[name].title}: better than every peer at k = {', '.join(wins) or 'none'}; "
        f"not at k = {', '.join(losses) or 'none'}."
    )
