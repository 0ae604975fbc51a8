"""Comma-separated text, lists and lines of JSON, as the benches write and read them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import click


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """The column names, then a line for each row; what a row lacks is empty. Numbers read back as the same ones."""
    text = io.StringIO()
    sheet = csv.DictWriter(text, columns, lineterminator="\n")
    sheet.writeheader()
    sheet.writerows(rows)
    return text.getvalue()


def json_line(row: Mapping[str, Any]) -> str:
    """A line of JSON, which has no numbers that are not finite: they are null."""
    return json.dumps(_finite(row), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def listed(text: str, known: Collection[str], option: str | None = None) -> tuple[str, ...]:
    """The names in a list with commas, each once. BadParameter for one that is not `known`."""
    names = tuple(dict.fromkeys(part for part in text.split(",") if part))
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=option)
    return names
