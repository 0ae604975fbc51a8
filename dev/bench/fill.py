"""`python -m dev.bench.fill DIR`: what filling unsent scales is worth, and a sheet to look at."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import track

from arpc_codec.bench.run import pictures
from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.filling import Filling
from arpc_codec.container import read as read_container
from arpc_codec.container import truncate
from arpc_codec.imageio import read
from arpc_codec.imageio.sheet import Cell, cell, contact_sheet
from arpc_codec.metrics.panel import METRICS, missing_metrics, panel

JUDGES = ("lpips_alex", "lpips_squeeze", "psnr")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="tiny", show_default=True)
@click.option("--missing", type=click.IntRange(1), multiple=True, default=(1, 2, 3, 5), show_default=True)
@click.option("--fill", "fills", multiple=True, default=("none", "mean"), show_default=True)
@click.option(
    "--weights", type=click.Path(exists=True, path_type=Path), help="Folder of metric weights ($ARPC_METRICS)."
)
@click.option(
    "--sheet", type=click.Path(dir_okay=False, path_type=Path), help="PNG: a row per picture, half its scales."
)
@click.option("--rows", default=3, show_default=True, help="Pictures on the sheet: the first ones.")
def main(
    folder: Path,
    model: str,
    missing: tuple[int, ...],
    fills: tuple[str, ...],
    weights: Path | None,
    sheet: Path | None,
    rows: int,
) -> None:
    """Print means over the pictures of DIR with some scales missing, unfilled and filled.

    The sheet shows each picture, then half of its scales with every fill.
    """
    codec = ArpcCodec.load(model)
    judges = [name for name in JUDGES if name not in missing_metrics(weights)]
    sums: dict[tuple[int, str], np.ndarray] = {}
    cells: list[Cell] = []
    files = pictures(folder)
    for path in track(files, console=Console(stderr=True), description="filling"):
        pixels = read(path).pixels
        encoded = codec.encode(pixels)

        def decode(scales: int, fill: str, data: bytes = encoded.data) -> np.ndarray:
            return codec.decode(read_container(truncate(data, scales=scales)), filling=Filling(fill)).pixels

        for fewer in missing:
            if fewer >= encoded.total_scales:
                raise click.UsageError(f"{path} has {encoded.total_scales} scales: {fewer} cannot be missing")
            for fill in fills:
                scores = panel(pixels, decode(encoded.total_scales - fewer, fill), names=judges, weights=weights)
                values = np.array([scores[name] for name in judges], dtype=float)
                sums[fewer, fill] = sums.get((fewer, fill), 0) + values
        if sheet is not None and len(cells) < rows * (1 + len(fills)):
            half = encoded.total_scales // 2
            size = len(truncate(encoded.data, scales=half))
            cells.append(cell(pixels, path.stem, f"{pixels.nbytes} bytes of pixels"))
            cells.extend(cell(decode(half, fill), f"{half} scales, fill {fill}", f"{size} bytes") for fill in fills)
    if sheet is not None:
        contact_sheet(cells, 1 + len(fills)).save(sheet)
    click.echo("| scales missing | fill | " + " | ".join(judges) + " |")
    click.echo("|---|---|" + "---:|" * len(judges))
    for (fewer, fill), values in sums.items():
        texts = (f"{value / len(files):.{METRICS[name].digits}f}" for name, value in zip(judges, values, strict=True))
        click.echo(f"| {fewer} | {fill} | " + " | ".join(texts) + " |")


if __name__ == "__main__":
    main()
