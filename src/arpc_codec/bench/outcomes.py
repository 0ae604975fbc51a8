"""Pictures after packets were lost: measured rows, as `dev.bench.loss` writes and `arpc bench --loss` draws them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arpc_codec.bench.sheet import json_line
from arpc_codec.errors import UsageError


@dataclass(frozen=True)
class Outcome:
    """Means over pictures and trials of one way of sending at one loss rate. bytes: of all packets.

    A value that is not finite, since some picture has no such score, is NaN in Python and null in a file.
    """

    loss: float
    way: str
    bytes: float
    values: dict[str, float]


def read_outcomes(path: Path) -> list[Outcome]:
    """All rows of a file of `dev.bench.loss`. Raises UsageError for another file."""
    try:
        return [_outcome(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} holds no rows of dev.bench.loss") from error


def _outcome(row: dict[str, Any]) -> Outcome:
    values = {name: math.nan if value is None else value for name, value in row["values"].items()}
    return Outcome(**row | {"values": values})


def outcomes_text(outcomes: Iterable[Outcome]) -> str:
    """JSON lines that `read_outcomes` reads."""
    return "".join(json_line(asdict(one)) for one in outcomes)
