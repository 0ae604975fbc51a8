"""Pictures of a report: decoded from the files that the bench keeps, as WebP that fits into one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arpc_codec.bench.ours import Codec
from arpc_codec.bench.peers import Peer
from arpc_codec.bench.run import Bench, Measured, Plan, Step, read_rgb
from arpc_codec.bench.store import FileKey

LARGEST = 1024
"""Longest side of a shown picture; of larger ones the middle is shown, pixel for pixel."""
QUALITY = 88
LIMIT = 19_000_000
"""Most characters that the pictures of one page take."""

ORIGINAL = "original"


@dataclass(frozen=True)
class Exhibit:
    """One picture and each decoded file of it that is compared, as WebP files of width x height.

    `files` by codec (the name of one of ours or of a peer), setting and scale.
    """

    picture: str
    width: int
    height: int
    original: bytes
    files: dict[FileKey, bytes]

    def file(self, codec: str, measured: Measured) -> bytes:
        """The decoded picture of a measured file. Raises KeyError when it is not shown."""
        return self.files[FileKey(codec, measured.setting, measured.scale)]

    def characters(self) -> int:
        """Size in a page."""
        return sum(4 * len(data) // 3 for data in {self.original, *self.files.values()})


def middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part that is shown of a picture HxWx3."""
    height, width = (min(side, LARGEST) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def webp(image: NDArray[np.uint8]) -> bytes:
    """WebP file of the shown part of RGB uint8 HxWx3."""
    file = io.BytesIO()
    Image.fromarray(middle(image)).save(file, "WEBP", quality=QUALITY, method=4)
    return file.getvalue()


def exhibit(plan: Plan, path: Path, steps: Sequence[Step]) -> Exhibit:
    """What a report shows of the picture in `path`; `steps` are those of this picture.

    Decoded pictures are kept like encoded files, so that a second report decodes nothing.
    """
    image = read_rgb(path)
    bench = Bench(plan, image)
    suffix = f".{LARGEST}-{QUALITY}.webp"
    original = bench.store.file(FileKey(ORIGINAL, 0, 1.0), lambda: webp(image), suffix)
    files: dict[FileKey, bytes] = {}
    for step in steps:
        for coder, measured in plan.files(step):
            key, data = bench.file(coder, measured.setting, measured.scale)
            shown = bench.store.file(key, partial(_shown, bench, coder, data), suffix)
            files[FileKey(coder.name, measured.setting, measured.scale)] = shown
    height, width = middle(image).shape[:2]
    return Exhibit(path.name, width, height, original, files)


def _shown(bench: Bench, coder: Codec | Peer, data: bytes) -> bytes:
    return webp(bench.decode(coder, data))


def fitting(exhibits: Iterable[Exhibit], limit: int = LIMIT) -> list[Exhibit]:
    """The first exhibits that together take at most `limit` characters of a page."""
    chosen: list[Exhibit] = []
    for exhibit in exhibits:
        limit -= exhibit.characters()
        if limit < 0:
            break
        chosen.append(exhibit)
    return chosen


@dataclass
class Gallery:
    """The pictures of a page as data URLs, each once."""

    urls: list[str] = field(default_factory=list)
    _places: dict[bytes, int] = field(default_factory=dict)

    def place(self, data: bytes) -> int:
        """Index of a WebP file in `urls`."""
        if data not in self._places:
            self._places[data] = len(self.urls)
            self.urls.append("data:image/webp;base64," + base64.b64encode(data).decode("ascii"))
        return self._places[data]
