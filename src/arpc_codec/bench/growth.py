"""How time and memory grow with the picture: rows of `dev.bench.scale`, exponents, and what is worse than linear."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from arpc_codec.errors import ArpcError

LINEAR = 1.05
"""Cost that grows with a higher power of the pixels is worse than linear."""
FITTED = 512 * 512
"""Pixels from which on sizes take part in a fit."""
ENOUGH = 3
"""Sizes that a fit needs: over less, the noise of a clock is as large as what is looked for."""


@dataclass(frozen=True)
class Cost:
    """One encoding or decoding in a process of its own, as `dev.bench.probe` prints it: seconds and MiB."""

    start_s: float
    start_mib: float
    seconds: float
    peak_mib: float
    calls: int


@dataclass(frozen=True)
class Row:
    """One file: `k` scales or stages were asked for (0: all), `parts` are in it. `version`: as `version_of` has it."""

    version: str
    codec: str
    width: int
    height: int
    k: int
    parts: int
    bytes: int
    encode: Cost
    decode: Cost

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def setting(self) -> tuple[str, str, int, int, int]:
        return self.version, self.codec, self.width, self.height, self.k


@dataclass(frozen=True)
class Quantity:
    """What is drawn and fitted; `part` and `memory` say where it stands in a row."""

    title: str
    unit: str
    part: str
    memory: bool

    def cost(self, row: Row) -> Cost:
        cost: Cost = getattr(row, self.part)
        return cost

    def value(self, row: Row) -> float:
        """Seconds of a call, or peak MiB of the process."""
        return self.cost(row).peak_mib if self.memory else self.cost(row).seconds

    def fixed(self, row: Row) -> float:
        """What a process pays before the picture: seconds of its start, or MiB with the model loaded."""
        return self.cost(row).start_mib if self.memory else self.cost(row).start_s

    def growing(self, row: Row) -> float:
        """What depends on the picture: seconds of a call, or MiB above the fixed ones."""
        return self.value(row) - self.fixed(row) if self.memory else self.value(row)


QUANTITIES = (
    Quantity("Encoding time", "s", "encode", False),
    Quantity("Decoding time", "s", "decode", False),
    Quantity("Encoding memory", "MiB", "encode", True),
    Quantity("Decoding memory", "MiB", "decode", True),
)


@dataclass(frozen=True)
class Fit:
    """Growth of one quantity of one codec with the pixels; `exponent` is None when `sizes` are too few."""

    codec: str
    quantity: Quantity
    rows: tuple[Row, ...]
    exponent: float | None
    sizes: int

    @property
    def fixed(self) -> float:
        """Median over the sizes."""
        return float(np.median([self.quantity.fixed(row) for row in self.rows]))

    @property
    def worse_than_linear(self) -> bool:
        return self.exponent is not None and self.exponent > LINEAR

    def __str__(self) -> str:
        slope = "unknown" if self.exponent is None else f"{self.exponent:.2f}"
        return f"{self.codec}, {self.quantity.title.lower()}, {slope}"


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """Slope of log y over log x by least squares; None with less than `ENOUGH` different x."""
    if len({x for x, _ in points}) < ENOUGH:
        return None
    x, y = np.log(points).T
    return float(np.polyfit(x, y, 1)[0])


def codecs_of(rows: Iterable[Row]) -> list[str]:
    """Those that have sent everything of some picture."""
    return list(dict.fromkeys(row.codec for row in rows if not row.k))


def whole(rows: Iterable[Row], codec: str) -> list[Row]:
    """Rows of a codec with everything sent, by growing size."""
    return sorted((row for row in rows if row.codec == codec and not row.k), key=lambda row: row.pixels)


def by_parts(rows: Iterable[Row], codec: str) -> list[Row]:
    """Rows of a codec at the size that was measured last with several numbers of scales or stages, by that number."""
    own = [row for row in rows if row.codec == codec]
    at = next((row.size for row in reversed(own) if row.k), None)
    return sorted((row for row in own if row.size == at), key=lambda row: row.parts)


def fits(rows: Sequence[Row]) -> list[Fit]:
    """Every quantity of every codec."""
    found = []
    for codec in codecs_of(rows):
        own = whole(rows, codec)
        for quantity in QUANTITIES:
            grown = [(row.pixels, quantity.growing(row)) for row in own if row.pixels >= FITTED]
            points = [(pixels, cost) for pixels, cost in grown if cost > 0]
            found.append(Fit(codec, quantity, tuple(own), exponent(points), len(points)))
    return found


def verdict(found: Sequence[Fit]) -> str:
    """In words: what grows faster than the pixels, or that nothing does."""
    fitted = [fit for fit in found if fit.exponent is not None]
    if not fitted:
        return f"Too few sizes from {isqrt(FITTED)}x{isqrt(FITTED)} on to say how cost grows."
    worse = [fit for fit in fitted if fit.worse_than_linear]
    if worse:
        return f"Worse than linear in the pixels (exponent above {LINEAR}): {'; '.join(map(str, worse))}."
    most = max(fitted, key=lambda fit: fit.exponent or 0)
    return f"Nothing grows faster than the pixels: no exponent is above {LINEAR}; the largest: {most}."


def read_rows(path: Path) -> list[Row]:
    """All rows of a file of `dev.bench.scale`. Raises ArpcError for another file."""
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
        if not isinstance(entries, list):
            raise ValueError("not a list")
        return [
            Row(**entry | {"encode": Cost(**entry["encode"]), "decode": Cost(**entry["decode"])}) for entry in entries
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise ArpcError(f"{path}: no rows of dev.bench.scale: {error}") from error


def rows_text(rows: Iterable[Row]) -> str:
    """JSON that `read_rows` reads, a line for each row."""
    return "[\n" + ",\n".join(json.dumps(asdict(row)) for row in rows) + "\n]\n"


def newest(rows: Sequence[Row]) -> list[Row]:
    """Rows of the version of each codec that was measured last."""
    last = {row.codec: row.version for row in rows}
    return [row for row in rows if row.version == last[row.codec]]
