"""A picture file -> an .arpc file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from arpc_codec.batch.task import TOGETHER, Failure, Made, Part, Task, caught, in_groups
from arpc_codec.container import MAX_PIXELS, ChunkType, Codec
from arpc_codec.errors import UsageError
from arpc_codec.hints import ignored_device
from arpc_codec.loading import AUTO_CAPTION, caption_for, load, load_lossless
from arpc_codec.rate import rate_bytes
from arpc_codec.zoo.registry import find

if TYPE_CHECKING:
    from arpc_codec.container import Chunk
    from arpc_codec.imageio import Picture

SUFFIX = ".arpc"


class _Source(NamedTuple):
    """A picture that was read, and what of its metadata goes into the file."""

    picture: Picture
    chunks: tuple[Chunk, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Encoding(Task):
    """The options of `arpc encode`; scales are those of codec arpc or the stages of progic.

    Raises UsageError when they do not fit together.
    """

    codec: str
    model: str
    scales: int | None = None
    target_bytes: int | None = None
    target_bpp: float | None = None
    caption: str = ""
    adapt: int | None = None
    verify: bool = False
    portable: bool = False
    guard: float | None = None
    keep: str = ""
    alpha: str = "keep"
    device: str = field(default="auto", compare=False)
    max_pixels: int = field(default=MAX_PIXELS, compare=False)

    def __post_init__(self) -> None:
        if self.codec == "hpac":
            lossy = self.scales, self.target_bytes, self.target_bpp, self.keep, self.alpha
            if lossy != (None, None, None, "", "keep"):
                raise UsageError(
                    "a lossless file keeps everything: --scales, --target-*, --keep and --alpha do not apply"
                )
            if self.caption == AUTO_CAPTION:
                raise UsageError("--caption auto does not belong to --lossless")
            if self.verify:
                raise UsageError("a lossless file is verified with `arpc verify --against`")
        elif self.adapt is not None:
            raise UsageError("--adapt belongs to --lossless")
        if self.codec != "arpc" and (self.portable or self.guard is not None):
            raise UsageError("--portable and --guard belong to --codec arpc")
        self._rate_bytes(1, 1)
        if self.keep or self.alpha != "keep":
            from arpc_codec.imageio import check_alpha, check_keep

            check_keep(self._kept)
            check_alpha(self.alpha)

    @property
    def suffix(self) -> str:
        return SUFFIX

    def options(self) -> dict[str, Any]:
        """As for every task, and which weights the model has. Raises ModelError when it is missing."""
        return {**super().options(), "fingerprint": find(self.model).fingerprint}

    def __call__(self, data: bytes, hands: int = 1, part: Part = lambda done, of: None) -> Made:
        """The file of a picture; by so many hands if it is lossless, and part(done, of) after each of its tiles.

        Raises ArpcError for what is no picture or cannot be coded.
        """
        if self.codec == "hpac":
            return self._exactly(data, hands, part)
        return self._progressively([self._read(data)])[0]

    @property
    def together(self) -> int:
        """Several where they go through ProGIC's network on a GPU together."""
        return TOGETHER if (self.codec, self.device) == ("progic", "cuda") and self.caption != AUTO_CAPTION else 1

    def several(self, files: Sequence[bytes]) -> list[Made | Failure]:
        if self.together == 1:
            return super().several(files)
        return in_groups(
            [caught(self._read, data) for data in files],
            lambda source: (source.picture.pixels.shape, source.picture.grey, source.chunks),
            lambda source: self._progressively([source])[0],
            self._progressively,
        )

    def _read(self, data: bytes) -> _Source:
        from arpc_codec.imageio import apply_alpha, read, to_chunks

        picture = read(data, max_pixels=self.max_pixels, keep_icc="icc" in self._kept)
        picture = apply_alpha(picture, self.alpha)
        chunks, notes = to_chunks(picture, self._kept)
        alpha = [len(chunk.data) for chunk in chunks if chunk.type == ChunkType.ALPHA]
        notes += tuple(f"transparency kept without loss ({size} bytes; see --alpha)" for size in alpha)
        return _Source(picture, tuple(chunks), (*picture.notes, *notes))

    def _progressively(self, sources: list[_Source]) -> list[Made]:
        """Files of pictures that differ in their pixels only."""
        picture, chunks, _ = sources[0]
        height, width = picture.pixels.shape[:2]
        words = caption_for(self.caption, picture.pixels, self.model, self.device, self.codec)
        written = () if words == self.caption else (f'caption "{words}"',)
        coding: dict[str, Any] = {"verify": self.verify}
        if self.codec == "arpc":
            coding |= {"portable": self.portable, "guard": self.guard}
        coding |= {"scales": self.scales, "target_bytes": self._rate_bytes(height, width)}
        coding |= {"caption": words, "grey": picture.grey, "chunks": chunks}
        codec: Any = load(self.model, self.device, self.codec)
        if len(sources) == 1:
            files = [codec.encode(picture.pixels, **coding)]
        else:
            files = codec.encode_batch([source.picture.pixels for source in sources], **coding)
        made = []
        for source, encoded in zip(sources, files, strict=True):
            summary = f"{encoded.scales} of {encoded.total_scales} {Codec[self.codec.upper()].noun}s"
            notes = (*source.notes, *written, *encoded.notes)
            made.append(Made(encoded.data, width, height, self.model, summary, notes))
        return made

    def _exactly(self, data: bytes, hands: int, part: Part) -> Made:
        from arpc_codec.imageio import read_exact

        picture = read_exact(data, max_pixels=self.max_pixels)
        height, width = picture.samples.shape[:2]
        codec = load_lossless(self.model, self.device)
        file = codec.encode(picture, adapt=self.adapt or 0, caption=self.caption, progress=part, hands=hands)
        summary = f"lossless, {8 * len(file) / picture.samples.size:.4f} bits a sample"
        notes = (*ignored_device(self.device), *picture.notes, *picture.left_out)
        return Made(file, width, height, self.model, summary, notes)

    @property
    def _kept(self) -> tuple[str, ...]:
        return tuple(name for name in self.keep.split(",") if name)

    def _rate_bytes(self, height: int, width: int) -> int | None:
        return rate_bytes(height, width, scales=self.scales, target_bytes=self.target_bytes, target_bpp=self.target_bpp)
