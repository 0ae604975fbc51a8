"""Numbers that papers state, with where they come from. Never mixed with measured ones."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

QUANTITIES: Mapping[str, str] = {
    "bpp": "bits a pixel",
    "bits_a_sample": "bits a sample",
    "lpips_alex": "LPIPS-Alex",
    "dists": "DISTS",
    "fid": "FID",
    "psnr": "PSNR, dB",
    "bd_rate_lpips": "BD-rate by LPIPS, %",
    "bd_rate_fid": "BD-rate by FID, %",
    "bd_rate_dists": "BD-rate by DISTS, %",
    "bd_rate_pieapp": "BD-rate by PieAPP, %",
    "encode_ms": "encoding, ms",
    "decode_ms": "decoding, ms",
    "gflops": "GFLOPs",
    "parameters_m": "parameters, millions",
}
"""Name of each quantity and how it is called, with its unit."""


@dataclass(frozen=True)
class Published:
    """What one source states about one codec on one dataset.

    `values` by the names of `QUANTITIES`; `source` is the paper or repository; `against` the codec that a BD-rate is
    relative to.
    """

    codec: str
    dataset: str
    values: dict[str, float]
    source: str
    against: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("codec", "dataset", "source", "against", "note"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is no text")
        for name in ("codec", "dataset", "source", "values"):
            if not getattr(self, name):
                raise ValueError(f"{name} is missing")
        for name, value in self.values.items():
            if name not in QUANTITIES:
                raise ValueError(f"{name!r} is none of {', '.join(QUANTITIES)}")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{name} is {value!r}, not a number")
        if any(name.startswith("bd_rate") for name in self.values) != bool(self.against):
            raise ValueError("a BD-rate, and nothing else, names the codec that it is against")


def parse(text: str) -> tuple[Published, ...]:
    """Entries of a JSON list. Raises ValueError, with the number of the bad entry."""
    entries: list[dict[str, Any]] = json.loads(text)
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(Published(**entry))
        except (TypeError, ValueError) as error:
            raise ValueError(f"published entry {number}: {error}") from error
    return tuple(found)


def published() -> tuple[Published, ...]:
    """All entries that come with the package."""
    return parse(files("arpc_codec.bench").joinpath("published.json").read_text("utf-8"))


def dataset_of(pictures: Iterable[str]) -> str:
    """The dataset that file names tell, "" for none."""
    return "Kodak" if all(name.startswith("kodim") for name in pictures) else ""


def points(metric: str, dataset: str) -> list[tuple[float, float, Published]]:
    """(bits a pixel, value, entry) of each entry that states both on a dataset, such as "Kodak"."""
    return [
        (entry.values["bpp"], entry.values[metric], entry)
        for entry in published()
        if entry.dataset == dataset and {"bpp", metric} <= entry.values.keys()
    ]
