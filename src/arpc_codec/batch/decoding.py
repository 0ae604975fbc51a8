"""An .arpc file -> a picture file."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from arpc_codec.batch.task import TOGETHER, Failure, Made, Part, Task, caught, in_groups
from arpc_codec.codecs.filling import Filling
from arpc_codec.container import MAX_PIXELS, Codec, Container, Header, read
from arpc_codec.errors import FormatError, TruncatedError, UsageError
from arpc_codec.hints import ignored_device
from arpc_codec.loading import load_for, load_lossless
from arpc_codec.rate import parts_wanted
from arpc_codec.scales import scales_shown
from arpc_codec.tile import Region, region_tile
from arpc_codec.zoo.registry import find

if TYPE_CHECKING:
    from arpc_codec.codecs.lossy import Decoded
    from arpc_codec.imageio import ExactPicture, Extras

# fmt: off
SUFFIXES = {
    "png": ".png", "ppm": ".ppm", "pgm": ".pgm", "webp": ".webp", "jpeg": ".jpg", "tiff": ".tif", "pam": ".pam",
}
# fmt: on


@dataclass(frozen=True, kw_only=True)
class Decoding(Task):
    """The options of `arpc decode`; filling: the names of those that were given and only codec arpc has.

    thumbnail: longest side of a picture that is made small. Raises UsageError when options do not fit together.
    """

    format: str = "png"
    scales: int | None = None
    stages: int | None = None
    fill: str = "mean"
    seed: int = 0
    guidance: float | None = None
    allow_truncated: bool = False
    region: Region | None = None
    thumbnail: int | None = None
    filling: tuple[str, ...] = field(default=(), compare=False)
    device: str = field(default="auto", compare=False)
    max_pixels: int = field(default=MAX_PIXELS, compare=False)

    def __post_init__(self) -> None:
        if self.thumbnail is not None and self.filling:
            raise UsageError(f"a thumbnail has nothing made up: {' and '.join(self.filling)} does not apply")

    @property
    def suffix(self) -> str:
        return SUFFIXES[self.format]

    def __call__(
        self,
        data: bytes,
        hands: int = 1,
        part: Part = lambda done, of: None,
        step: Callable[[int, bytes], None] | None = None,
    ) -> Made:
        """The picture of a file, what there is of it when it is damaged or cut short.

        So many hands work on one lossless picture; part(done, of) is called after each of its tiles, step(number, file)
        with the picture after each scale or stage. Raises ArpcError when there is no picture.
        """
        return self._decoded(self._read(data), hands, part, step)

    def _read(self, data: bytes) -> Container:
        return read(data, max_pixels=self.max_pixels)

    def _decoded(
        self,
        container: Container,
        hands: int = 1,
        part: Part = lambda done, of: None,
        step: Callable[[int, bytes], None] | None = None,
    ) -> Made:
        """As `__call__`."""
        if container.header.lossless is None:
            return self._progressively(container, step)
        if (self.scales, self.stages, step) != (None, None, None):
            raise UsageError("a lossless file comes whole: --scales, --stages and --steps do not apply")
        return self._exactly(container, hands, part)

    def _progressively(self, container: Container, step: Callable[[int, bytes], None] | None) -> Made:
        header = container.header
        extras = self._extras(container)
        codec, wanted = self._codec(header)
        filling = self._filling
        if step is None:
            decoded = codec.decode(container, scales=wanted, region=self.region, filling=filling)
            file, notes = self._written(decoded, container, extras)
        else:
            for decoded in _up_to(codec.steps(container, region=self.region, filling=filling), container, wanted):
                file, notes = self._written(decoded, container, extras)
                step(decoded.scales, file)
        return self._reported(container, decoded, extras, file, notes)

    @property
    def together(self) -> int:
        """Several where files of ProGIC may go through its network on a GPU together."""
        return TOGETHER if self.device == "cuda" else 1

    def several(self, files: Sequence[bytes]) -> list[Made | Failure]:
        if self.together == 1:
            return super().several(files)
        return in_groups([caught(self._read, data) for data in files], _alike, self._decoded, self._at_once)

    def _at_once(self, containers: list[Container]) -> list[Made]:
        """The pictures of ProGIC files of one model and size."""
        codec, wanted = self._codec(containers[0].header)
        made = []
        pictures = codec.decode_batch(containers, scales=wanted, region=self.region)
        for container, decoded in zip(containers, pictures, strict=True):
            extras = self._extras(container)
            made.append(self._reported(container, decoded, extras, *self._written(decoded, container, extras)))
        return made

    def _codec(self, header: Header) -> tuple[Any, int | None]:
        """The codec of a file, and how many scales or stages are to be decoded; None: all."""
        wanted = parts_wanted(header.codec, self.scales, self.stages)
        codec: Any = load_for(header, self.device)
        # Stages of ProGIC take next to no time.
        if self.thumbnail is not None and header.codec is Codec.ARPC:
            area = region_tile(self.region, header.height, header.width)
            shown = scales_shown(codec.total(header), max(area.height, area.width), self.thumbnail)
            wanted = min(wanted or shown, shown)
        return codec, wanted

    @property
    def _filling(self) -> Filling:
        # Drawing what was not sent takes longer than all that a thumbnail shows.
        return Filling("none") if self.thumbnail is not None else Filling(self.fill, self.seed, self.guidance)

    def _extras(self, container: Container) -> Extras:
        """What comes beside the pixels. Raises UsageError for a file format that is for other pictures."""
        from arpc_codec.imageio import from_chunks

        self._check_format()
        return from_chunks(container.chunks, container.header.height, container.header.width, self.region)

    def _check_format(self) -> None:
        from arpc_codec.imageio import FORMATS

        if self.format not in FORMATS:
            raise UsageError(f"{self.format.upper()} is for lossless files: use --format {'|'.join(FORMATS)}")

    def _reported(
        self, container: Container, decoded: Decoded, extras: Extras, file: bytes, notes: tuple[str, ...]
    ) -> Made:
        """The file of a picture, and what to say about it."""
        header, noun = container.header, container.header.codec.noun
        summary = f"{decoded.scales} of {decoded.total_scales} {noun}s"
        made = self._made(
            container,
            file,
            summary + (f", the others filled ({self.fill})" if decoded.filled else ""),
            _problem(decoded, noun, extras.notes),
            lacking(container, decoded),
            (*self._ignored(header.codec), *notes),
        )
        return replace(made, parts=decoded.scales)

    def _exactly(self, container: Container, hands: int, part: Part) -> Made:
        from arpc_codec.imageio import exact_format, fitted, write_exact

        header = container.header
        if self.thumbnail is None:
            exact_format(self.format)
        else:
            self._check_format()
        codec = load_lossless(header.model_id, self.device)
        found = codec.decode(container, progress=part, hands=hands, region=self.region)
        if self.thumbnail is None:
            picture, notes = fitted(found.picture, self.format)
            file = write_exact(picture, self.format)
        else:
            file, notes = self._small(found.picture)
        return self._made(
            container,
            file,
            "in part" if found.damage or found.cut else "lossless",
            found.damage and f"damaged: {found.damage}; picture written",
            found.cut and f"truncated: {found.cut}",
            (*self._ignored(header.codec), *ignored_device(self.device), *notes),
        )

    def _small(self, picture: ExactPicture) -> tuple[bytes, tuple[str, ...]]:
        """(thumbnail of a lossless picture, upright and in sRGB as one of any other file, notes)."""
        from arpc_codec.imageio import fitted, read, shrunk, write_exact, written

        assert self.thumbnail is not None
        seen = read(write_exact(fitted(picture, "png")[0]), max_pixels=self.max_pixels)
        return written(*shrunk(seen.pixels, seen.alpha, self.thumbnail), seen.grey, self.format)

    def _ignored(self, codec: Codec) -> tuple[str, ...]:
        # No error: of many files others may be filled.
        if not self.filling or codec is Codec.ARPC:
            return ()
        return (f"{' and '.join(self.filling)} ignored: codec {codec.name.lower()} has no scales to fill",)

    def _written(self, decoded: Decoded, container: Container, extras: Extras) -> tuple[bytes, tuple[str, ...]]:
        """(picture file, notes)."""
        from arpc_codec.imageio import shrunk, written

        grey = bool(container.header.colour)
        if self.thumbnail is not None:
            small = shrunk(decoded.pixels, extras.alpha, self.thumbnail)
            return written(*small, grey, self.format, icc=extras.icc)
        metadata = {"icc": extras.icc, "exif": extras.exif, "xmp": extras.xmp}
        return written(decoded.pixels, extras.alpha, grey, self.format, **metadata)

    def _made(
        self, container: Container, file: bytes, summary: str, problem: str, missing: str, notes: tuple[str, ...]
    ) -> Made:
        """problem: what is damaged; missing: what did not arrive, which is a note where that is allowed."""
        header, code = container.header, 0
        if problem:
            code = FormatError.exit_code
        elif missing:
            text = f"{missing}; picture written"
            if self.allow_truncated:
                notes = (*notes, text)
            else:
                code, problem = TruncatedError.exit_code, text
        if self.thumbnail is not None:
            summary += f", at most {self.thumbnail} pixels a side"
        area = region_tile(self.region, header.height, header.width)
        return Made(file, area.width, area.height, find(header.model_id).name, summary, notes, code, problem)


def _up_to(steps: Iterator[Decoded], container: Container, scales: int | None) -> Iterator[Decoded]:
    """Every step up to `scales`; the last one has `damaged` set when a scale stopped the walk.

    Raises FormatError when there is none.
    """
    there = len(container.segments)
    # The walk itself says why not even one is there.
    wanted = max(1, min(there, scales or there))
    last = None
    for step in islice(steps, wanted):
        if last is not None:
            yield last
        last = step
    if last is None:
        raise FormatError(f"the first {container.header.codec.noun} is damaged")
    yield last if last.scales >= wanted else replace(last, damaged=(last.scales + 1,))


def _problem(decoded: Decoded, noun: str, chunk_notes: tuple[str, ...]) -> str:
    """What is damaged in a file of scales or stages; nothing when nothing is."""
    if decoded.damaged:
        good = f"{noun}s 1-{decoded.scales}" if decoded.scales > 1 else f"{noun} 1"
        return f"{noun} {decoded.damaged[0]} is damaged: picture written from {good}"
    return "; ".join(chunk_notes)


def lacking(container: Container, decoded: Decoded) -> str:
    """What a file of scales or stages that is cut or has holes lacks; nothing when it is whole."""
    if container.truncated:
        return container.lacks
    if container.header.holes:
        from arpc_codec.codecs.stages import describe_lost
        from arpc_codec.scales import latent_size

        rows, cols = latent_size(container.header.height, container.header.width)
        lost = describe_lost(decoded.lost, rows * cols)
        return lost and f"holes: {lost}"
    return ""


def _alike(container: Container) -> Hashable:
    """What files have in common that can be decoded together: those of ProGIC alone can."""
    header = container.header
    return (header.model_id, header.height, header.width) if header.codec is Codec.PROGIC else id(container)
