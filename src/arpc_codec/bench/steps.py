"""Steps as files: one JSON line for each step, and a CSV with a row for each file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict

from arpc_codec.bench.run import Measured, Step
from arpc_codec.metrics.panel import METRICS

COLUMNS = ("picture", "pixels", "ours", "k", "wanted", "codec", "best_by", "setting", "scale", "bytes", *METRICS)


def jsonl(steps: Iterable[Step]) -> str:
    """A JSON object on each line, with the fields of `Step`."""
    return "".join(json.dumps(asdict(step)) + "\n" for step in steps)


def csv_text(steps: Iterable[Step]) -> str:
    """A row for each file beside each k; `COLUMNS` is the first row.

    `ours` is the codec of ours that k belongs to, `wanted` the size in bytes that peers were matched with, `codec` the
    one that made the file, `best_by` the metric by which a peer's file was chosen. Numbers are written so that reading
    gives the same ones; a metric that was not measured is empty.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for step in steps:
        place = {"picture": step.picture, "pixels": step.pixels, "ours": step.codec, "k": step.k, "wanted": step.bytes}

        def row(codec: str, best_by: str, file: Measured, place: dict[str, object] = place) -> dict[str, object]:
            size = {"setting": file.setting, "scale": file.scale, "bytes": file.bytes}
            return place | {"codec": codec, "best_by": best_by} | size | file.values

        if step.ours is not None:
            table.writerow(row(step.codec, "", step.ours))
        for peer, files in step.peers.items():
            table.writerows(row(peer, metric, file) for metric, file in files.best.items())
    return text.getvalue()
