"""Where each of our codecs wins and where it loses, in plain words made from the comparison."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from arpc_codec.bench.compare import Comparison, Line, beats, by_codec, seconds_of_both
from arpc_codec.bench.lossless import Row
from arpc_codec.bench.lossless_coders import Hpac
from arpc_codec.bench.peers import PEERS
from arpc_codec.bench.table import titled
from arpc_codec.bench.times import WAYS
from arpc_codec.metrics.panel import METRICS

Judge = Callable[[Comparison, str], bool | None]
NOTHING = "Nowhere."
SPOKEN = {"encode": "encoding", "decode": "decoding"}
# A peer whose files are larger than ours by more than this had none of our size.
_MUCH_LARGER = 1.25


@dataclass(frozen=True)
class Finding:
    """One codec of ours beside one peer, or beside all: sentences, never none for wins nor for losses."""

    codec: str
    rival: str
    wins: list[str]
    losses: list[str]
    remarks: list[str]
    verbs: tuple[str, str] = ("wins", "loses")


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def rate(bpp: float) -> str:
    """A rate to three digits."""
    return f"{bpp:.3g}"


def span(rates: Sequence[float]) -> str:
    """From the first rate to the last."""
    return " to ".join(dict.fromkeys((rate(rates[0]), rate(rates[-1]))))


def findings(comparisons: Sequence[Comparison], trained_on: Sequence[str] = ()) -> list[Finding]:
    """For each of our codecs: first beside all peers at once, then beside each.

    Only judged k that all pictures have count; equal values count as a loss. Metrics that our networks were trained on
    are marked. Empty when no codec of ours took part.
    """
    return [one for codec, own in by_codec(comparisons).items() for one in _of_codec(codec, own, trained_on)]


def _of_codec(codec: str, comparisons: Sequence[Comparison], trained_on: Sequence[str]) -> list[Finding]:
    judged = [c for c in comparisons if c.judged and c.whole]
    peers = list(dict.fromkeys(line.codec for c in judged for line in c.peers))
    found = []
    if len(peers) > 1:
        at_once = _finding(codec, "All of them at once", judged, Comparison.better, trained_on, [])
        found.append(replace(at_once, verbs=("beats all", "is behind at least one")))
    for peer in peers:

        def judge(comparison: Comparison, metric: str, peer: str = peer) -> bool | None:
            line = _line(comparison, peer)
            return beats(comparison.ours, line, metric) if comparison.ours and line else None

        found.append(_finding(codec, PEERS[peer].title, judged, judge, trained_on, _remarks(judged, peer)))
    return found


def lossless_findings(rows: Sequence[Row]) -> list[Finding]:
    """For each of our ways beside each lossless peer, on the pictures whose samples both formats have."""
    files: dict[str, dict[tuple[str, str], Row]] = defaultdict(dict)
    for row in rows:
        files[row.title][row.group, row.picture] = row
    ours = [title for title in files if any(row.codec == Hpac.name for row in files[title].values())]
    return [_lossless(files[own], files[rival]) for own in ours for rival in files if rival not in ours]


def _lossless(ours: dict[tuple[str, str], Row], theirs: dict[tuple[str, str], Row]) -> Finding:
    pairs = [(ours[place], theirs[place]) for place in ours if place in theirs]
    wins: list[str] = []
    losses: list[str] = []
    for group in dict.fromkeys(own.group for own, _ in pairs):
        sizes = [(own.bytes, its.bytes) for own, its in pairs if own.group == group]
        change = 100 * sum(own for own, _ in sizes) / sum(its for _, its in sizes) - 100
        sentences, word = (wins, "fewer") if change < 0 else (losses, "more")
        sentences.append(f"{group}: {abs(change):.1f} % {word} bytes.")
    for way in WAYS:
        seconds = [(getattr(own, way).seconds, getattr(its, way).seconds) for own, its in pairs]
        if pairs:
            times = sum(own for own, _ in seconds) / sum(its for _, its in seconds)
            (wins if times < 1 else losses).append(f"{SPOKEN[way].capitalize()} takes {times_as_long([times])}.")
    absent = len(ours) - len(pairs)
    remarks = [f"It cannot hold the samples of {absent} of {len(ours)} pictures."] if absent else []
    own, rival = (next(iter(files.values())).title for files in (ours, theirs))
    return Finding(own, rival, wins or [NOTHING], losses or [NOTHING], remarks)


def unjudged(comparisons: Sequence[Comparison]) -> str:
    """A sentence for each of our codecs about the rates at which nothing is claimed, if there are any."""
    sentences = []
    for codec, own in by_codec(comparisons).items():
        if rates := [c.bpp for c in own if c.whole and not c.judged]:
            sentences.append(
                f"At {span(rates)} bpp no peer here makes files as small as {codec}: nothing is claimed there."
            )
    return " ".join(sentences)


def _line(comparison: Comparison, peer: str) -> Line | None:
    return next((line for line in comparison.peers if line.codec == peer), None)


def _finding(
    codec: str, rival: str, judged: Sequence[Comparison], judge: Judge, trained_on: Sequence[str], remarks: list[str]
) -> Finding:
    wins: dict[str, list[str]] = defaultdict(list)
    losses: dict[str, list[str]] = defaultdict(list)
    titles = {name: titled(name, trained_on) for name in METRICS} | {way: f"speed of {SPOKEN[way]}" for way in WAYS}
    for name, title in titles.items():
        outcomes = [(c.bpp, outcome) for c in judged if (outcome := judge(c, name)) is not None]
        for sentences, wanted in ((wins, True), (losses, False)):
            if any(outcome is wanted for _, outcome in outcomes):
                sentences[_where([(bpp, outcome is wanted) for bpp, outcome in outcomes])].append(title)
    return Finding(codec, rival, _sentences(wins), _sentences(losses), remarks)


def _where(outcomes: Sequence[tuple[float, bool]]) -> str:
    """At which of the rates, which grow, it is so; true at one of them at least."""
    rates = [bpp for bpp, so in outcomes if so]
    count = len(rates)
    if count == len(outcomes):
        return "at every rate compared"
    if all(so for _, so in outcomes[:count]):
        return f"up to {rate(rates[-1])} bpp" if count > 1 else f"at {rate(rates[0])} bpp"
    if all(so for _, so in outcomes[-count:]):
        return f"from {rate(rates[0])} bpp on" if count > 1 else f"at {rate(rates[0])} bpp"
    return f"at {listed([rate(bpp) for bpp in rates])} bpp"


def _sentences(by_place: dict[str, list[str]]) -> list[str]:
    return [f"{place[0].upper()}{place[1:]}: {listed(titles)}." for place, titles in by_place.items()] or [NOTHING]


def times_as_long(ratios: Sequence[float]) -> str:
    """Our seconds beside those of a peer."""
    ends = dict.fromkeys(f"{end:.2g}" if end < 10 else f"{end:,.0f}" for end in (min(ratios), max(ratios)))
    return f"{' to '.join(ends)} times as long"


def _seconds(judged: Iterable[Comparison], peer: str) -> list[str]:
    """How much longer ours takes, or how much less."""
    sentences = []
    for way in WAYS:
        lines = [(c.ours, line) for c in judged if c.ours and (line := _line(c, peer))]
        pairs = [pair for ours, line in lines if (pair := seconds_of_both(ours, line, way))]
        if pairs:
            how = ", both as commands" if any(commands for *_, commands in pairs) else ""
            sentences.append(f"Our {SPOKEN[way]} takes {times_as_long([ours / its for ours, its, _ in pairs])}{how}.")
    return sentences


def _remarks(judged: Sequence[Comparison], peer: str) -> list[str]:
    """How much faster or slower, and what makes a comparison with one peer unequal."""
    remarks, larger, absent = [], [], []
    for comparison in judged:
        line = _line(comparison, peer)
        if line is None:
            absent.append(rate(comparison.bpp))
        elif line.bytes > _MUCH_LARGER * comparison.bytes:
            larger.append((line.bytes / comparison.bytes, comparison.bpp))
    if larger:
        times, bpp = max(larger)
        remarks.append(f"It has no files as small as ours: at {rate(bpp)} bpp its bytes are {times:.1f} times ours.")
    if absent:
        remarks.append(f"It has no files as large as ours at {listed(absent)} bpp.")
    return _seconds(judged, peer) + remarks
