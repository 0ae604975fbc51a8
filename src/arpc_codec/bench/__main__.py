"""`arpc bench DIR -o report/`: our codecs beside the others, as a page, a table and rows."""

from __future__ import annotations

import sys
from itertools import zip_longest
from pathlib import Path

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from arpc_codec.bench.compare import compare
from arpc_codec.bench.growth import read_rows
from arpc_codec.bench.loss import read_outcomes
from arpc_codec.bench.ours import CODECS, Ours
from arpc_codec.bench.peers import PEERS
from arpc_codec.bench.published import dataset_of
from arpc_codec.bench.report.figure import figure
from arpc_codec.bench.report.page import page
from arpc_codec.bench.report.pictures import exhibit, fitting
from arpc_codec.bench.run import Plan, Step, measure_folder, pictures
from arpc_codec.bench.steps import csv_text, jsonl
from arpc_codec.bench.table import Facts, markdown
from arpc_codec.errors import ArpcError
from arpc_codec.metrics.panel import METRICS, missing_metrics


def _numbers(text: str, kind: type[int] | type[float], option: str) -> tuple[float, ...]:
    try:
        return tuple(kind(part) for part in text.split(",") if part)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no list of numbers", param_hint=option) from error


def _names(text: str, known: tuple[str, ...], option: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part for part in text.split(",") if part))
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=option)
    return names


def _codecs(codec: str, models: tuple[str, ...], fill: str, ks: tuple[str, ...]) -> tuple[Ours, ...]:
    names = _names(codec, CODECS, "--codec") if codec != "none" else ()
    for option, values in (("--model", models), ("--ks", ks)):
        if len(values) not in (0, len(names)):
            raise click.UsageError(f"{option} stands once for each codec: {len(values)} for {len(names)} of them")
    counts = [tuple(int(k) for k in _numbers(text, int, "--ks")) for text in ks]
    each = zip_longest(names, models, counts)
    return tuple(Ours(name, model, fill, wanted or ()) for name, model, wanted in each)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="OUT",
    type=click.Path(file_okay=False, path_type=Path),
    help="Report folder.",
)
@click.option("--codec", default="arpc", show_default=True, help="Ours: arpc, progic, both as arpc,progic, or none.")
@click.option("--model", "models", multiple=True, help="Model of our codec (its own); once for each of several.")
@click.option("--fill", default="mean", show_default=True, help="How our decoder fills unsent scales.")
@click.option(
    "--ks", multiple=True, help="Scale or stage counts, such as 4,6,8 (all); once for each of several codecs."
)
@click.option("--bpp", default="0.02,0.05,0.1", show_default=True, help="Target rates for --codec none.")
@click.option("--peers", default=",".join(PEERS), show_default=True)
@click.option("--metrics", type=click.Path(path_type=Path), help="Folder of metric weights (ARPC_METRICS).")
@click.option("--trained-on", default="lpips_alex,lpips_squeeze", show_default=True, help="Marked in the table.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Kept results (OUT/cache).")
@click.option(
    "--floors/--no-floors",
    default=True,
    help="Let a peer use a size whose smallest file is larger than ours even if another size reaches ours.",
)
@click.option("--jobs", default=1, show_default=True, help="Pictures at a time.")
@click.option("--limit", type=int, help="Only the first pictures.")
@click.option(
    "--shown",
    type=click.IntRange(0),
    default=6,
    show_default=True,
    help="The first pictures are shown on the page, as many as fit.",
)
@click.option(
    "--scale",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows of bench.scale, to be drawn too.",
)
@click.option(
    "--loss",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows of bench.loss, to be drawn too.",
)
def main(
    folder: Path,
    out: Path,
    codec: str,
    models: tuple[str, ...],
    fill: str,
    ks: tuple[str, ...],
    bpp: str,
    peers: str,
    metrics: Path | None,
    trained_on: str,
    cache: Path | None,
    floors: bool,
    jobs: int,
    limit: int | None,
    shown: int,
    scale: Path | None,
    loss: Path | None,
) -> None:
    """Compare our codecs with others on the pictures of DIR.

    Writes report.html, figure.svg, table.md, steps.csv and steps.jsonl into OUT. Encoded files, values and what the
    page shows are kept in the cache, so that a run that was stopped goes on where it was.
    """
    console = Console(stderr=True)
    grown = read_rows(scale) if scale else []
    lost = read_outcomes(loss) if loss else []
    chosen = _names(peers, tuple(PEERS), "--peers")
    ours = _codecs(codec, models, fill, ks)
    marked = _names(trained_on, tuple(METRICS), "--trained-on") if ours else ()
    reasons = {name: PEERS[name].missing() for name in chosen}
    missing = {name: reason for name, reason in reasons.items() if reason} | missing_metrics(metrics)
    for name, reason in missing.items():
        console.print(f"missing: {name}: {reason}", style="yellow")
    plan = Plan(
        cache=cache or out / "cache",
        codecs=ours,
        peers=tuple(PEERS[name]() for name in chosen if name not in missing),
        targets=() if ours else _numbers(bpp, float, "--bpp"),
        weights=metrics,
        floors=floors,
    )
    paths = pictures(folder)[:limit]
    if not paths:
        raise click.UsageError(f"{folder} holds no pictures")
    steps: list[Step] = []
    bar = Progress(*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn(), console=console)
    with bar as progress:
        task = progress.add_task("pictures", total=len(paths))
        for measured in measure_folder(plan, paths, jobs):
            steps += measured
            progress.advance(task)
        steps.sort(key=lambda step: (step.picture, step.codec, step.k))
        exhibits = [
            exhibit(plan, path, [step for step in steps if step.picture == path.name])
            for path in progress.track(paths[:shown], description="page")
        ]
    fit = fitting(exhibits)
    if len(fit) < len(exhibits):
        console.print(f"the page shows the first {len(fit)} pictures: more do not fit", style="yellow")
    facts = Facts(
        deciding=plan.deciding(),
        floors=floors,
        trained_on=marked,
        missing=missing,
        versions={peer.name: peer.version() for peer in plan.peers},
    )
    comparisons = compare(steps)
    table = markdown(comparisons, len(paths), facts)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("steps.jsonl", jsonl(steps)),
        ("steps.csv", csv_text(steps)),
        ("table.md", table),
        ("figure.svg", figure(comparisons, marked, dataset_of(path.name for path in paths))),
        ("report.html", page(steps, fit, facts, grown, lost)),
    ):
        (out / name).write_text(text, "utf-8", newline="")
    click.echo(table, nl=False)


if __name__ == "__main__":
    try:
        main()
    except ArpcError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
