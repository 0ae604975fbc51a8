"""The Pillow plugin: `Image.open("a.arpc")` and `image.save("a.arpc", scales=6)` after `import arpc_codec`.

Opening reads the container only; pixels are decoded, with all defaults of `arpc_codec.decode`, when they are first
needed. Modes are L, LA, RGB or RGBA, and I;16 of a lossless file of 16-bit grey. `info` holds

    codec            "arpc", "progic" or "hpac" (lossless)
    model            registry id of the model that pixels need
    scales           how many scales (progic: stages) arrived, of
    scales_declared  what the file announces
    bytes_per_scale  coded bytes of each scale that arrived
    caption, icc_profile, exif, xmp: where the file has them
    dpi or aspect, gamma, chromaticity, srgb, texts by keyword: of lossless files, as of PNG files
    cicp, photoshop: of lossless files; four numbers, and {0x0404: IPTC records} as of JPEG files

Errors are those of Pillow's own plugins: UnidentifiedImageError, with the reason, when a file is damaged, newer, or of
16-bit colour, which Pillow lacks (`arpc_codec.decode_array` has it); OSError from `load` when the picture is damaged,
its model is missing, or it is cut or has holes and `ImageFile.LOAD_TRUNCATED_IMAGES` is not set. `verify` raises
OSError for a file that is cut, has holes or a wrong file check; damaged scales are found by decoding them only.
`ImageFile.Parser` takes files in pieces and decodes them when it is closed.

Saving takes the options of `arpc_codec.encode`; as everywhere in Pillow others are ignored. `icc_profile`, `exif` and
`xmp` are stored where they are given, None leaves one away. Those in the picture's `info` are stored by `keep`, and
always by `lossless`; the caption in `info` is kept. ValueError: options that cannot be meant. OSError: the mode has no
place (the table is in docs/pillow.md), the model is missing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import IO, Any

from PIL import Image, ImageFile, UnidentifiedImageError

from arpc_codec.container import METADATA, ChunkType, Colour, Container, Text, Unit, read, value_of
from arpc_codec.container.header import MAGIC
from arpc_codec.errors import ArpcError, FormatError, UsageError

FORMAT, EXTENSION = "ARPC", ".arpc"
# In the tree for types that are not registered (RFC 6838, 3.4); "x-" is no longer meant for new ones (RFC 6648).
MIME_TYPE = "image/x.arpc"
# Where Pillow's `info` has what these chunks hold.
_METADATA: dict[int, str] = {ChunkType.ICC: "icc_profile", ChunkType.EXIF: "exif", ChunkType.XMP: "xmp"}
# Where PNG files may have it.
_ELSEWHERE: dict[int, tuple[str, ...]] = {
    ChunkType.EXIF: ("Raw profile type exif", "Raw profile type APP1"),
    ChunkType.XMP: ("XML:com.adobe.xmp", "Raw profile type xmp"),
}


class ArpcImageFile(ImageFile.ImageFile):
    """An .arpc file that Pillow has opened; `info` as at the top of the module."""

    format = FORMAT
    format_description = "arpc progressive neural image codec"

    def _open(self) -> None:
        assert self.fp is not None
        try:
            container = read(self.fp.read())
        except ArpcError as error:
            # Pillow would go on after SyntaxError and forget the reason, but no other format begins as ours does.
            raise UnidentifiedImageError(str(error)) from error
        header = container.header
        self._size, self._mode = (header.width, header.height), _mode(container)
        self.info |= {
            "codec": header.codec.name.lower(),
            "model": header.model_id,
            "scales": len(container.segments),
            "scales_declared": header.scales,
            "bytes_per_scale": tuple(len(segment) for segment in container.segments),
        }
        if header.caption:
            self.info["caption"] = header.caption
        self.info = info_of(_metadata(container)) | self.info
        self.tile = [ImageFile._Tile(FORMAT, (0, 0, *self.size), 0, ())]
        self._flaw = container.lacks or "damaged: the file check is wrong" * (not container.sound)

    def verify(self) -> None:
        """What can be told without decoding. Raises OSError when the file is not whole and sound."""
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        super().verify()
        if self._flaw:
            raise OSError(self._flaw)

    def load_seek(self, pos: int) -> None:
        """As any file; that it is here tells `ImageFile.Parser` to wait for all bytes before it decodes."""
        assert self.fp is not None
        self.fp.seek(pos)


class ArpcDecoder(ImageFile.PyDecoder):
    """What `load` calls. Raises OSError."""

    _pulls_fd = True

    def decode(self, buffer: Any) -> tuple[int, int]:
        """The pixels of the file; `buffer` is empty."""
        from arpc_codec import decode

        assert self.fd is not None
        try:
            image = decode(self.fd.read(), allow_truncated=ImageFile.LOAD_TRUNCATED_IMAGES)
        except ArpcError as error:
            raise OSError(str(error)) from error
        self.set_as_raw(image.tobytes())
        return -1, 0


def info_of(metadata: Mapping[str, Any]) -> dict[str | tuple[int, int], Any]:
    """What Pillow's plugins have in `info` for metadata by their names in METADATA."""
    info: dict[str | tuple[int, int], Any] = {}
    for text in metadata.get("texts", ()):
        # This would make colours transparent.
        if text.keyword != "transparency":
            info.setdefault(text.keyword, _worded(text))
    for name, key, read_value in _INFO:
        if metadata.get(name) is not None:
            info[key] = read_value(metadata[name])
    resolution = metadata.get("resolution")
    if resolution is not None:
        numbers = (float(resolution.x), float(resolution.y))
        per_inch = {Unit.NONE: 1, Unit.INCH: 1, Unit.CENTIMETRE: 2.54, Unit.METRE: 0.0254}[resolution.unit]
        key = "aspect" if resolution.unit is Unit.NONE else "dpi"
        info[key] = (numbers[0] * per_inch, numbers[1] * per_inch)
    return info


def _metadata(container: Container) -> dict[str, Any]:
    """What is whole of the metadata; that some is damaged is said when the pixels are read."""
    found = {}
    for chunk in container.chunks:
        if chunk.name in METADATA:
            try:
                found[chunk.name] = value_of(chunk)
            except FormatError:
                continue
    return found


def _worded(text: Text) -> str:
    if not (text.language or text.translated):
        return text.text
    from PIL.PngImagePlugin import iTXt

    return iTXt(text.text, text.language, text.translated)


# Metadata, the keys of `info`, how values become those that Pillow's writers want.
_INFO = (
    ("icc", "icc_profile", bytes),
    ("exif", "exif", lambda exif: b"Exif\0\0" + exif),
    ("xmp", "xmp", bytes),
    ("cicp", "cicp", tuple),
    ("gama", "gamma", lambda gama: int.from_bytes(gama, "big") / 100_000),
    ("chrm", "chromaticity", lambda chrm: tuple(n / 100_000 for n in struct.unpack(">8I", chrm))),
    ("srgb", "srgb", lambda srgb: srgb[0]),
    ("iptc", "photoshop", lambda iptc: {0x0404: iptc}),
)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _mode(container: Container) -> str:
    """The mode of the picture that `decode` gives; UnidentifiedImageError when Pillow has none."""
    header = container.header
    if header.lossless is None:
        alpha = any(chunk.type == ChunkType.ALPHA for chunk in container.chunks)
    else:
        alpha = header.lossless.alpha
        if header.lossless.bits == 16:
            if header.channels > 1:
                raise UnidentifiedImageError("PIL has no 16-bit colour: use arpc_codec.decode_array")
            return "I;16"
    return ("L" if header.colour is Colour.GREY else "RGB") + "A" * alpha


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    from arpc_codec import encode
    from arpc_codec.imageio import check_keep, check_opened
    from arpc_codec.loading import choose

    given: dict[str, Any] = image.encoderinfo
    options = {name: given[name] for name in encode.__kwdefaults__ or () if name in given}
    options.setdefault("caption", _caption_of(image.info))
    new = {type_: given[key] for type_, key in _METADATA.items() if key in given}
    try:
        check_opened(image)
        # Of several frames the one that is shown; the copy has no others, and an `info` of its own.
        frame = image.copy()
        _replace(frame.info, new)
        if choose(options.get("codec"), options.get("lossless", False)) == "hpac":
            # What tells of the file that the picture came from, and gets lost in a copy.
            for name in ("format", "applist", "tag_v2"):
                if hasattr(image, name):
                    setattr(frame, name, getattr(image, name))
        else:
            names = {ChunkType(type_).name.lower() for type_, value in new.items() if value}
            options["keep"] = names.union(check_keep(options.get("keep", ())))
        data = encode(frame, **options)
    except UsageError as error:
        raise ValueError(str(error)) from error
    except ArpcError as error:
        raise OSError(str(error)) from error
    file.write(data)


def _caption_of(info: dict[str | tuple[int, int], Any]) -> str:
    """What a file may have as its caption; other formats have texts of that name, too, as long as they like."""
    from arpc_codec.container import MAX_CAPTION_BYTES
    from arpc_codec.loading import AUTO_CAPTION

    text = info.get("caption", "")
    fits = isinstance(text, str) and text != AUTO_CAPTION and len(text.encode(errors="replace")) <= MAX_CAPTION_BYTES
    return str(text) if fits else ""


def _replace(info: dict[str | tuple[int, int], Any], new: dict[int, Any]) -> None:
    """Put metadata (bytes, Image.Exif, or nothing, by chunk type) in the place of a picture's own; UsageError."""
    for type_, value in new.items():
        key = _METADATA[type_]
        info.pop(key, None)
        for elsewhere in _ELSEWHERE.get(type_, ()):
            info.pop(elsewhere, None)
        if value:
            info[key] = value.tobytes() if isinstance(value, Image.Exif) else value
            if not isinstance(info[key], bytes):
                raise UsageError(f"{key} must be bytes, not {type(value).__name__}")


Image.register_open(FORMAT, ArpcImageFile, _accept)
Image.register_decoder(FORMAT, ArpcDecoder)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, EXTENSION)
Image.register_mime(FORMAT, MIME_TYPE)
