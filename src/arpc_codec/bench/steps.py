"""Steps as files: one JSON line for each step, and a CSV with a row for each file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from arpc_codec.bench.run import Measured, Step
from arpc_codec.bench.sheet import csv_text, json_line
from arpc_codec.metrics.panel import METRICS

COLUMNS = ("picture", "pixels", "ours", "k", "wanted", "codec", "best_by", "setting", "scale", "bytes", *METRICS)


def jsonl(steps: Iterable[Step]) -> str:
    """A JSON object on each line, with the fields of `Step`; a value that is not finite is null."""
    return "".join(json_line(asdict(step)) for step in steps)


def steps_csv(steps: Iterable[Step]) -> str:
    """A row for each file beside each k; `COLUMNS` is the first row.

    `ours` is the codec of ours that k belongs to, `wanted` the size in bytes that peers were matched with, `codec` the
    one that made the file, `best_by` the metric by which a peer's file was chosen. A metric that was not measured is
    empty.
    """
    return csv_text(COLUMNS, (row for step in steps for row in _rows(step)))


def _rows(step: Step) -> Iterator[dict[str, object]]:
    place = {"picture": step.picture, "pixels": step.pixels, "ours": step.codec, "k": step.k, "wanted": step.bytes}

    def row(codec: str, best_by: str, file: Measured) -> dict[str, object]:
        size = {"setting": file.setting, "scale": file.scale, "bytes": file.bytes}
        return place | {"codec": codec, "best_by": best_by} | size | file.values

    if step.ours is not None:
        yield row(step.codec, "", step.ours)
    for peer, files in step.peers.items():
        for metric, file in files.best.items():
            yield row(peer, metric, file)
