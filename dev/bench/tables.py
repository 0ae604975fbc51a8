"""`python -m dev.bench.tables REPORT`: tables and figure of README and docs from the steps of `arpc bench`.

kodak.json holds the means that they show, so that a test can hold the pages to it, and a run of ours alone renews our
rows: what stood beside files of the same sizes still does.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from arpc_codec.bench.compare import Comparison, Line, by_codec, compare
from arpc_codec.bench.report.figure import figure
from arpc_codec.bench.run import Measured, PeerFiles, Step, badness
from arpc_codec.bench.table import Facts, markdown, title_of, titled
from arpc_codec.metrics.panel import METRICS

MEANS = Path(__file__).with_name("kodak.json")
FIGURE = "docs/images/kodak.svg"
FACTS = Facts(("lpips_alex", "lpips_squeeze"), floors=False, trained_on=("lpips_alex", "lpips_squeeze", "frechet"))
USUAL = "vvc"
"""The best of the others nearly everywhere, so that its name is left out."""
SHORT = ("lpips_alex", "lpips_squeeze", "niqe", "vmaf", "psnr")
LONG = ("lpips_alex", "lpips_squeeze", "ssimulacra2-py", "vmaf", "ms_ssim", "frechet", "niqe", "psnr")
SLACK = 2
"""Bytes."""
BLOCK = re.compile(r"(<!-- kodak: (\S+) (\S+) -->\n).*?(<!-- /kodak -->)", re.DOTALL)
"""Names of what is drawn and of a codec, around it."""


@dataclass(frozen=True)
class Kodak:
    """How many pictures the means are of, and the comparisons."""

    pictures: int
    comparisons: list[Comparison]


def read_steps(report: Path) -> list[Step]:
    """The steps of a report folder."""

    def measured(values: dict[str, Any] | None) -> Measured | None:
        return None if values is None else Measured(**values)

    def step(values: dict[str, Any]) -> Step:
        peers = {
            name: PeerFiles(files["smallest"], {by: Measured(**file) for by, file in files["best"].items()})
            for name, files in values["peers"].items()
        }
        return Step(**values | {"ours": measured(values["ours"]), "peers": peers})

    return [step(json.loads(line)) for line in (report / "steps.jsonl").read_text("utf-8").splitlines()]


def renewed(old: Iterable[Comparison], new: Iterable[Comparison]) -> list[Comparison]:
    """The new comparisons in place of the old ones; what has no peers keeps those of before.

    Raises click.ClickException where files have other sizes than those that the peers stood beside, by more than what
    another fingerprint does to the ends of streams.
    """
    known = {(c.codec, c.k): c for c in old}
    for one in new:
        before = known.get((one.codec, one.k))
        if not one.peers and before is not None and before.peers:
            if abs(one.bytes - before.bytes) > SLACK:
                raise click.ClickException(
                    f"{one.label}: {one.bytes:.0f} bytes, and peers beside {before.bytes:.0f}: bench them, too"
                )
            one = replace(one, peers=before.peers, judged=before.judged)
        known[one.codec, one.k] = one
    return [known[key] for key in sorted(known)]


def short(codec: str, kodak: Kodak) -> str:
    """README's table: ours / the best of the others, where all are judged."""
    return _table(codec, kodak, SHORT, f"`--{'stages' if codec == 'progic' else 'scales'}`", 3, named=False)


def long(codec: str, kodak: Kodak) -> str:
    """The table of results.md: more metrics, and who the best is."""
    return _table(codec, kodak, LONG, f"`{codec}` {'stages' if codec == 'progic' else 'k'}", 4, named=True)


def everything(_: str, kodak: Kodak) -> str:
    """What `arpc bench` writes as table.md, without what comes from no step."""
    parts = markdown(kodak.comparisons, kodak.pictures, FACTS).split("\n\n")
    return "\n\n".join(part if part[0] in "|-" else textwrap.fill(part, 120) for part in parts) + "\n"


DRAWN: dict[str, Callable[[str, Kodak], str]] = {"short": short, "long": long, "everything": everything}


def written(page: str, kodak: Kodak) -> str:
    """A page with its blocks drawn anew."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{DRAWN[found[2]](found[3], kodak)}\n{found[4]}", page)


def _table(codec: str, kodak: Kodak, names: Sequence[str], first: str, digits: int, *, named: bool) -> str:
    head = [first, "bytes", "bpp", *(titled(name, FACTS.trained_on).replace("-py", "") for name in names)]
    rows = [head, ["---:"] * 3 + ["---"] * len(names)]
    own = by_codec(kodak.comparisons)[codec]
    for comparison in own:
        if not named and comparison.peers and not comparison.judged:
            continue
        k = f"{comparison.k:g}" + (" (all)" if not named and comparison is own[-1] and codec == "arpc" else "")
        cells = [_cell(comparison, name, named) for name in names]
        rows.append([k, f"{comparison.bytes:,.0f}", f"{comparison.bpp:.{digits}f}", *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _cell(comparison: Comparison, name: str, named: bool) -> str:
    def text(line: Line | None) -> str:
        value = None if line is None else line.values.get(name)
        return "-" if value is None else f"{value:.{METRICS[name].digits}f}"

    ours = f"**{text(comparison.ours)}**" if comparison.better(name) else text(comparison.ours)
    if not comparison.judged:
        return ours
    best = min(comparison.peers, key=lambda line: badness(name, line.values.get(name)))
    who = f" {title_of(best.codec).split(' (')[0]}" if named and best.codec != USUAL else ""
    return f"{ours} / {text(best)}{who}"


def load(path: Path = MEANS) -> Kodak:
    """The means as they are kept."""

    def line(values: dict[str, Any]) -> Line:
        return Line(**values | {"scales": {float(scale): count for scale, count in values["scales"].items()}})

    def comparison(values: dict[str, Any]) -> Comparison:
        peers = tuple(map(line, values["peers"]))
        return Comparison(**values | count | {"ours": values["ours"] and line(values["ours"]), "peers": peers})

    kept = json.loads(path.read_text("utf-8"))
    # Every k has all of them.
    count = {"pictures": kept["pictures"], "run": kept["pictures"]}
    return Kodak(kept["pictures"], [comparison(values) for values in kept["comparisons"]])


def save(kodak: Kodak, path: Path = MEANS) -> None:
    """A line for each comparison, with the digits that pages show."""

    def line(of: Line) -> dict[str, Any]:
        values = {n: v if v is None else round(v, METRICS[n].digits) for n, v in of.values.items()}
        return asdict(replace(of, bytes=round(of.bytes, 1), bpp=round(of.bpp, 6), values=values, speed=None))

    rows = []
    for c in kodak.comparisons:
        values = asdict(c) | {"ours": c.ours and line(c.ours), "peers": [line(peer) for peer in c.peers]}
        del values["pictures"], values["run"]
        rows.append(json.dumps(values | {"bytes": round(c.bytes, 1), "bpp": round(c.bpp, 6)}))
    text = f'{{"pictures": {kodak.pictures}, "comparisons": [\n' + ",\n".join(rows) + "\n]}\n"
    path.write_text(text, "utf-8", newline="")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("reports", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="REPORT...")
def main(reports: tuple[Path, ...]) -> None:
    """Renew kodak.json from report folders, if any are given, and then README.md, docs/*.md and the figure.

    A report without peers renews our rows alone, beside whose files the others' stay, if these have the same sizes.
    """
    kodak = load()
    for report in reports:
        steps = read_steps(report)
        pictures = len({step.picture for step in steps})
        if pictures != kodak.pictures:
            raise click.ClickException(f"{report}: {pictures} pictures, not {kodak.pictures}")
        kodak = replace(kodak, comparisons=renewed(kodak.comparisons, compare(steps)))
    save(kodak)
    kodak = load()
    for page in (Path("README.md"), *sorted(Path("docs").glob("*.md"))):
        page.write_text(written(page.read_text("utf-8"), kodak), "utf-8", newline="")
    Path(FIGURE).write_text(figure(kodak.comparisons, FACTS.trained_on, "Kodak"), "utf-8", newline="")


if __name__ == "__main__":
    main()
