"""`python -m dev.bench.scale -o FILE.json`: time and memory up to 8K, and for each scale or stage.

Each encoding and each decoding runs in a process of its own, on one thread.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

import arpc_codec
from arpc_codec.bench.growth import QUANTITIES, Cost, Row, fits, read_rows, rows_text, verdict
from arpc_codec.bench.ours import version_of
from arpc_codec.bench.sheet import listed
from arpc_codec.errors import ArpcError
from arpc_codec.files import write_file
from arpc_codec.loading import DEFAULT_MODELS
from dev.bench.samples import mirrored, photo

SIZES = "64,128,256,512,1024,2048,4096,7680x4320"
_PHOTO = "astronaut"
_PROBE = Path(__file__).with_name("probe.py")


class Measurements:
    """Rows of one file, measured when they are not kept yet; it is written after each."""

    def __init__(self, path: Path) -> None:
        """Raises ArpcError when the file is there and holds something else."""
        self.path = path
        self.rows = read_rows(path) if path.exists() else []

    def row(self, codec: str, size: tuple[int, int], k: int = 0) -> Row:
        """The row of a codec at (width, height) with k scales or stages sent, 0 for all.

        Raises ArpcError when a process of it fails, as it does without memory.
        """
        setting = version_of(DEFAULT_MODELS[codec]), codec, *size, k
        kept = next((row for row in self.rows if row.setting == setting), None)
        return kept or self._keep(_measure(codec, size, k))

    def _keep(self, row: Row) -> Row:
        self.rows.append(row)
        write_file(rows_text(self.rows).encode(), self.path, force=True)
        return row


def _measure(codec: str, size: tuple[int, int], k: int) -> Row:
    width, height = size
    with TemporaryDirectory() as folder:
        picture, file = Path(folder, "picture.npy"), Path(folder, "picture.arpc")
        np.save(picture, mirrored(photo(_PHOTO), height, width))

        def probe(part: str) -> Cost:
            words = [sys.executable, str(_PROBE), part, str(picture), str(file)]
            options = ["--codec", codec, "--k", str(k)]
            alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
            done = subprocess.run(
                [*words, *options], capture_output=True, text=True, check=False, env=os.environ | alone
            )
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
                raise ArpcError(f"{codec} {width}x{height}, {part}: {reason}")
            return Cost(**json.loads(done.stdout))

        encode, decode = probe("encode"), probe("decode")
        data = file.read_bytes()
    version = version_of(DEFAULT_MODELS[codec])
    return Row(version, codec, *size, k, arpc_codec.info(data).scales_declared, len(data), encode, decode)


def _size(text: str) -> tuple[int, int]:
    """(width, height) of WxH, or of one side of a square."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not found or not int(found[1]) * int(found[2] or 1):
        raise click.BadParameter(f"{text!r} is no size such as 512 or 768x512")
    return int(found[1]), int(found[2] or found[1])


def _sizes(_context: click.Context, _parameter: click.Parameter, text: str) -> list[tuple[int, int]]:
    return [_size(part) for part in text.split(",") if part]


def _one(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, int]:
    return _size(text)


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _codecs(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, ...]:
    return listed(text, DEFAULT_MODELS)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "--out", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--codec", "codecs", default=",".join(DEFAULT_MODELS), show_default=True, callback=_codecs)
@click.option("--sizes", default=SIZES, show_default=True, callback=_sizes, help="Sides of squares, or WxH.")
@click.option("--at", default="512", show_default=True, callback=_one, help="Size with every number of scales.")
def main(out: Path, codecs: tuple[str, ...], sizes: list[tuple[int, int]], at: tuple[int, int]) -> None:
    """Measure encoding and decoding of a sample photo, mirrored to each size, and keep the rows in FILE.

    `arpc bench DIR -o OUT --scale FILE` draws them. A run that was stopped goes on where it was; what fails (as
    large pictures do without memory) is said, tried again by the next run, and the exit status is 1.
    """
    kept = Measurements(out)
    rows: list[Row] = []
    failed = False
    order = sorted({*sizes, at}, key=_pixels)
    jobs = deque((codec, size, 0) for size in order for codec in codecs)
    while jobs:
        codec, size, k = jobs.popleft()
        try:
            row = kept.row(codec, size, k)
        except ArpcError as error:
            failed = True
            click.echo(f"failed: {error}", err=True)
            continue
        rows.append(row)
        if size == at and not k:
            # Only now it is known how many there are.
            jobs.extendleft((codec, size, part) for part in range(row.parts - 1, 0, -1))
        spent = ", ".join(f"{one.title.lower()} {one.value(row):.3g} {one.unit}" for one in QUANTITIES)
        click.echo(f"{codec} {row.size}, {row.parts} sent: {spent}")
    click.echo(verdict(fits(rows)))
    sys.exit(failed)


if __name__ == "__main__":
    main()
