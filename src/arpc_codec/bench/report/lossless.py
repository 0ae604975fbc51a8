"""The part of a report about lossless files."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from arpc_codec.bench.lossless import Row, summaries
from arpc_codec.bench.lossless_coders import Hpac
from arpc_codec.bench.report.tables import html_table
from arpc_codec.bench.times import WAYS

_HEAD = ("pictures", "codec", "files", "bits a sample", "bytes", "encode, MB/s/core", "decode, MB/s/core")
_COMMAND = ("picture", "codec", *(f"{way}, {what}" for way in WAYS for what in ("s", "peak MiB")))


def _line(first: str, title: str, codec: str, cells: Sequence[str]) -> str:
    kind = ' class="ours"' if codec == Hpac.name else ""
    data = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{kind}><td>{escape(first)}</td><th scope="row">{escape(title)}</th>{data}</tr>'


def sizes_table(rows: Sequence[Row]) -> str:
    """Means and sums of each group of pictures through each codec."""
    lines = []
    for one in summaries(rows):
        speeds = [f"{speed:.3g}" for speed in (one.encode_speed, one.decode_speed)]
        cells = [str(one.files), f"{one.bits_a_sample:.3f}", f"{one.bytes:,}", *speeds]
        lines.append(_line(one.group, one.title, one.codec, cells))
    return html_table(_HEAD, lines, "Lossless files; megabytes of samples a second and core")


def commands_table(rows: Sequence[Row]) -> str:
    """Seconds and memory of ours as a command; "" when it was not measured."""
    lines = []
    for row in rows:
        numbers = [(cost.command_seconds, cost.mib) for cost in (row.encode, row.decode)]
        cells = [f"{value:,.3g}" for pair in numbers for value in pair if value is not None]
        if cells:
            lines.append(_line(row.picture, row.title, row.codec, cells))
    return html_table(_COMMAND, lines, "The whole process, from its start to its end") if lines else ""


def lossless_section(rows: Sequence[Row], machine: str) -> str:
    """Tables with what was measured how; "" without files."""
    if not rows:
        return ""
    return (
        '<section aria-labelledby="h-lossless"><h2 id="h-lossless">Lossless</h2>'
        "<p>Every file was decoded, and each of its samples compared with the original. Seconds were taken once for "
        f"each file, in a process that has loaded the codec, on {escape(machine)}; those of several processes are "
        f"added up.</p>{sizes_table(rows)}{commands_table(rows)}</section>"
    )
