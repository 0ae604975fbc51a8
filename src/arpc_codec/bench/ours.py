"""This package's codecs, as the bench sees them: real files through the public API."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import arpc_codec
from arpc_codec.bench.watch import Command
from arpc_codec.container import truncate
from arpc_codec.imageio import ExactPicture, write_exact
from arpc_codec.loading import load, model_for
from arpc_codec.zoo.registry import find

Image_u8 = NDArray[np.uint8]

CODECS = ("arpc", "progic")
"""Those whose files can be cut after each k."""

# Folders whose code cannot change a file or a decoded picture.
_NO_INFLUENCE = ("bench", "cli", "metrics", "train", "weights", "__pycache__")


class Codec(Protocol):
    """A codec under test: files at steps k = 1, 2, ...; `name` tells it from others of the same `codec`."""

    name: str
    codec: str

    def version(self) -> str:
        """Changes whenever files or decoded pictures may change."""

    def ks(self, image: Image_u8) -> Sequence[int]:
        """The k whose files of this picture take part."""

    def encode(self, image: Image_u8, k: int) -> bytes:
        """File of RGB uint8 HxWx3 with the first k steps."""

    def decode(self, data: bytes) -> Image_u8:
        """RGB uint8 HxWx3."""

    def encode_anew(self, image: Image_u8, k: int) -> bytes:
        """As `encode`, with nothing kept from an earlier call: what is timed."""

    def encode_command(self, image: Image_u8, k: int) -> Command:
        """The command that makes the same file."""

    def decode_command(self, data: bytes) -> Command:
        """The command that makes the same picture."""


def arpc_command(data: bytes, *words: str) -> Command:
    """`arpc WORDS - -o -` with `data` on its stdin."""
    return Command([sys.executable, "-m", "arpc_codec", *words, "-", "-o", "-"], data)


@lru_cache(maxsize=1)
def _code_digest() -> str:
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        inside = path.relative_to(root)
        if not set(inside.parts) & set(_NO_INFLUENCE) and path.suffix != ".pyc":
            digest.update(inside.as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def version_of(model: str) -> str:
    """Digests of the package's code and of a model, so that results of older ones are not reused.

    Raises ModelError for a missing model.
    """
    return f"{_code_digest()} {find(model).fingerprint}"


class Ours:
    """A codec of scales or stages; k is how many are sent."""

    def __init__(
        self, codec: str, model: str | None = None, fill: str = "mean", ks: Sequence[int] = (), name: str = ""
    ) -> None:
        """codec: one of `CODECS`, and the name if there is none; ks: of what a picture has, none for all.

        Raises ModelError for a missing model.
        """
        self.codec, self.name, self.model = codec, name or codec, model_for(codec, model)
        self.fill, self.wanted = fill, ks
        self._last: tuple[bytes, bytes] | None = None

    def version(self) -> str:
        return f"{version_of(self.model)} {self.fill}"

    def ks(self, image: Image_u8) -> Sequence[int]:
        total = self.total(*image.shape[:2])
        return [k for k in self.wanted or range(1, total + 1) if k <= total]

    def total(self, height: int, width: int) -> int:
        """How many scales or stages a picture of that size has."""
        from arpc_codec.codecs.progic import ProgicCodec

        codec = load(self.model, "cpu", self.codec)
        return codec.config.stages if isinstance(codec, ProgicCodec) else len(codec.layout(height, width).schedule)

    def encode(self, image: Image_u8, k: int) -> bytes:
        # Byte for byte what encoding k of them gives (a test holds this), without coding the picture k times.
        return truncate(self._whole(image), scales=k)

    def _whole(self, image: Image_u8) -> bytes:
        """File of all scales; that of the last picture is kept."""
        key = hashlib.sha256(image.tobytes()).digest()
        if self._last is None or self._last[0] != key:
            self._last = key, arpc_codec.encode(image, codec=self.codec, model=self.model)
        return self._last[1]

    def decode(self, data: bytes) -> Image_u8:
        return np.asarray(arpc_codec.decode(data, fill=self.fill).convert("RGB"))

    def encode_anew(self, image: Image_u8, k: int) -> bytes:
        return arpc_codec.encode(image, codec=self.codec, model=self.model, scales=k)

    def encode_command(self, image: Image_u8, k: int) -> Command:
        # PPM costs next to nothing to read and write, so that the codec is what is timed.
        pixels = write_exact(ExactPicture(image), "ppm")
        return arpc_command(pixels, "encode", "--codec", self.codec, "--model", self.model, "--scales", str(k))

    def decode_command(self, data: bytes) -> Command:
        return arpc_command(data, "decode", "--fill", self.fill, "--format", "ppm")
