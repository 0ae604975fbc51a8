"""Files of each of our codecs beside the peers' at each k: means over pictures, and who is better.

The rule: on every picture, each peer takes at full, half and quarter size its smallest file that is not
smaller than ours, and of these the one with the best LPIPS. A k whose mean file is smaller than the
mean smallest file of every peer is listed, not judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace

from arpc_codec.bench.run import Measured, PeerFiles, Step
from arpc_codec.bench.times import WAYS, Cost, Timing
from arpc_codec.metrics.panel import METRICS

Values = dict[str, float | None]


@dataclass(frozen=True)
class Speed:
    """Means over the timed pictures of one codec at one k; `pixels` of one, `costs` by `WAYS`."""

    pictures: int
    bpp: float
    pixels: float
    costs: dict[str, Cost]

    def a_megapixel(self, way: str) -> float | None:
        """Seconds to encode or decode a million pixels, inside a process where that is possible."""
        least = self.costs[way].least
        return None if least is None else least * 1e6 / self.pixels


@dataclass(frozen=True)
class Line:
    """Means over pictures of one codec at one k. `scales`: how many pictures use which size.

    `speed` is None when no picture was timed.
    """

    codec: str
    pictures: int
    bytes: float
    bpp: float
    values: Values
    scales: dict[float, int]
    speed: Speed | None = None


@dataclass(frozen=True)
class Comparison:
    """One k of one codec of ours: its line and one for each peer that has files.

    At a target size `codec` is "", k is in bits a pixel and there is no line of ours. `pictures`: how many of the run's
    `run` pictures have this k.
    """

    codec: str
    k: float
    bytes: float
    bpp: float
    ours: Line | None
    peers: tuple[Line, ...]
    judged: bool
    pictures: int
    run: int

    @property
    def label(self) -> str:
        """What peers are compared with here: "arpc 7", or "0.05 bpp"."""
        return f"{self.codec} {self.k:g}" if self.codec else f"{self.k:g} bpp"

    @property
    def counted_label(self) -> str:
        """The label, and of how many pictures the means are where that is not the whole run."""
        return counted(self.label, self.pictures, self.run)

    @property
    def whole(self) -> bool:
        """Whether all pictures of the run take part: means over others say nothing beside those at another k."""
        return self.pictures == self.run

    @property
    def lines(self) -> tuple[Line, ...]:
        """Our line, where there is one, and the peers'."""
        return (self.ours, *self.peers) if self.ours else self.peers

    def better(self, name: str) -> bool | None:
        """Whether ours beats every peer, as `beats`; None when not judged or not measured."""
        if not self.judged or self.ours is None or not self.peers:
            return None
        outcomes = [beats(self.ours, line, name) for line in self.peers]
        return None if None in outcomes else all(outcomes)


def counted(label: str, pictures: int, run: int) -> str:
    """ "arpc 9 (3 of 10)", or the label alone when it is all of them."""
    return label if pictures == run else f"{label} ({pictures} of {run})"


def seconds_of_both(ours: Line, rival: Line, way: str) -> tuple[float, float, bool] | None:
    """Ours and the rival's to encode or decode: inside a process, or both as commands where one is that only (True).

    None when they were not timed.
    """
    if ours.speed is None or rival.speed is None:
        return None
    own, its = ours.speed.costs[way], rival.speed.costs[way]
    if own.seconds is not None and its.seconds is not None:
        return own.seconds, its.seconds, False
    if own.command_seconds is not None and its.command_seconds is not None:
        return own.command_seconds, its.command_seconds, True
    return None


def beats(ours: Line, rival: Line, name: str) -> bool | None:
    """Whether ours is better than the rival by a metric, or faster in one of `WAYS`; None when not measured."""
    if name in WAYS:
        seconds = seconds_of_both(ours, rival, name)
        return None if seconds is None else seconds[0] < seconds[1]
    own, its = ours.values.get(name), rival.values.get(name)
    if own is None or its is None:
        return None
    return own > its if METRICS[name].higher_is_better else own < its


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values; None when there are none or one is missing."""
    known = list(values)
    numbers = [value for value in known if value is not None]
    return sum(numbers) / len(numbers) if numbers and len(numbers) == len(known) else None


def _line(codec: str, files: Sequence[tuple[Step, Measured]], by_metric: dict[str, list[float | None]]) -> Line:
    """Means of one file for each step; `by_metric` replaces the values of some metrics."""
    scales: dict[float, int] = defaultdict(int)
    for _, file in files:
        scales[file.scale] += 1
    values: Values = {name: _mean(f.values.get(name) for _, f in files) for name in METRICS}
    values |= {name: _mean(own) for name, own in by_metric.items()}
    return Line(
        codec=codec,
        pictures=len(files),
        bytes=sum(file.bytes for _, file in files) / len(files),
        bpp=sum(8 * file.bytes / step.pixels for step, file in files) / len(files),
        values=values,
        scales=dict(sorted(scales.items(), reverse=True)),
    )


def _peer_line(peer: str, steps: Sequence[Step]) -> Line | None:
    """A peer's means; each deciding metric from the file that is best by that very metric.

    None when on some picture even the peer's largest file is smaller than ours.
    """
    found: list[tuple[Step, PeerFiles]] = [(step, step.peers[peer]) for step in steps]
    if not all(files.best for _, files in found):
        return None
    deciding = list(found[0][1].best)
    by_metric = {name: [files.best[name].values[name] for _, files in found] for name in deciding}
    return _line(peer, [(step, files.best[deciding[0]]) for step, files in found], by_metric)


def _speed(times: Sequence[Timing]) -> Speed:
    costs = {
        way: Cost(*(_mean(values) for values in zip(*(astuple(getattr(one, way)) for one in times), strict=True)))
        for way in WAYS
    }
    bpp = sum(8 * one.bytes / one.pixels for one in times) / len(times)
    return Speed(len(times), bpp, sum(one.pixels for one in times) / len(times), costs)


def compare(steps: Iterable[Step], times: Iterable[Timing] = ()) -> list[Comparison]:
    """One comparison for each codec of ours, by name, and each of its k, from the smallest to the largest."""
    timed: dict[tuple[str, float, str], list[Timing]] = defaultdict(list)
    for timing in times:
        timed[timing.ours, timing.k, timing.codec].append(timing)

    def with_speed(line: Line, place: tuple[str, float]) -> Line:
        own = timed.get((*place, line.codec))
        return replace(line, speed=_speed(own)) if own else line

    by_k: dict[tuple[str, float], list[Step]] = defaultdict(list)
    names = set()
    for step in steps:
        by_k[step.codec, step.k].append(step)
        names.add(step.picture)
    comparisons: list[Comparison] = []
    for (codec, k), group in sorted(by_k.items()):
        ours = [(step, step.ours) for step in group if step.ours is not None]
        peers = list(group[0].peers)
        size = sum(step.bytes for step in group) / len(group)
        smallest = [sum(step.peers[peer].smallest for step in group) / len(group) for peer in peers]
        lines = [_peer_line(peer, group) for peer in peers]
        comparisons.append(
            Comparison(
                codec=codec,
                k=k,
                bytes=size,
                bpp=sum(8 * step.bytes / step.pixels for step in group) / len(group),
                ours=with_speed(_line(codec, ours, {}), (codec, k)) if ours else None,
                peers=tuple(with_speed(line, (codec, k)) for line in lines if line is not None),
                judged=bool(smallest) and size >= min(smallest),
                pictures=len(group),
                run=len(names),
            )
        )
    return comparisons


def by_codec(comparisons: Iterable[Comparison]) -> dict[str, list[Comparison]]:
    """The comparisons of each codec of ours, without those of target sizes."""
    found: dict[str, list[Comparison]] = defaultdict(list)
    for comparison in comparisons:
        if comparison.codec:
            found[comparison.codec].append(comparison)
    return dict(found)


def measured_names(comparisons: Iterable[Comparison]) -> list[str]:
    """Metrics that some line has."""
    lines = [line for c in comparisons for line in c.lines]
    return [name for name in METRICS if any(line.values.get(name) is not None for line in lines)]
