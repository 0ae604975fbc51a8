"""`python -m dev.bench.loss DIR`: ProGIC pictures after packet loss, with and without redundancy, as a table.

All ways of sending take the same bytes: those of all stages without redundancy. Fewer stages leave room for repeats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import track

from arpc_codec.bench.outcomes import Outcome, outcomes_text
from arpc_codec.bench.run import pictures
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import read as read_container
from arpc_codec.container import truncate, write
from arpc_codec.errors import FormatError
from arpc_codec.imageio import read
from arpc_codec.imageio.sheet import Cell, cell, contact_sheet
from arpc_codec.metrics.panel import METRICS, missing_metrics, panel
from arpc_codec.packets import join, sort_out, split

JUDGES = ("lpips_alex", "psnr")


@dataclass(frozen=True)
class Way:
    """A way of sending; `name` stands in the table."""

    name: str
    packets: list[bytes]

    @property
    def bytes(self) -> int:
        """Of all packets."""
        return sum(map(len, self.packets))


def ways(data: bytes, mtu: int, fewer: tuple[int, ...]) -> Iterator[Way]:
    """All stages without redundancy, interleaved and not, then fewer stages with repeats in no more bytes."""
    stages = read_container(data).header.scales
    whole = Way(f"{stages} stages, no redundancy", split(data, mtu))
    yield whole
    yield Way(f"{stages} stages, no redundancy, no interleave", split(data, mtu, interleave=False))
    for kept in fewer:
        shorter = truncate(data, scales=kept)
        room = whole.bytes / sum(map(len, split(shorter, mtu))) - 1
        yield Way(f"{kept} stages, redundancy {room:.2f}", split(shorter, mtu, redundancy=max(0.0, room)))


def survive(packets: list[bytes], loss: float, rng: np.random.Generator) -> list[bytes]:
    """Those of the packets that are not lost, each lost for itself."""
    return [packet for packet, draw in zip(packets, rng.random(len(packets)), strict=True) if draw >= loss]


@dataclass(frozen=True)
class Link:
    """Loses the same packets whenever it is asked for the same picture number, loss rate and trial."""

    codec: ProgicCodec
    seed: int

    def received(self, way: Way, loss: float, trial: int, number: int, like: np.ndarray) -> np.ndarray:
        """The picture that comes out of the link, grey when nothing of it does."""
        rng = np.random.default_rng((self.seed, number, trial, int(1e6 * loss)))
        try:
            data = join(sort_out(survive(way.packets, loss, rng))[0]).data
        except FormatError:
            return np.full_like(like, 128)
        return self.codec.decode(read_container(data)).pixels


class Tally:
    """Sums outcomes. Ways go by their number: a name has the share of redundancy, which differs between pictures."""

    def __init__(self, judges: Sequence[str]) -> None:
        self.judges = judges
        self.names: dict[int, str] = {}
        self.rows: dict[tuple[float, int], list[list[float]]] = {}

    def add(self, loss: float, index: int, way: Way, scores: Mapping[str, float | None]) -> None:
        """What one picture came out like; means of a score that a picture has not are no numbers."""
        self.names.setdefault(index, way.name)
        values = (math.nan if (value := scores[name]) is None else value for name in self.judges)
        self.rows.setdefault((loss, index), []).append([way.bytes, *values])

    def outcomes(self) -> list[Outcome]:
        """By loss, then way."""
        result = []
        for (loss, index), rows in sorted(self.rows.items()):
            size, *values = np.mean(rows, 0).tolist()
            result.append(Outcome(loss, self.names[index], size, dict(zip(self.judges, values, strict=True))))
        return result


def table(outcomes: Sequence[Outcome]) -> str:
    """Outcomes as Markdown."""
    judges = list(outcomes[0].values)
    lines = ["| loss | sent | bytes | " + " | ".join(judges) + " |", "|---:|---|---:|" + "---:|" * len(judges)]
    for one in outcomes:
        texts = (f"{value:.{METRICS[name].digits}f}" for name, value in one.values.items())
        lines.append(f"| {100 * one.loss:g} % | {one.way} | {one.bytes:.0f} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="progic", show_default=True)
@click.option("--mtu", default=360, show_default=True, help="Most bytes of a packet.")
@click.option("--loss", "losses", multiple=True, type=click.FloatRange(0, 1), default=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5))
@click.option("--fewer", multiple=True, type=click.IntRange(1), default=(4, 3), show_default=True, help="Stages sent.")
@click.option("--seed", default=0, show_default=True, help="Of the losses.")
@click.option("--trials", default=1, show_default=True, help="Losses drawn for each picture.")
@click.option("--limit", type=int, help="Only the first pictures.")
@click.option("--weights", type=click.Path(exists=True, path_type=Path), help="Metric weights ($ARPC_METRICS).")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="PNG: a row per picture.")
@click.option("--shown", default=0.2, show_default=True, help="Loss on the sheet.")
@click.option("--show", default=3, show_default=True, help="Pictures on the sheet: the first ones.")
@click.option("--rows", type=click.Path(dir_okay=False, path_type=Path), help="JSON lines, for `arpc bench --loss`.")
def main(
    folder: Path,
    model: str,
    mtu: int,
    losses: tuple[float, ...],
    fewer: tuple[int, ...],
    seed: int,
    trials: int,
    limit: int | None,
    weights: Path | None,
    sheet: Path | None,
    shown: float,
    show: int,
    rows: Path | None,
) -> None:
    """Print means over the pictures of DIR for every loss rate and way of sending.

    The sheet shows each picture, then every way at one loss rate.
    """
    codec = ProgicCodec.load(model)
    link = Link(codec, seed)
    tally = Tally([name for name in JUDGES if name not in missing_metrics(weights)])
    files = pictures(folder)[:limit]
    if not files or max(fewer, default=0) > codec.config.stages:
        raise click.UsageError(f"there are {len(files)} pictures, and {codec.config.stages} stages")
    cells: list[Cell] = []
    for number, path in enumerate(track(files, console=Console(stderr=True), description="losing packets")):
        pixels = read(path).pixels
        # Packets carry indices as they are: what a prior has coded cannot be taken apart.
        file = write(codec.packed(read_container(codec.encode(pixels).data)))
        sent = list(ways(file, mtu, fewer))
        for loss, (index, way), trial in product(losses, enumerate(sent), range(trials)):
            picture = link.received(way, loss, trial, number, pixels)
            tally.add(loss, index, way, panel(pixels, picture, names=tally.judges, weights=weights))
        if sheet is not None and number < show:
            cells.append(cell(pixels, path.stem, f"{pixels.nbytes} bytes of pixels"))
            for way in sent:
                line = f"{way.bytes} bytes, {100 * shown:g} % of {len(way.packets)} packets lost"
                cells.append(cell(link.received(way, shown, 0, number, pixels), way.name, line))
    if sheet is not None:
        contact_sheet(cells, len(cells) // min(show, len(files))).save(sheet)
    outcomes = tally.outcomes()
    if rows is not None:
        rows.write_text(outcomes_text(outcomes), "utf-8")
    click.echo(table(outcomes))


if __name__ == "__main__":
    main()
