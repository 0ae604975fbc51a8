"""Our lossless codec beside the others (`arpc bench --codec hpac`): every file is decoded and compared.

Pictures are grouped by what stands before the first hyphen of their names.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arpc_codec.bench.lossless_coders import LOSSLESS_PEERS, Hpac, LosslessCoder, Samples
from arpc_codec.bench.sheet import csv_text
from arpc_codec.bench.store import FileKey, Store, codec_id, picture_id
from arpc_codec.bench.times import COST_COLUMNS, WAYS, Cost, as_command, cells, kept
from arpc_codec.errors import ArpcError
from arpc_codec.exact.threads import one_thread
from arpc_codec.imageio import read_exact


@dataclass(frozen=True)
class Row:
    """One picture through one codec: bytes of its samples and of the file, and seconds times cores."""

    group: str
    picture: str
    codec: str
    title: str
    samples: int
    raw: int
    bytes: int
    encode: Cost
    decode: Cost


@dataclass(frozen=True)
class Summary:
    """All pictures of a group through one codec; speeds in megabytes of samples a second and core."""

    group: str
    codec: str
    title: str
    files: int
    bits_a_sample: float
    bytes: int
    encode_speed: float
    decode_speed: float


_PLACE = ("group", "picture", "codec", "title", "samples", "raw", "bytes")
COLUMNS = (*_PLACE, "bits_a_sample", *COST_COLUMNS)


def _there_and_back(coder: LosslessCoder, samples: Samples) -> tuple[bytes, list[float]]:
    """The file, and the seconds of encoding and decoding times cores. Raises ArpcError when samples changed."""
    with one_thread():
        start = time.perf_counter()
        data = coder.encode(samples)
        encoded = time.perf_counter()
        back = coder.decode(data)
        end = time.perf_counter()
    if not np.array_equal(_in_full(back, samples), samples):
        raise ArpcError(f"{coder.title} changed samples")
    return data, [coder.cores * seconds for seconds in (encoded - start, end - encoded)]


def _in_full(back: Samples, samples: Samples) -> Samples:
    """What was decoded, with as many channels and bits as the samples HxWxC had.

    WebP makes three channels of grey; PNG leaves out what says nothing: equal colours, opaque alpha, a byte said twice.
    """
    full = back.reshape(*samples.shape[:2], -1)
    if full.dtype.itemsize < samples.dtype.itemsize:
        full = full * np.uint16(257)
    if full.shape[2] % 2 > samples.shape[2] % 2:
        full = np.concatenate([full, np.full_like(full[..., :1], np.iinfo(full.dtype).max)], 2)
    if full.shape[2] < samples.shape[2]:
        full = full[..., [0, 0, 0, 1][: samples.shape[2]]]
    return full[..., : samples.shape[2]]


def measure(cache: Path, path: Path, coder: LosslessCoder, commands: bool = False) -> Row | None:
    """One picture through one codec, from the cache where it was before; None when the format lacks its samples.

    commands: whether ours is measured as a command too. Raises ArpcError when samples changed.
    """
    samples = read_exact(path).samples
    if not coder.takes(samples):
        return None
    store = Store(cache, picture_id(samples))
    key = FileKey(codec_id(coder.name, coder.version()), coder.setting, 1.0)

    def take() -> list[float]:
        data, seconds = _there_and_back(coder, samples)
        store.file(key, lambda: data)
        return seconds

    seconds = kept(store, key, [f"{way} core seconds" for way in WAYS], take)
    data = store.file(key, lambda: coder.encode(samples))
    whole: Sequence[Sequence[float | None]] = ((), ())
    if commands and isinstance(coder, Hpac):
        both = zip(WAYS, (coder.encode_command(samples), coder.decode_command(data)), strict=True)
        whole = [as_command(store, key, way, command) for way, command in both]
    encode, decode = (Cost(inside, *outside) for inside, outside in zip(seconds, whole, strict=True))
    group = path.stem.split("-")[0] if "-" in path.stem else path.parent.name
    return Row(group, path.name, coder.name, coder.title, samples.size, samples.nbytes, len(data), encode, decode)


def present(names: Iterable[str]) -> tuple[list[LosslessCoder], dict[str, str]]:
    """Those of `LOSSLESS_PEERS` that run here, and why the others do not, by title."""
    reasons = {LOSSLESS_PEERS[name]: LOSSLESS_PEERS[name].missing() for name in names}
    missing = {peer.title: reason for peer, reason in reasons.items() if reason is not None}
    return [peer() for peer, reason in reasons.items() if reason is None], missing


def summaries(rows: Sequence[Row]) -> list[Summary]:
    """One for each group and codec, in the order of the rows."""
    found = []
    for group in dict.fromkeys(row.group for row in rows):
        for title in dict.fromkeys(row.title for row in rows):
            own = [row for row in rows if (row.group, row.title) == (group, title)]
            if own:
                bits = float(np.mean([8 * row.bytes / row.samples for row in own]))
                raw = sum(row.raw for row in own) / 1e6
                seconds = zip(*((row.encode.seconds or 0, row.decode.seconds or 0) for row in own), strict=True)
                speeds = (raw / sum(each) for each in seconds)
                size = sum(row.bytes for row in own)
                found.append(Summary(group, own[0].codec, title, len(own), bits, size, *speeds))
    return found


def table(rows: Sequence[Row]) -> str:
    """Markdown: for each group and codec the mean bits a sample, all bytes, megabytes of samples a second and core."""
    lines = [
        "| pictures | codec | files | bits a sample | bytes | encode MB/s/core | decode MB/s/core |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {s.group} | {s.title} | {s.files} | {s.bits_a_sample:.3f} | {s.bytes} | {s.encode_speed:.3g} | "
        f"{s.decode_speed:.3g} |"
        for s in summaries(rows)
    ]
    return "\n".join(lines) + "\n"


def lossless_csv(rows: Iterable[Row]) -> str:
    """A row for each file; `COLUMNS` is the first row, `encode_seconds` and `decode_seconds` are times cores."""

    def line(row: Row) -> dict[str, object]:
        place = {name: getattr(row, name) for name in _PLACE} | {"bits_a_sample": 8 * row.bytes / row.samples}
        return place | cells(row.encode, row.decode)

    return csv_text(COLUMNS, map(line, rows))
