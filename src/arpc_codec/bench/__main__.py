"""`arpc bench DIR -o report/`: our codecs beside the others, as a page, a table and rows."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from itertools import zip_longest
from pathlib import Path

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from arpc_codec.bench.compare import compare
from arpc_codec.bench.growth import read_rows
from arpc_codec.bench.lossless import Row, lossless_csv, measure, present
from arpc_codec.bench.lossless_coders import LOSSLESS_PEERS, Hpac, LosslessCoder
from arpc_codec.bench.ours import CODECS, Ours
from arpc_codec.bench.outcomes import read_outcomes
from arpc_codec.bench.peers import PEERS
from arpc_codec.bench.published import dataset_of
from arpc_codec.bench.report.figure import figure
from arpc_codec.bench.report.page import page
from arpc_codec.bench.report.pictures import Exhibit, exhibit, fitting
from arpc_codec.bench.run import Plan, Step, measure_folder, pictures, read_rgb
from arpc_codec.bench.sheet import listed
from arpc_codec.bench.steps import jsonl, steps_csv
from arpc_codec.bench.table import Facts, markdown
from arpc_codec.bench.times import Timing, machine, time_file, times_csv
from arpc_codec.cli.log import complain
from arpc_codec.cli.options import Folder
from arpc_codec.errors import ArpcError, describe
from arpc_codec.files import make_folder
from arpc_codec.imageio import read_exact
from arpc_codec.metrics.panel import METRICS, missing_metrics, require_weights


def _numbers(text: str, kind: type[int] | type[float], option: str) -> tuple[float, ...]:
    try:
        found = tuple(kind(part) for part in text.split(",") if part)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no list of numbers", param_hint=option) from error
    if not all(0 < number < math.inf for number in found):
        raise click.BadParameter(f"{text!r} are not all above 0", param_hint=option)
    return found


def _ours(chosen: Sequence[tuple[str, str | None]], fill: str, ks: tuple[str, ...]) -> tuple[Ours, ...]:
    """Those of scales or stages, called after their models, too, where a codec has several."""
    lossy = [(codec, model) for codec, model in chosen if codec in CODECS]
    codecs = tuple(dict.fromkeys(codec for codec, _ in lossy))
    if len(ks) not in (0, len(codecs)):
        raise click.UsageError(f"--ks stands once for each codec of scales or stages: {len(ks)} for {len(codecs)}")
    counts = {codec: [int(k) for k in _numbers(text, int, "--ks")] for codec, text in zip(codecs, ks, strict=False)}
    several = len(lossy) > len(codecs)
    return tuple(
        Ours(codec, model, fill, counts.get(codec, ()), f"{codec} {model}" if several else "") for codec, model in lossy
    )


def _models(names: tuple[str, ...], models: tuple[str, ...]) -> list[tuple[str, str | None]]:
    """(codec, model) of each of ours; None is the codec's own model."""
    models = tuple(dict.fromkeys(models))
    if len(names) == 1 and names[0] in CODECS:
        names *= max(1, len(models))
    if len(models) not in (0, len(names)):
        raise click.UsageError(f"--model stands once for each codec: {len(models)} for {len(names)} of them")
    return list(zip_longest(names, models))


def _sizes(paths: list[Path], lossy: bool, lossless: bool) -> dict[Path, tuple[int, int]]:
    """Height and width of each picture that can be read in every way that is asked for; the others are named."""
    found = {}
    for path in paths:
        try:
            if lossless:
                found[path] = read_exact(path).samples.shape[:2]
            if lossy:
                found[path] = read_rgb(path).shape[:2]
        except (ArpcError, OSError) as error:
            found.pop(path, None)
            complain(f"{path.name}: {describe(error)[1]}")
    return found


def _check_ks(ours: Sequence[Ours], sizes: Collection[tuple[int, int]]) -> None:
    """Raises click.BadParameter for a k that none of the pictures has."""
    for codec in ours:
        largest = max(codec.total(*size) for size in sizes) if codec.wanted else math.inf
        for k in codec.wanted:
            if k > largest:
                text = f"{k} is more than any picture here has with {codec.name}: {largest} is the most"
                raise click.BadParameter(text, param_hint="--ks")


def _lossy(
    plan: Plan, paths: list[Path], jobs: int, shown: int, timed: int, progress: Progress
) -> tuple[list[Step], list[Exhibit], list[Timing]]:
    """What scales and stages are measured by, what the first pictures look like, and what they cost."""
    steps: list[Step] = []
    for measured in progress.track(measure_folder(plan, paths, jobs), len(paths), description="pictures"):
        steps += measured
    steps.sort(key=lambda step: (step.picture, step.codec, step.k))
    of = {path: [step for step in steps if step.picture == path.name] for path in paths}
    exhibits = [exhibit(plan, path, of[path]) for path in progress.track(paths[:shown], description="page")]
    # By one process after all others have ended: nothing else should run.
    files = [(path, step, *file) for path in paths[:timed] for step in of[path] for file in plan.files(step)]
    return steps, exhibits, [time_file(plan, *file) for file in progress.track(files, description="times")]


def _exact(cache: Path, paths: list[Path], coders: list[LosslessCoder], timed: int, progress: Progress) -> list[Row]:
    """Each picture through each lossless codec; the first ones through ours as a command too."""
    files = [(path, coder, place < timed) for place, path in enumerate(paths) for coder in coders]
    rows = (measure(cache, *file) for file in progress.track(files, description="lossless"))
    return [row for row in rows if row is not None]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="OUT",
    type=Folder(),
    help="Report folder.",
)
@click.option(
    "--codec", default="arpc", show_default=True, help="Ours: arpc, progic, hpac, or some as arpc,hpac; or none."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Model of our codec (its own); once for each of several codecs, or of several models of one that is not hpac.",
)
@click.option("--fill", default="mean", show_default=True, help="How our decoder fills unsent scales.")
@click.option(
    "--ks", multiple=True, help="Scale or stage counts, such as 4,6,8 (all); once for each codec that has some."
)
@click.option(
    "--adapt",
    "adapts",
    type=click.IntRange(0),
    multiple=True,
    default=(0,),
    help="Lossless: steps of adaptation (0), repeatable.",
)
@click.option("--bpp", default="0.02,0.05,0.1", show_default=True, help="Target rates for --codec none.")
@click.option("--peers", default=",".join(PEERS), show_default=True, help="Lossy codecs beside ours, or some of them.")
@click.option("--lossless-peers", default=",".join(LOSSLESS_PEERS), show_default=True, help="Beside hpac.")
@click.option(
    "--metrics",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of metric weights (or ARPC_METRICS, where some may be missing).",
)
@click.option(
    "--trained-on", default="lpips_alex,lpips_squeeze,frechet", show_default=True, help="Marked in the table."
)
@click.option("--cache", type=Folder(), help="Kept results (OUT/cache).")
@click.option(
    "--floors/--no-floors",
    default=True,
    show_default=True,
    help="Let a peer use a size whose smallest file is larger than ours even if another size reaches ours.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Pictures at a time; threads of hpac."
)
@click.option("--limit", type=click.IntRange(1), help="Only the first pictures.")
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
    help="Rows of dev.bench.scale (in a checkout), to be drawn too.",
)
@click.option(
    "--loss",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows of dev.bench.loss (in a checkout), to be drawn too.",
)
@click.option(
    "--timed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="The first pictures are coded again, one by one, for seconds and memory.",
)
def main(
    folder: Path,
    out: Path,
    codec: str,
    models: tuple[str, ...],
    fill: str,
    ks: tuple[str, ...],
    adapts: tuple[int, ...],
    bpp: str,
    peers: str,
    lossless_peers: str,
    metrics: Path | None,
    trained_on: str,
    cache: Path | None,
    floors: bool,
    jobs: int,
    limit: int | None,
    shown: int,
    scale: Path | None,
    loss: Path | None,
    timed: int,
) -> None:
    """Compare our codecs with others on the pictures of DIR.

    Writes report.html, figure.svg, table.md, steps.csv, steps.jsonl, times.csv and lossless.csv into OUT. Encoded
    files, values, times and what the page shows are kept in the cache, so that a run that was stopped goes on where
    it was. A picture that cannot be read is named and left out; the exit code is 1 then.
    """
    console = Console(stderr=True)
    grown = read_rows(scale) if scale else []
    lost = read_outcomes(loss) if loss else []
    names = listed(codec, (*CODECS, Hpac.name), "--codec") if codec != "none" else ()
    chosen = listed(peers, tuple(PEERS), "--peers") if names != (Hpac.name,) else ()
    exact = listed(lossless_peers, tuple(LOSSLESS_PEERS), "--lossless-peers") if Hpac.name in names else ()
    models_of_ours = _models(names, models)
    ours = _ours(models_of_ours, fill, ks)
    marked = listed(trained_on, tuple(METRICS), "--trained-on") if ours else ()
    targets = () if names else _numbers(bpp, float, "--bpp")
    if not names and not targets:
        raise click.UsageError("--codec none needs --bpp")
    lossy = bool(ours or targets)
    paths = pictures(folder, exact=not lossy)[:limit]
    if not paths:
        raise click.UsageError(f"{folder} holds no pictures")
    if lossy and metrics:
        require_weights(metrics)
    sizes = _sizes(paths, lossy, Hpac.name in names)
    if not sizes:
        raise ArpcError(f"{folder}: no picture can be read")
    _check_ks(ours, set(sizes.values()))
    unreadable, paths = len(paths) - len(sizes), list(sizes)
    reasons = {name: PEERS[name].missing() for name in chosen}
    coders, missing = present(exact)
    missing |= {name: reason for name, reason in reasons.items() if reason}
    if lossy:
        missing |= missing_metrics(metrics)
    for name, reason in missing.items():
        console.print(f"missing: {name}: {reason}", style="yellow")
    plan = Plan(
        cache=cache or out / "cache",
        codecs=ours,
        peers=tuple(PEERS[name]() for name in chosen if name not in missing),
        targets=targets,
        weights=metrics,
        floors=floors,
    )
    bar = Progress(*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn(), console=console)
    with bar as progress:
        if Hpac.name in names:
            coders += [Hpac(dict(models_of_ours)[Hpac.name], adapt, jobs) for adapt in adapts]
        steps, exhibits, times = _lossy(plan, paths, jobs, shown, timed, progress) if lossy else ([], [], [])
        rows = _exact(plan.cache, paths, coders, timed, progress)
    fit = fitting(exhibits)
    if len(fit) < len(exhibits):
        console.print(f"the page shows the first {len(fit)} pictures: more do not fit", style="yellow")
    facts = Facts(
        deciding=plan.deciding(),
        floors=floors,
        trained_on=marked,
        missing=missing,
        versions={peer.name: peer.version() for peer in plan.peers}
        | {coder.title: coder.version() for coder in coders if coder.name in exact},
        machine=machine(),
    )
    comparisons = compare(steps)
    table = markdown(comparisons, len(paths), facts, rows)
    make_folder(out)
    for name, text in (
        ("steps.jsonl", jsonl(steps)),
        ("steps.csv", steps_csv(steps)),
        ("times.csv", times_csv(times)),
        ("lossless.csv", lossless_csv(rows)),
        ("table.md", table),
        *([("figure.svg", figure(comparisons, marked, dataset_of(path.name for path in paths)))] if steps else []),
        ("report.html", page(steps, fit, facts, times, rows, grown, lost)),
    ):
        (out / name).write_text(text, "utf-8", newline="")
    click.echo(table, nl=False)
    if unreadable:
        raise click.exceptions.Exit(ArpcError.exit_code)


if __name__ == "__main__":
    try:
        main()
    except ArpcError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
