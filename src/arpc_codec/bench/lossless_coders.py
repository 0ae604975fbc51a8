"""The lossless codecs: ours, and those to compare with. Every one gives back each sample of 8 or 16 bits."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from arpc_codec.bench.ours import arpc_command, version_of
from arpc_codec.bench.watch import Command
from arpc_codec.container import read
from arpc_codec.imageio import ExactPicture, read_exact, write_exact
from arpc_codec.loading import load_lossless, model_for

Samples = NDArray[np.uint8] | NDArray[np.uint16]


class LosslessCoder(ABC):
    """One lossless codec. Bytes are those of a file that stands alone."""

    name: str
    title: str
    setting = 0.0
    cores = 1

    @abstractmethod
    def version(self) -> str:
        """Changes whenever files may change; part of the key of kept results."""

    @abstractmethod
    def encode(self, samples: Samples) -> bytes:
        """File of samples HxWxC that the codec takes."""

    @abstractmethod
    def decode(self, data: bytes) -> Samples:
        """The samples; axes of grey pictures may be missing, or grey repeated."""

    def takes(self, samples: Samples) -> bool:
        """Whether the format has such samples."""
        return True


class LosslessPeer(LosslessCoder):
    """A codec to compare with."""

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """Why this codec cannot run here, or None when it can."""


def _lacks(module: str, package: str) -> str | None:
    return None if importlib.util.find_spec(module) else f"package {package} is not installed"


class Png(LosslessPeer):
    name, title = "png", "PNG (oxipng -o 4)"

    @classmethod
    def missing(cls) -> str | None:
        return _lacks("oxipng", "pyoxipng")

    def version(self) -> str:
        return f"pyoxipng {importlib.metadata.version('pyoxipng')}"

    def encode(self, samples: Samples) -> bytes:
        os.environ["RAYON_NUM_THREADS"] = "1"  # it takes all cores otherwise
        import oxipng

        return bytes(oxipng.optimize_from_memory(write_exact(ExactPicture(samples)), level=4))

    def decode(self, data: bytes) -> Samples:
        return read_exact(data).samples


class _OfImagecodecs(LosslessPeer):
    @classmethod
    def missing(cls) -> str | None:
        return _lacks("imagecodecs", "imagecodecs")


class WebP(_OfImagecodecs):
    name, title = "webp", "WebP (lossless, method 6)"

    def version(self) -> str:
        import imagecodecs

        return str(imagecodecs.webp_version())

    def takes(self, samples: Samples) -> bool:
        return samples.dtype == np.uint8 and samples.shape[2] != 2

    def encode(self, samples: Samples) -> bytes:
        import imagecodecs

        rgb = np.ascontiguousarray(np.repeat(samples, 3, 2)) if samples.shape[2] == 1 else samples
        return bytes(imagecodecs.webp_encode(rgb, lossless=True, level=100, method=6))

    def decode(self, data: bytes) -> Samples:
        import imagecodecs

        samples: Samples = imagecodecs.webp_decode(data)
        return samples


class JpegXL(_OfImagecodecs):
    name, title, effort = "jxl", "JPEG XL (-d 0 -e 9)", 9

    def version(self) -> str:
        import imagecodecs

        return str(imagecodecs.jpegxl_version())

    def encode(self, samples: Samples) -> bytes:
        import imagecodecs

        squeezed = samples[..., 0] if samples.shape[2] == 1 else samples
        return bytes(imagecodecs.jpegxl_encode(squeezed, lossless=True, effort=self.effort, numthreads=1))

    def decode(self, data: bytes) -> Samples:
        import imagecodecs

        samples: Samples = imagecodecs.jpegxl_decode(data, numthreads=1)
        return samples


class JpegXL7(JpegXL):
    """At the effort that cjxl takes unless told otherwise."""

    name, title, effort = "jxl7", "JPEG XL (-d 0 -e 7)", 7


class Flif(LosslessPeer):
    """The command of that name, from and to PNG. Of grey with alpha it makes colour."""

    name, title = "flif", "FLIF (flif -e -K)"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("flif") else "command flif is not on the path"

    def version(self) -> str:
        said = subprocess.run(["flif", "--version"], capture_output=True, text=True, check=True).stdout
        return " ".join(re.findall(r"\d+\.\d+|\[.*?\]", said)[:2])

    def takes(self, samples: Samples) -> bool:
        return samples.shape[2] != 2

    def encode(self, samples: Samples) -> bytes:
        return self._convert("-eK", write_exact(ExactPicture(samples)), ".png", ".flif")

    def decode(self, data: bytes) -> Samples:
        return read_exact(self._convert("-d", data, ".flif", ".png")).samples

    def _convert(self, way: str, data: bytes, source: str, target: str) -> bytes:
        with TemporaryDirectory() as folder:
            files = [Path(folder, f"file{suffix}") for suffix in (source, target)]
            files[0].write_bytes(data)
            subprocess.run(["flif", way, *files], capture_output=True, check=True)
            return files[1].read_bytes()


LOSSLESS_PEERS: Mapping[str, type[LosslessPeer]] = {peer.name: peer for peer in (Png, WebP, JpegXL7, JpegXL, Flif)}


class Hpac(LosslessCoder):
    """Ours, with so many steps of adaptation, by so many threads."""

    name = "hpac"

    def __init__(self, model: str | None, adapt: int, hands: int) -> None:
        """Loads the model. Raises ModelError when it is missing or belongs to another codec."""
        self.model, self.setting, self.cores = model_for(self.name, model), adapt, hands
        self._options = ["--lossless", *(["--adapt", str(adapt)] if adapt else [])]
        self.title = " ".join(["arpc", *self._options])
        self._codec = load_lossless(self.model, "cpu")

    def version(self) -> str:
        return version_of(self.model)

    def encode(self, samples: Samples) -> bytes:
        return self._codec.encode(ExactPicture(samples), adapt=int(self.setting), hands=self.cores)

    def decode(self, data: bytes) -> Samples:
        return self._codec.decode(read(data), hands=self.cores).picture.samples

    def encode_command(self, samples: Samples) -> Command:
        """The command that makes the same file."""
        pixels = write_exact(ExactPicture(samples), "pam")
        return arpc_command(pixels, "encode", *self._options, "--model", self.model)

    def decode_command(self, data: bytes) -> Command:
        """The command that makes the same samples."""
        return arpc_command(data, "decode", "--format", "pam")
