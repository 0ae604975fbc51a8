"""Pictures after packets were lost: measured rows, as `dev.bench.loss` writes and `arpc bench --loss` draws them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from arpc_codec.errors import UsageError


@dataclass(frozen=True)
class Outcome:
    """Means over pictures and trials of one way of sending at one loss rate. bytes: of all packets."""

    loss: float
    way: str
    bytes: float
    values: dict[str, float]


def read_outcomes(path: Path) -> list[Outcome]:
    """All rows of a file of `dev.bench.loss`. Raises UsageError for another file."""
    try:
        return [Outcome(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} holds no rows of dev.bench.loss") from error


def outcomes_text(outcomes: Iterable[Outcome]) -> str:
    """JSON lines that `read_outcomes` reads."""
    return "".join(json.dumps(asdict(one)) + "\n" for one in outcomes)
