"""Comma-separated text and lists, as the benches write and read them."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence

import click


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """The column names, then a line for each row; what a row lacks is empty. Numbers read back as the same ones."""
    text = io.StringIO()
    sheet = csv.DictWriter(text, columns, lineterminator="\n")
    sheet.writeheader()
    sheet.writerows(rows)
    return text.getvalue()


def listed(text: str, known: Collection[str], option: str | None = None) -> tuple[str, ...]:
    """The names in a list with commas, each once. BadParameter for one that is not `known`."""
    names = tuple(dict.fromkeys(part for part in text.split(",") if part))
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=option)
    return names
