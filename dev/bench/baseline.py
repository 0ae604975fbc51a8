"""`python -m dev.bench.baseline`: the bundled models on the sample photos beside the numbers of baseline.json.

A test holds the same comparison, so that no change makes files larger or pictures worse unnoticed.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

import arpc_codec
from arpc_codec.bench.store import picture_id
from arpc_codec.container import truncate
from arpc_codec.errors import ArpcError
from arpc_codec.metrics.panel import METRICS, panel
from dev.bench.samples import small_photos

SIDES = {"arpc": 256, "progic": 256, "hpac": 160}
"""Longer side of the photos, so that all of it takes less than a minute."""
STEPS = {"arpc": (5, 6, 7), "progic": (1, 3, 5), "hpac": (0,)}
"""How many scales or stages are sent; 0: a lossless file, which is whole."""
SIZE_MARGIN = 0.005
"""Part by which a file may grow, rounded up to whole bytes."""
MARGINS = {"psnr": 0.05, "ms_ssim": 0.002, "ssimulacra2-py": 0.5, "lpips_alex": 0.003, "lpips_squeeze": 0.003}
"""By how much a picture may be worse: far above what another machine's rounding changes."""
OUTDATED = "better, the baseline is out of date"
_PATH = Path(__file__).with_name("baseline.json")


@dataclass(frozen=True)
class Row:
    """One file of one photo: its bytes, and what the decoded picture scores (None: not measured here)."""

    codec: str
    k: int
    picture: str
    digest: str
    bytes: int
    values: dict[str, float | None]

    @property
    def key(self) -> tuple[str, int, str, str]:
        return self.codec, self.k, self.picture, self.digest

    @property
    def title(self) -> str:
        return f"{self.codec}{f', k = {self.k}' if self.k else ''}, {self.picture}"


def measure(codec: str, weights: Path | None = None) -> list[Row]:
    """A row for each photo and each of the codec's `STEPS`. Raises ArpcError when a lossless file changes a photo."""
    rows = []
    for name, image in small_photos(SIDES[codec]):
        whole = arpc_codec.encode(image, codec=codec)
        for k in STEPS[codec]:
            data = truncate(whole, scales=k) if k else whole
            back = arpc_codec.decode_array(data)
            if not k and not np.array_equal(back, image):
                raise ArpcError(f"{codec} changed samples of {name}")
            values = panel(image, back.astype(np.uint8), names=MARGINS, weights=weights) if k else {}
            rows.append(Row(codec, k, name, picture_id(image), len(data), values))
    return rows


def compare(baseline: Sequence[Row], now: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Sentences: what is worse than the baseline by more than the margin, and what is better by more.

    A metric that one of the two lacks is left out. Raises ArpcError when the rows are of other files or photos.
    """
    if sorted(row.key for row in baseline) != sorted(row.key for row in now):
        raise ArpcError("other files or other photos than in the baseline: write it again")
    measured = {row.key: row for row in now}
    worse: list[str] = []
    better: list[str] = []
    for old in baseline:
        new = measured[old.key]
        margin = math.ceil(SIZE_MARGIN * old.bytes)
        if abs(new.bytes - old.bytes) > margin:
            found = worse if new.bytes > old.bytes else better
            found.append(f"{old.title}: {new.bytes} bytes, not {old.bytes} (margin {margin})")
        for name in MARGINS:
            before, after = old.values.get(name), new.values.get(name)
            if before is None or after is None:
                continue
            gain = after - before if METRICS[name].higher_is_better else before - after
            # Turned round, so that a NaN is worse.
            if not abs(gain) <= MARGINS[name]:
                found = better if gain > 0 else worse
                found.append(f"{old.title}: {name} {after:.4f}, not {before:.4f} (margin {MARGINS[name]:g})")
    return worse, better


def baseline() -> list[Row]:
    """The rows of baseline.json."""
    return [Row(**entry) for entry in json.loads(_PATH.read_text("utf-8"))]


def _text(rows: Iterable[Row]) -> str:
    """JSON, a line for each row, with the digits that the margins ask for."""
    lines = []
    for row in rows:
        values = {name: value if value is None else round(value, 4) for name, value in row.values.items()}
        lines.append(json.dumps(asdict(row) | {"values": values}))
    return "[\n" + ",\n".join(lines) + "\n]\n"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--write", is_flag=True, help="Replace the baseline by what is measured now.")
@click.option("--metrics", type=click.Path(path_type=Path), help="Folder of metric weights (ARPC_METRICS).")
def main(write: bool, metrics: Path | None) -> None:
    """Measure the bundled models on the sample photos and compare with the baseline; exit 1 when anything is worse."""
    absent = [f"{name}: {reason}" for name in MARGINS if (reason := METRICS[name].missing(metrics))]
    if write and absent:
        raise click.UsageError(f"a baseline holds every metric: {'; '.join(absent)}")
    rows = [row for codec in STEPS for row in measure(codec, metrics)]
    if write:
        _PATH.write_text(_text(rows), "utf-8", newline="")
        return
    worse, better = compare(baseline(), rows)
    for title, sentences in (("not measured", absent), ("worse", worse), (OUTDATED, better)):
        for sentence in sentences:
            click.echo(f"{title}: {sentence}")
    sys.exit(bool(worse))


if __name__ == "__main__":
    main()
