"""`python -m arpc_codec.bench.equal DIR -o sheet.jpg`: every picture beside the best other codec at the same bytes."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from ..imageio.sheet import Cell, cell, contact_sheet
from ..metrics.panel import missing_metrics
from .ours import CODECS, Codec, Ours
from .peers import PEERS, Peer
from .run import Bench, Measured, Plan, badness, measure_picture, pictures, read_rgb
from .sheet import listed

COLUMNS = 6


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Sheet to write.")
@click.option("--codec", type=click.Choice(CODECS), default="arpc", show_default=True)
@click.option("--model", help="Model of our codec (its own).")
@click.option("--k", type=click.IntRange(1), required=True, help="Scales or stages that are sent.")
@click.option("--peers", help="Names with commas; all others without it.")
@click.option("--cache", required=True, type=click.Path(file_okay=False, path_type=Path), help="That of `arpc bench`.")
@click.option(
    "--weights", type=click.Path(exists=True, path_type=Path), help="Folder of metric weights ($ARPC_METRICS)."
)
def main(
    folder: Path, out: Path, codec: str, model: str | None, k: int, peers: str | None, cache: Path, weights: Path | None
) -> None:
    """Draw of each picture in DIR: itself, our file, and of all others the one with the best LPIPS (else PSNR).

    The others take part as in `arpc bench --no-floors`: with the smallest file that is not smaller than ours, at full,
    half or quarter size. Prints by how many pictures ours is better.
    """
    chosen = {name: PEERS[name] for name in (PEERS if peers is None else listed(peers, tuple(PEERS), "--peers"))}
    rivals = tuple(peer() for peer in chosen.values() if not peer.missing())
    plan = Plan(cache, (Ours(codec, model, ks=(k,)),), rivals, weights=weights, floors=False)
    by = plan.deciding()[0]
    cells: list[Cell] = []
    won = 0
    files = pictures(folder)
    for path in track(files, console=Console(stderr=True), description="comparing"):
        [step] = measure_picture(plan, path)
        (ours, own), *others = plan.files(step)
        image = read_rgb(path)
        bench = Bench(plan, image)
        cells.append(cell(image, path.stem, f"{image.nbytes} bytes of pixels"))
        cells.append(_cell(bench, ours, own, by))
        if others:
            best, theirs = min(others, key=lambda other: badness(by, other[1].values[by]))
            cells.append(_cell(bench, best, theirs, by))
            won += badness(by, own.values[by]) < badness(by, theirs.values[by])
    contact_sheet(cells, COLUMNS).save(out)
    missing = ", ".join([*(name for name, peer in chosen.items() if peer.missing()), *missing_metrics(weights)])
    click.echo(f"better by {by}: {won} of {len(files)}" + (f"; missing: {missing}" if missing else ""))


def _cell(bench: Bench, coder: Codec | Peer, file: Measured, by: str) -> Cell:
    _, data = bench.file(coder, file.setting, file.scale)
    size = "" if file.scale == 1 else f" at 1/{1 / file.scale:.0f}"
    return cell(bench.decode(coder, data), f"{coder.name}{size}: {len(data)} bytes", f"{by} {file.values[by]:.3f}")


if __name__ == "__main__":
    main()
