"""The codecs to compare with. Each can code at full, half or quarter size (Lanczos both ways)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from arpc_codec.bench.watch import Command
from arpc_codec.metrics import ffmpeg

Image_u8 = NDArray[np.uint8]
Size = tuple[int, int]

SCALES = (1.0, 0.5, 0.25)


def scaled(size: Size, scale: float) -> Size:
    """(width, height) at a scale, rounded, at least 1x1."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resized(image: Image_u8, size: Size) -> Image_u8:
    """RGB uint8 HxWx3 at (width, height) by Lanczos; the same array when nothing changes."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


class Peer(ABC):
    """One codec with a ladder of settings. Bytes are those of a file that stands alone."""

    name: ClassVar[str]
    title: ClassVar[str]
    # A picture is not reduced to a shorter side than this.
    least_side: ClassVar[int] = 1

    def scales(self, size: Size) -> tuple[float, ...]:
        """Of full, half and quarter size those at which a picture of (width, height) can be coded."""
        return tuple(scale for scale in SCALES if scale == 1 or min(scaled(size, scale)) >= self.least_side)

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """Why this codec cannot run here, or None when it can."""

    @abstractmethod
    def version(self) -> str:
        """Library version and the options that all settings share; part of the key of kept results."""

    @abstractmethod
    def settings(self) -> Sequence[float]:
        """Quality settings, from the smallest file to larger ones."""

    @abstractmethod
    def _encode(self, image: Image_u8, setting: float) -> bytes: ...

    @abstractmethod
    def _decode(self, data: bytes) -> Image_u8: ...

    def encode(self, image: Image_u8, setting: float, scale: float = 1.0) -> bytes:
        """File of RGB uint8 HxWx3, reduced to `scale` (1, 1/2 or 1/4) of its size before coding."""
        return self._encode(resized(image, scaled((image.shape[1], image.shape[0]), scale)), setting)

    def decode(self, data: bytes, size: Size) -> Image_u8:
        """RGB uint8 picture of (width, height), enlarged by Lanczos when the file is smaller."""
        return resized(self._decode(data), size)

    def encode_command(self, image: Image_u8, setting: float, scale: float) -> Command | None:
        """The command that makes the file, of a picture that is reduced already; None for a library."""
        return None

    def decode_command(self, data: bytes) -> Command | None:
        """The command that makes the picture, not enlarged yet; None for a library."""
        return None


class _PillowPeer(Peer):
    """A codec that Pillow carries."""

    feature: ClassVar[str]
    format: ClassVar[str]

    @classmethod
    def missing(cls) -> str | None:
        return None if features.check(cls.feature) else f"this Pillow has no {cls.feature}"

    def version(self) -> str:
        return f"{self.feature} {features.version(self.feature)} {self._options(0)}"

    @abstractmethod
    def _options(self, setting: float) -> dict[str, Any]:
        """Keyword arguments of Pillow's save."""

    def _encode(self, image: Image_u8, setting: float) -> bytes:
        file = io.BytesIO()
        Image.fromarray(image).save(file, self.format, **self._options(setting))
        return file.getvalue()

    def _decode(self, data: bytes) -> Image_u8:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))


class Jpeg(_PillowPeer):
    name, title, feature, format = "jpeg", "JPEG (progressive, 4:2:0)", "jpg", "JPEG"

    def settings(self) -> Sequence[float]:
        return [*range(1, 20), *range(20, 60, 2), *range(60, 96, 3)]

    def _options(self, setting: float) -> dict[str, Any]:
        return {"quality": int(setting), "optimize": True, "progressive": True, "subsampling": "4:2:0"}


class WebP(_PillowPeer):
    name, title, feature, format = "webp", "WebP (method 6)", "webp", "WEBP"

    def settings(self) -> Sequence[float]:
        return [*range(20), *range(20, 60, 3), *range(60, 101, 5)]

    def _options(self, setting: float) -> dict[str, Any]:
        return {"quality": int(setting), "method": 6}


class Avif(_PillowPeer):
    """At speed 4 the files score within 0.15 dB of speed 0, three to ten times faster."""

    name, title, feature, format = "avif", "AVIF (aom, tune=ssim)", "avif", "AVIF"

    def __init__(self, speed: int = 4) -> None:
        self.speed = speed

    def settings(self) -> Sequence[float]:
        # libavif maps quality to 64 quantizers, so that most neighbouring qualities give one file.
        by_quantizer = {((100 - quality) * 63 + 50) // 100: quality for quality in range(100, -1, -1)}
        return [by_quantizer[q] for q in (*range(63, 40, -1), *range(40, 4, -2))]

    def _options(self, setting: float) -> dict[str, Any]:
        return {
            "quality": int(setting),
            "speed": self.speed,
            "subsampling": "4:2:0",
            "codec": "aom",
            "advanced": {"tune": "ssim"},
            "max_threads": 1,
        }


class Jpeg2000(_PillowPeer):
    """A bare codestream (.j2k), which decodes alone; the file format .jp2 takes 85 bytes more."""

    name, title, feature, format = "jp2", "JPEG 2000 (OpenJPEG, raw .j2k)", "jpg_2000", "JPEG2000"

    def settings(self) -> Sequence[float]:
        # How many times smaller than the samples; what would be below 150 bytes is one file of nothing but headers.
        return [round(2400 * 0.92**step, 2) for step in range(80)]

    def _options(self, setting: float) -> dict[str, Any]:
        # Without mct the three components are coded apart, which costs 1.5 dB; without a comment it writes 33 bytes.
        rate = {"quality_mode": "rates", "quality_layers": [setting]}
        return rate | {"irreversible": True, "mct": 1, "no_jp2": True, "comment": " "}


class Heic(Peer):
    """Its container alone takes about 400 bytes."""

    name, title = "heic", "HEIC (x265)"

    @classmethod
    def missing(cls) -> str | None:
        if importlib.util.find_spec("pillow_heif") is None:
            return "package pillow-heif is not installed"
        import pillow_heif

        return None if pillow_heif.libheif_info()["HEIF"] else "this pillow-heif has no HEVC encoder"

    def version(self) -> str:
        import pillow_heif

        libraries = pillow_heif.libheif_info()
        return f"libheif {libraries['libheif']} {libraries['HEIF']} 4:2:0"

    def settings(self) -> Sequence[float]:
        # Each quantizer has two qualities.
        return list(range(0, 101, 2))

    def _encode(self, image: Image_u8, setting: float) -> bytes:
        import pillow_heif

        file = io.BytesIO()
        pillow_heif.from_pillow(Image.fromarray(image)).save(file, quality=int(setting), chroma=420)
        return file.getvalue()

    def _decode(self, data: bytes) -> Image_u8:
        import pillow_heif

        return np.asarray(pillow_heif.open_heif(io.BytesIO(data)).to_pillow().convert("RGB"))


class JpegXL(Peer):
    name, title = "jxl", "JPEG XL (effort 9)"

    def __init__(self, effort: int = 9) -> None:
        self.effort = effort

    @classmethod
    def missing(cls) -> str | None:
        if importlib.util.find_spec("imagecodecs") is None:
            return "package imagecodecs is not installed"
        import imagecodecs

        return None if imagecodecs.JPEGXL.available else "this imagecodecs has no JPEG XL"

    def version(self) -> str:
        import imagecodecs

        return f"{imagecodecs.jpegxl_version()} effort {self.effort}"

    def settings(self) -> Sequence[float]:
        # Butteraugli distances; the encoder takes none above 25.
        return [round(25 * 0.93**step, 3) for step in range(48)]

    def _encode(self, image: Image_u8, setting: float) -> bytes:
        import imagecodecs

        data = imagecodecs.jpegxl_encode(
            np.ascontiguousarray(image), distance=setting, effort=self.effort, lossless=False, numthreads=1
        )
        return bytes(data)

    def _decode(self, data: bytes) -> Image_u8:
        import imagecodecs

        return np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1))


class Vvc(Peer):
    """H.266 by vvenc, a raw stream without any container.

    Preset slow takes twice the time of medium and lies on the same curve.
    """

    name, title = "vvc", "VVC (vvenc, raw .266)"
    least_side = 16

    _TO_YUV = (
        "scale=in_range=full:out_range=full:out_color_matrix=bt709"
        ":flags=lanczos+accurate_rnd+full_chroma_int,format=yuv420p10le"
    )
    _TO_RGB = (
        "scale=in_range=full:in_color_matrix=bt709:out_range=full"
        ":flags=lanczos+accurate_rnd+full_chroma_int,format=rgb24"
    )

    def __init__(self, preset: str = "medium") -> None:
        self.preset = preset

    @classmethod
    def missing(cls) -> str | None:
        return ffmpeg.missing("-encoders", "libvvenc")

    def version(self) -> str:
        return f"imageio-ffmpeg {importlib.metadata.version('imageio-ffmpeg')} {self.preset}"

    def settings(self) -> Sequence[float]:
        return list(range(63, 9, -1))

    def encode_command(self, image: Image_u8, setting: float, scale: float) -> Command:
        image = resized(image, scaled((image.shape[1], image.shape[0]), scale))
        height, width = image.shape[:2]
        image = np.pad(image, ((0, _coded(height) - height), (0, _coded(width) - width), (0, 0)), mode="edge")
        coder = ["-c:v", "libvvenc", "-qp", str(int(setting)), "-preset", self.preset, "-threads", "1"]
        target = ["-frames:v", "1", "-vf", self._TO_YUV, *coder, "-f", "vvc", "-"]
        return Command(ffmpeg.command([*ffmpeg.rgb_input(image), *target]), image.tobytes())

    def decode_command(self, data: bytes) -> Command:
        target = ["-frames:v", "1", "-vf", self._TO_RGB, "-c:v", "ppm", "-f", "image2pipe", "-"]
        return Command(ffmpeg.command(["-threads", "1", "-f", "vvc", "-i", "-", *target]), data)

    def _encode(self, image: Image_u8, setting: float) -> bytes:
        return ffmpeg.run(*self.encode_command(image, setting, 1.0)).stdout

    def _decode(self, data: bytes) -> Image_u8:
        return np.asarray(Image.open(io.BytesIO(ffmpeg.run(*self.decode_command(data)).stdout)).convert("RGB"))

    def decode(self, data: bytes, size: Size) -> Image_u8:
        """As `Peer.decode`; takes off what `_coded` put on."""
        image = self._decode(data)
        for scale in SCALES:
            width, height = scaled(size, scale)
            if image.shape[:2] == (_coded(height), _coded(width)):
                return resized(image[:height, :width], size)
        raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]} is no reduction of {size}")


def _coded(side: int) -> int:
    """Length at which VVC codes a side: 4:2:0 needs it even, vvenc not too short."""
    return max(Vvc.least_side, side + side % 2)


PEERS: Mapping[str, type[Peer]] = {peer.name: peer for peer in (Jpeg, WebP, Jpeg2000, Avif, Heic, JpegXL, Vvc)}
