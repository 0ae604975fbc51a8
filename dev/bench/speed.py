"""`python -m dev.bench.speed PICTURE`: time and memory inside one process, against the picture's size."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image

from arpc_codec.bench.times import milliseconds
from arpc_codec.bench.watch import peak_mib
from arpc_codec.container import read as read_container
from arpc_codec.imageio import read
from arpc_codec.loading import DEVICES, load


@click.command()
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--codec", type=click.Choice(["arpc", "progic"]), default="progic", show_default=True)
@click.option("--model", default="progic", show_default=True)
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True)
@click.option("--size", "sizes", multiple=True, default=("256x256", "512x512"), show_default=True, help="WxH.")
@click.option("--scales", "counts", multiple=True, type=click.IntRange(1), default=(1, 3, 5), show_default=True)
@click.option("--runs", type=click.IntRange(1), default=9, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Of torch; all cores if not given.")
def main(
    picture: Path,
    codec: str,
    model: str,
    device: str,
    sizes: tuple[str, ...],
    counts: tuple[int, ...],
    runs: int,
    threads: int | None,
) -> None:
    """Print milliseconds to encode and decode PICTURE at each size and number of scales or stages.

    The peak is that of the process so far: name small sizes first.
    """
    if threads:
        torch.set_num_threads(threads)
    coder = load(model, device, codec)
    original = Image.fromarray(read(picture).pixels)
    click.echo("| size | sent | bytes | encode ms | least | decode ms | least | peak MiB |")
    click.echo("|---|---:|---:|---:|---:|---:|---:|---:|")
    for size in sizes:
        width, height = map(int, size.split("x"))
        pixels = np.asarray(original.resize((width, height), Image.Resampling.LANCZOS))
        for count in counts:
            data = coder.encode(pixels, scales=count).data
            times = milliseconds(partial(coder.encode, pixels, scales=count), runs)
            times += milliseconds(partial(coder.decode, read_container(data)), runs)
            texts = " | ".join(f"{value:.0f}" for value in times)
            click.echo(f"| {size} | {count} | {len(data)} | {texts} | {peak_mib():.0f} |")


if __name__ == "__main__":
    main()
