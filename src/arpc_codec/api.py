"""A model, loaded once, for many pictures; and the pictures of a file that is still arriving."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, TypedDict

import arpc_codec
from arpc_codec.codecs.filling import Filling
from arpc_codec.container import MAX_PIXELS, Container, CutHeaderError, Info, info, read
from arpc_codec.container import Codec as Names
from arpc_codec.errors import FormatError, ModelError, TruncatedError, UsageError
from arpc_codec.files import Readable, contents, octets
from arpc_codec.imageio import from_chunks, to_image
from arpc_codec.loading import DEFAULT_MODELS, choose, load, load_for, load_lossless
from arpc_codec.rate import parts_wanted, rate_bytes
from arpc_codec.warned import warn
from arpc_codec.zoo.registry import find

if TYPE_CHECKING:
    from PIL import Image
    from typing_extensions import Unpack

    from arpc_codec import Source
    from arpc_codec.codecs.lossy import Decoded
    from arpc_codec.tile import Region

# Pictures of one size that go through a network together, and the options with which they can.
BATCH = 8
TOGETHER = {"scales", "stages", "target_bytes", "target_bpp", "verify"}


class Coding(TypedDict, total=False):
    """Options of encoding, which `arpc_codec.encode` explains."""

    scales: int | None
    stages: int | None
    target_bytes: int | None
    target_bpp: float | None
    adapt: int
    caption: str
    verify: bool
    portable: bool
    guard: float | None
    keep: Collection[str]
    max_pixels: int


class FillOptions(TypedDict, total=False):
    """How codec arpc makes up what was not sent, which `arpc_codec.decode` explains."""

    fill: str
    seed: int
    guidance: float | None


class Decoding(FillOptions, total=False):
    """Options of decoding, which `arpc_codec.decode` explains."""

    scales: int | None
    stages: int | None
    region: Region | None
    allow_truncated: bool
    max_pixels: int


class Codec:
    """Encoder and decoder of one model. Threads may share it."""

    def __init__(self, codec: str, model: str | int, device: str = "cpu") -> None:
        """Loads the model. Raises ModelError when it is missing or of another codec, UsageError for a bad device."""
        self.codec, self.device = codec, device
        entry = find(model)
        self.id, self.model = entry.id, entry.name
        self._coder: Any = load_lossless(entry, device) if codec == "hpac" else load(entry, device, codec)

    @classmethod
    def load(cls, model: str | int | None = None, *, codec: str | None = None, device: str = "cpu") -> Codec:
        """A model by name or id, or else the default one of a codec (arpc), on `auto`, `cpu` or `cuda`; as `Codec`."""
        if model is None:
            model = DEFAULT_MODELS[choose(codec, lossless=False)]
        return cls(codec or find(model).codec, model, device)

    def encode(self, image: Source, **options: Unpack[Coding]) -> bytes:
        """A picture -> the bytes of a file. Raises as `arpc_codec.encode`."""
        return arpc_codec.encode(image, codec=self.codec, model=self.id, device=self.device, **options)

    def encode_batch(self, images: Iterable[Source], **options: Unpack[Coding]) -> list[bytes]:
        """As `encode`, in the same order. Neighbouring arrays of one size go through the network of ProGIC together."""
        found: list[bytes] = []
        for size, alike in groupby(images, lambda image: getattr(image, "shape", None)):
            if self.codec != "progic" or size is None or not options.keys() <= TOGETHER:
                found += [self.encode(image, **options) for image in alike]
                continue
            while group := list(islice(alike, BATCH)):
                found += self._together(group, **options)
        return found

    def _together(self, arrays: list[Any], verify: bool = False, **rates: Any) -> list[bytes]:
        """Files of arrays uint8 [H, W, 3] of one size."""
        from arpc_codec.codecs.lossy import check_pixels

        check_pixels(arrays[0])
        scales = parts_wanted(Names.PROGIC, rates.pop("scales", None), rates.pop("stages", None))
        height, width = arrays[0].shape[:2]
        limits = {"target_bytes": None, "target_bpp": None} | rates
        limit = rate_bytes(height, width, scales=scales, **limits)
        coded = self._coder.encode_batch(arrays, scales=scales, target_bytes=limit, verify=verify)
        for one in coded:
            warn(one.notes)
        return [one.data for one in coded]

    def decode(self, data: Readable, **options: Unpack[Decoding]) -> Image.Image:
        """A file -> picture. Raises as `arpc_codec.decode`, and ModelError for a file of another model."""
        data = contents(data)
        self._check(read(data, max_pixels=options.get("max_pixels", MAX_PIXELS)))
        return arpc_codec.decode(data, device=self.device, **options)

    def decoder(self, **options: Unpack[FillOptions]) -> Decoder:
        """For a file of any model that arrives piece by piece, on this codec's device."""
        return Decoder(device=self.device, **options)

    def _check(self, container: Container) -> None:
        if container.header.model_id != self.id:
            raise ModelError(f"the file needs model {container.header.model_id}, not '{self.model}' ({self.id})")


class Decoder:
    """The pictures of one file that arrives piece by piece; of a lossless file only the last one."""

    def __init__(self, *, device: str = "cpu", max_pixels: int = MAX_PIXELS, **options: Unpack[FillOptions]) -> None:
        """options: as in `arpc_codec.decode`, which also says what they raise."""
        self.device, self.max_pixels, self._filling = device, max_pixels, Filling(**options)
        self.scales = 0
        """Scales or stages of the picture that was shown last."""
        self._data, self._closed, self._lacks = bytearray(), False, ""
        # With fewer bytes there is nothing new, and a file is not to be parsed with every packet.
        self._wanted = 0
        self._picture: Callable[[Container], Decoded] | None = None

    @property
    def info(self) -> Info | None:
        """What is known of the file so far; None before its header is whole."""
        try:
            return info(bytes(self._data), max_pixels=self.max_pixels)
        except CutHeaderError:
            return None

    def feed(self, data: bytes) -> Image.Image | None:
        """The next bytes (any buffer) -> a better picture if at least one more scale is whole now, otherwise None.

        The last picture, with the alpha plane and metadata, which come last, comes with the end of the file. Raises
        FormatError for damage, after which nothing more can be fed, UnsupportedError and ModelError as
        `arpc_codec.decode`, UsageError after the end.
        """
        if self._closed:
            raise UsageError("the file has ended: nothing can follow it")
        self._data += octets(data)
        if len(self._data) < self._wanted:
            return None
        try:
            container = read(bytes(self._data), max_pixels=self.max_pixels)
            self._closed, self._wanted = not container.truncated, len(self._data) + container.missing
            self._lacks = container.lacks if self._closed else ""
            return self._newest(container)
        except CutHeaderError:
            return None
        except Exception:
            self._closed = True
            raise

    def close(self) -> None:
        """Say that nothing more arrives. Raises TruncatedError when the file is not whole, or has holes."""
        if not self._closed:
            self._closed = True
            raise TruncatedError(f"the file ends early, after {self.scales} parts of it")
        if self._lacks:
            raise TruncatedError(self._lacks)

    def _newest(self, container: Container) -> Image.Image | None:
        header, arrived = container.header, len(container.segments)
        if header.lossless is not None:
            if not self._closed:
                return None
            return arpc_codec.decode(bytes(self._data), device=self.device, max_pixels=self.max_pixels)
        if arrived == self.scales and not (self._closed and container.chunks):
            return None
        if self._picture is None:
            self._picture = load_for(header, self.device).arriving(header, filling=self._filling)
        decoded = self._picture(container)
        if decoded.damaged:
            raise FormatError(f"{header.codec.noun} {decoded.damaged[0]} is damaged")
        self.scales = decoded.scales
        # Chunks follow the last scale.
        extras = from_chunks(container.chunks, header.height, header.width)
        if extras.notes:
            raise FormatError("; ".join(extras.notes))
        metadata = {"icc": extras.icc, "exif": extras.exif, "xmp": extras.xmp}
        return to_image(decoded.pixels, extras.alpha, bool(header.colour), **metadata)
