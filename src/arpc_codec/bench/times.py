"""What coding costs: seconds inside a running process, and seconds and memory as a command, always with one thread."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from arpc_codec.bench.ours import Codec
from arpc_codec.bench.peers import Peer
from arpc_codec.bench.run import Bench, Measured, Plan, Step, read_rgb
from arpc_codec.bench.sheet import csv_text
from arpc_codec.bench.store import FileKey, Store
from arpc_codec.bench.watch import Command, watch
from arpc_codec.exact.threads import one_thread

Call = Callable[[], object]
Way = tuple[Call | None, Command | None]
RUNS = 3
"""Calls of which the median counts, after one that loads."""
WAYS = ("encode", "decode")
# A change of how times are taken.
_VERSION = 2


@dataclass(frozen=True)
class Cost:
    """Coding one picture: `seconds` inside a running process; as a command its seconds and most MiB.

    None for what a codec is not, library or command, and for what was not measured.
    """

    seconds: float | None = None
    command_seconds: float | None = None
    mib: float | None = None

    @property
    def least(self) -> float | None:
        """Seconds without the start of a process where that is possible."""
        return self.command_seconds if self.seconds is None else self.seconds


@dataclass(frozen=True)
class Timing:
    """What one file costs of a picture; `ours` and `k` as `codec` and `k` of the step that it belongs to."""

    picture: str
    pixels: int
    ours: str
    k: float
    codec: str
    setting: float
    scale: float
    bytes: int
    encode: Cost
    decode: Cost


_PLACE = ("picture", "pixels", "ours", "k", "codec", "setting", "scale", "bytes")
COST_COLUMNS = tuple(f"{way}_{name}" for way in WAYS for name in asdict(Cost()))
COLUMNS = (*_PLACE, *COST_COLUMNS)


def machine() -> str:
    """The processor and how many of its cores are here."""
    listed = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", listed.read_text("utf-8")) if listed.exists() else None
    return f"{named[1] if named else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def kept(
    store: Store, key: FileKey, names: Iterable[str], take: Callable[[], Iterable[float]]
) -> Sequence[float | None]:
    """Times of a file on this machine by their names, taken when one of them is not kept yet."""
    here = [f"{name} on {machine()}" for name in names]
    if not all(store.has(key, name, _VERSION) for name in here):
        for name, value in zip(here, take(), strict=True):
            store.keep(key, name, _VERSION, value)
    return [store.value(key, name, _VERSION) for name in here]


def as_command(store: Store, key: FileKey, way: str, command: Command) -> Sequence[float | None]:
    """Seconds and most MiB of a command, run once."""
    return kept(store, key, (f"{way} command seconds", f"{way} command MiB"), lambda: watch(command))


def milliseconds(call: Call, runs: int) -> tuple[float, ...]:
    """(median, least) time of `runs` calls, after one that does not count."""
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return median(times), min(times)


def _median(call: Call) -> list[float]:
    return [milliseconds(call, RUNS)[0] / 1000]


def _cost(store: Store, key: FileKey, way: str, call: Call | None, command: Command | None) -> Cost:
    seconds = kept(store, key, (f"{way} seconds",), partial(_median, call)) if call else (None,)
    return Cost(*seconds, *(as_command(store, key, way, command) if command else ()))


def _ways(bench: Bench, coder: Codec | Peer, file: Measured, data: bytes) -> tuple[Way, Way]:
    """How a file is encoded and decoded inside this process, and by which command; None where there is no such way."""
    decode = partial(bench.decode, coder, data)
    if not isinstance(coder, Peer):
        k = int(file.setting)
        encode = partial(coder.encode_anew, bench.image, k), coder.encode_command(bench.image, k)
        return encode, (decode, coder.decode_command(data))
    command = coder.encode_command(bench.image, file.setting, file.scale)
    if command is not None:
        return (None, command), (None, coder.decode_command(data))
    return (partial(coder.encode, bench.image, file.setting, file.scale), None), (decode, None)


def time_file(plan: Plan, path: Path, step: Step, coder: Codec | Peer, file: Measured) -> Timing:
    """What a file of a step of the picture in `path` costs."""
    bench = Bench(plan, read_rgb(path))
    key, data = bench.file(coder, file.setting, file.scale)
    with one_thread():
        ways = zip(WAYS, _ways(bench, coder, file, data), strict=True)
        encode, decode = (_cost(bench.store, key, name, *way) for name, way in ways)
    place = (step.picture, step.pixels, step.codec, step.k, coder.name)
    return Timing(*place, file.setting, file.scale, file.bytes, encode, decode)


def cells(encode: Cost, decode: Cost) -> dict[str, float | None]:
    """Costs by `COST_COLUMNS`."""
    return dict(zip(COST_COLUMNS, (*astuple(encode), *astuple(decode)), strict=True))


def times_csv(times: Iterable[Timing]) -> str:
    """A row for each file; `COLUMNS` is the first row, and what was not measured is empty."""
    rows = ({name: getattr(t, name) for name in _PLACE} | cells(t.encode, t.decode) for t in times)
    return csv_text(COLUMNS, rows)
