"""What a bench has encoded and measured, kept on disk so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arpc_codec.files import write_file


def picture_id(image: NDArray[np.uint8]) -> str:
    """16 hexadecimal digits that name a picture by its size and pixels."""
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()[:16]


def codec_id(name: str, version: str) -> str:
    """Name and digest of a version, fit for a file name."""
    return f"{name}-{hashlib.sha256(version.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class FileKey:
    """One encoded file of one picture."""

    codec: str
    setting: float
    scale: float

    @property
    def path(self) -> str:
        return f"{self.codec}/{self.setting:g}-{self.scale:g}"


class Store:
    """Files and measured values of one picture: `<id>/<codec>/<setting>-<scale>.bin` and `<id>.jsonl`.

    What a report shows of a file lies beside it, with a suffix of its own.

    A line of the .jsonl is one value, keyed by codec, setting, scale, metric and metric version; JSON has no infinity,
    so that one is text. Only one process may write a picture's store at a time.
    """

    def __init__(self, folder: Path, picture: str) -> None:
        self._files = folder / picture
        self._lines = folder / f"{picture}.jsonl"
        self._values: dict[tuple[str, float, float, str, int], float | None] = {}
        self._files.mkdir(parents=True, exist_ok=True)
        self._load()

    def _load(self) -> None:
        if not self._lines.exists():
            return
        text = self._lines.read_text("utf-8")
        for line in text.splitlines():
            try:
                row = json.loads(line)
                key = (row["codec"], row["setting"], row["scale"], row["metric"], row["version"])
                self._values[key] = None if row["value"] is None else float(row["value"])
            except (ValueError, KeyError):
                # A run that was killed while writing leaves a torn line: its value is measured again.
                continue
        if not text.endswith("\n"):
            self._append("")

    def _append(self, line: str) -> None:
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def file(self, key: FileKey, make: Callable[[], bytes], suffix: str = ".bin") -> bytes:
        """Bytes of an encoded file, made by `make` when they are not kept yet."""
        path = self._files / f"{key.path}{suffix}"
        if path.exists():
            return path.read_bytes()
        data = make()
        path.parent.mkdir(exist_ok=True)
        write_file(data, path, force=True)
        return data

    def has(self, key: FileKey, metric: str, version: int) -> bool:
        """Whether the value is kept."""
        return (key.codec, key.setting, key.scale, metric, version) in self._values

    def value(self, key: FileKey, metric: str, version: int) -> float | None:
        """A kept value; None where the metric cannot judge the picture. Raises KeyError when not kept."""
        return self._values[key.codec, key.setting, key.scale, metric, version]

    def keep(self, key: FileKey, metric: str, version: int, value: float | None) -> None:
        """Keep a measured value."""
        self._values[key.codec, key.setting, key.scale, metric, version] = value
        row = {"codec": key.codec, "setting": key.setting, "scale": key.scale, "metric": metric, "version": version}
        told = value if value is None or math.isfinite(value) else str(value)
        self._append(json.dumps(row | {"value": told}))
