"""`python -m dev.bench.equal DIR -o sheet.jpg`: every picture beside the best other codec at the same bytes."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from arpc_codec.bench.ours import CODECS, Codec, Ours
from arpc_codec.bench.peers import PEERS, Peer
from arpc_codec.bench.run import Bench, Image_u8, Measured, Plan, badness, measure_picture, pictures, read_rgb
from arpc_codec.bench.sheet import listed
from arpc_codec.imageio.sheet import Cell, cell, contact_sheet
from arpc_codec.metrics.panel import missing_metrics

# Photo, ours and the best other one, for two pictures.
COLUMNS = 6
# Left, top, width and height of what is drawn.
Part = tuple[int, int, int, int]


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path), metavar="DIR|FILE")
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Sheet to write.")
@click.option("--codec", type=click.Choice(CODECS), default="arpc", show_default=True)
@click.option("--model", help="Model of our codec (its own).")
@click.option(
    "--k", "ks", type=click.IntRange(1), required=True, multiple=True, help="Scales or stages that are sent; several."
)
@click.option("--peers", help="Names with commas; all others without it.")
@click.option("--each", is_flag=True, help="A row of ours and every peer, instead of the best of them.")
@click.option("--part", type=int, nargs=4, metavar="LEFT TOP WIDTH HEIGHT", help="Draw these pixels only.")
@click.option("--cache", required=True, type=click.Path(file_okay=False, path_type=Path), help="That of `arpc bench`.")
@click.option(
    "--weights", type=click.Path(exists=True, path_type=Path), help="Folder of metric weights ($ARPC_METRICS)."
)
def main(
    source: Path,
    out: Path,
    codec: str,
    model: str | None,
    ks: tuple[int, ...],
    peers: str | None,
    each: bool,
    part: Part | None,
    cache: Path,
    weights: Path | None,
) -> None:
    """Draw of each picture: itself, our file, and of all others the one with the best LPIPS (else PSNR).

    The others take part as in `arpc bench --no-floors`: with the smallest file that is not smaller than ours, at full,
    half or quarter size. Prints by how many files ours is better than all.
    """
    chosen = {name: PEERS[name] for name in (PEERS if peers is None else listed(peers, tuple(PEERS), "--peers"))}
    rivals = tuple(peer() for peer in chosen.values() if not peer.missing())
    plan = Plan(cache, (Ours(codec, model, ks=ks),), rivals, weights=weights, floors=False)
    by = plan.deciding()[0]
    cells: list[Cell] = []
    won = total = 0
    files = pictures(source) if source.is_dir() else [source]
    for path in track(files, console=Console(stderr=True), description="comparing"):
        image = read_rgb(path)
        bench = Bench(plan, image)
        for step in measure_picture(plan, path):
            (ours, own), *others = plan.files(step)
            cells.append(cell(_part(image, part), path.stem, f"{image.nbytes} bytes of pixels"))
            drawn = others if each else sorted(others, key=lambda other: badness(by, other[1].values[by]))[:1]
            cells += [_cell(bench, coder, file, by, part) for coder, file in [(ours, own), *drawn]]
            better = [badness(by, own.values[by]) < badness(by, file.values[by]) for _, file in others]
            won += bool(better) and all(better)
            total += 1
    if not total:
        raise click.UsageError(f"no picture has such a k: {', '.join(map(str, ks))}")
    contact_sheet(cells, 2 + len(rivals) if each else COLUMNS).save(out)
    missing = ", ".join([*(name for name, peer in chosen.items() if peer.missing()), *missing_metrics(weights)])
    click.echo(f"better by {by}: {won} of {total}" + (f"; missing: {missing}" if missing else ""))


def _cell(bench: Bench, coder: Codec | Peer, file: Measured, by: str, part: Part | None) -> Cell:
    _, data = bench.file(coder, file.setting, file.scale)
    size = "" if file.scale == 1 else f" at 1/{1 / file.scale:.0f}"
    picture = _part(bench.decode(coder, data), part)
    return cell(picture, f"{coder.name}{size}: {len(data)} bytes", f"{by} {file.values[by]:.3f}")


def _part(image: Image_u8, part: Part | None) -> Image_u8:
    if part is None:
        return image
    left, top, width, height = part
    return image[top : top + height, left : left + width]


if __name__ == "__main__":
    main()
