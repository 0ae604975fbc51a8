"""`python -m arpc_codec.bench.lossless DIR`: our lossless codec beside PNG, WebP and JPEG XL, real bytes, as a table.

Pictures are grouped by what stands before the first hyphen of their names. Every file is decoded and compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from arpc_codec.bench.run import pictures
from arpc_codec.codecs.crew import Crew
from arpc_codec.container import read
from arpc_codec.errors import ArpcError
from arpc_codec.imageio import ExactPicture, read_exact, write_exact
from arpc_codec.loading import load_lossless

Samples = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Coder:
    """encode gives None for samples that the format lacks."""

    title: str
    encode: Callable[[Samples], bytes | None]
    decode: Callable[[bytes], Samples]
    cores: int = 1


@dataclass(frozen=True)
class Row:
    """One picture through one codec: bytes, and seconds times cores."""

    group: str
    title: str
    samples: int
    raw: int
    size: int
    encoding: float
    decoding: float


def _png(samples: Samples) -> bytes:
    import oxipng

    data: bytes = oxipng.optimize_from_memory(write_exact(ExactPicture(samples)), level=4)
    return data


def _webp(samples: Samples) -> bytes | None:
    import imagecodecs

    if samples.dtype != np.uint8 or samples.shape[2] == 2:
        return None
    rgb = np.ascontiguousarray(np.repeat(samples, 3, 2)) if samples.shape[2] == 1 else samples
    return bytes(imagecodecs.webp_encode(rgb, lossless=True, level=100, method=6))


def _from_webp(data: bytes) -> Samples:
    import imagecodecs

    samples: Samples = imagecodecs.webp_decode(data)
    return samples


def _jxl(samples: Samples) -> bytes:
    import imagecodecs

    squeezed = samples[..., 0] if samples.shape[2] == 1 else samples
    return bytes(imagecodecs.jpegxl_encode(squeezed, lossless=True, effort=9, numthreads=1))


def _from_jxl(data: bytes) -> Samples:
    import imagecodecs

    samples: Samples = imagecodecs.jpegxl_decode(data, numthreads=1)
    return samples


PEERS = (
    Coder("PNG (oxipng -o 4)", _png, lambda data: read_exact(data).samples),
    Coder("WebP (lossless, method 6)", _webp, _from_webp),
    Coder("JPEG XL (-d 0 -e 9)", _jxl, _from_jxl),
)


def ours(model: str, adapt: int, crew: Crew) -> Coder:
    """The codec hpac, with so many steps of adaptation."""
    codec = load_lossless(model, "cpu")
    title = f"arpc --lossless --adapt {adapt}" if adapt else "arpc --lossless"
    return Coder(
        title,
        lambda samples: codec.encode(ExactPicture(samples), adapt=adapt, crew=crew),
        lambda data: codec.decode(read(data), crew=crew).picture.samples,
        crew.most,
    )


def measure(path: Path, coder: Coder) -> Row | None:
    """One file there and back; None when the format lacks its samples. Raises ArpcError when it changed."""
    samples = read_exact(path).samples
    start = time.perf_counter()
    data = coder.encode(samples)
    encoded = time.perf_counter()
    if data is None:
        return None
    back = coder.decode(data)
    end = time.perf_counter()
    # WebP gives grey back as three equal channels.
    if not np.array_equal(back.reshape(*samples.shape[:2], -1)[..., : samples.shape[2]], samples):
        raise ArpcError(f"{path.name}: {coder.title} changed samples")
    group = path.stem.split("-")[0] if "-" in path.stem else path.parent.name
    spent = [coder.cores * seconds for seconds in (encoded - start, end - encoded)]
    return Row(group, coder.title, samples.size, samples.nbytes, len(data), *spent)


def table(rows: list[Row]) -> str:
    """Markdown: for each group and codec the mean bits a sample, all bytes, megabytes of samples a second and core."""
    lines = [
        "| pictures | codec | files | bits a sample | bytes | encode MB/s/core | decode MB/s/core |",
        "|---|---|---|---|---|---|---|",
    ]
    for group in dict.fromkeys(row.group for row in rows):
        for title in dict.fromkeys(row.title for row in rows):
            own = [row for row in rows if (row.group, row.title) == (group, title)]
            if own:
                mean = np.mean([8 * row.size / row.samples for row in own])
                size, raw = sum(row.size for row in own), sum(row.raw for row in own) / 1e6
                speeds = [raw / sum(s) for s in ([row.encoding for row in own], [row.decoding for row in own])]
                lines.append(
                    f"| {group} | {title} | {len(own)} | {mean:.3f} | {size} | {speeds[0]:.3g} | {speeds[1]:.3g} |"
                )
    return "\n".join(lines) + "\n"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="lossless", show_default=True, help="Model of our codec.")
@click.option("--adapt", "adapts", type=int, multiple=True, default=(0,), help="Steps of adaptation (0), repeatable.")
@click.option("--peers/--no-peers", default=True, help="Measure the other formats too.")
@click.option("--jobs", default=1, show_default=True, help="Processes of our codec.")
@click.option("--limit", type=int, help="Only the first pictures.")
def main(folder: Path, model: str, adapts: tuple[int, ...], peers: bool, jobs: int, limit: int | None) -> None:
    """Compare lossless codecs on the pictures of DIR, one after the other; the table goes to stdout."""
    rows = []
    with Crew(jobs) as crew:
        coders = [*(PEERS if peers else ()), *(ours(model, adapt, crew) for adapt in adapts)]
        for path in pictures(folder)[:limit]:
            for coder in coders:
                row = measure(path, coder)
                if row is not None:
                    rows.append(row)
                    click.echo(f"{path.name} {row.title} {8 * row.size / row.samples:.3f}", err=True)
    click.echo(table(rows), nl=False)


if __name__ == "__main__":
    main()
