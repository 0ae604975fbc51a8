"""Progressive neural image codec: a photo as a few hundred bytes, decoded to the same tokens on every machine.

    data = arpc_codec.encode(PIL.Image.open("photo.jpg"), scales=8)
    picture = arpc_codec.decode(data)
    small = arpc_codec.encode("photo.jpg", codec="progic", stages=3)
    archive = arpc_codec.encode(samples, lossless=True)
    samples = arpc_codec.decode_array(archive)
    codec = arpc_codec.Codec.load("progic")
    files = codec.encode_batch(arrays, stages=2)
    decoder = arpc_codec.Decoder()
    better = decoder.feed(more_bytes)

Nothing heavy is loaded before a function that needs it is called; `info` needs neither torch nor numpy.
Pillow opens and saves .arpc files, too (`arpc_codec.pillow`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from arpc_codec import registration
from arpc_codec.container import MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from arpc_codec.api import Codec, Decoder
    from arpc_codec.container import Container, Info
    from arpc_codec.files import Readable
    from arpc_codec.imageio import ExactPicture
    from arpc_codec.tile import Region

    Source = Image.Image | NDArray[Any] | Readable

__all__ = ["Codec", "Decoder", "__version__", "certainty", "decode", "decode_array", "encode", "info"]


def encode(
    image: Source,
    *,
    codec: str | None = None,
    lossless: bool = False,
    scales: int | None = None,
    stages: int | None = None,
    target_bytes: int | None = None,
    target_bpp: float | None = None,
    adapt: int = 0,
    caption: str = "",
    verify: bool = False,
    portable: bool = False,
    guard: float | None = None,
    model: str | int | None = None,
    device: str = "cpu",
    keep: str | Collection[str] = (),
    max_pixels: int = MAX_PIXELS,
) -> bytes:
    """A picture of at most `max_pixels` pixels -> the bytes of an .arpc file; at most one rate may be given.

    codec: arpc (the default), progic, whose scales are called stages, or hpac, the lossless one.
    image: PIL picture, picture file (path, binary stream, bytes or other buffer), or array: uint8 [H, W, 3] in sRGB,
    and with lossless uint8 or uint16 [H, W] or [H, W, 1 to 4]. model: by name or id. caption: stored in the file;
    auto: written by the captioner in the folder ARPC_BLIP or of the model, not with lossless. keep: icc, exif, xmp, or
    some of them.
    lossless (codec hpac) keeps all metadata and has no rate; adapt: steps of fitting its prior to the picture. Of
    16-bit colour give the file: PIL reduces it to 8 bits. What changes its form or is not kept is a NoteWarning
    (`arpc_codec.errors`), one for each note of `arpc encode`. verify: decode again and compare, of the lossy codecs.
    portable, guard: of codec arpc, as in `ArpcCodec.encode`.
    Raises UsageError for bad arguments, ModelError when the model is missing, ArpcError for a picture that cannot be
    read and when verifying fails, OSError for a file that cannot be opened.
    """
    from arpc_codec.container import Codec
    from arpc_codec.errors import UsageError, whole_number
    from arpc_codec.imageio import check_keep
    from arpc_codec.loading import AUTO_CAPTION, choose, model_for
    from arpc_codec.rate import parts_wanted
    from arpc_codec.warned import warn

    if not isinstance(caption, str):
        raise UsageError(f"a caption is text, not {caption!r}")
    keep = check_keep(keep)
    codec = choose(codec, lossless)
    rates = (parts_wanted(Codec[codec.upper()], scales, stages), target_bytes, target_bpp)
    if codec != "arpc" and (portable or guard is not None):
        raise UsageError("portable and guard belong to codec arpc")
    if codec != "hpac":
        if adapt:
            raise UsageError("adapt belongs to codec hpac")
        coding: dict[str, Any] = {"verify": verify}
        if codec == "arpc":
            coding |= {"portable": portable, "guard": guard}
        data, notes = _encode_parts(
            image, rates, caption, coding, codec, model_for(codec, model), device, keep, max_pixels
        )
        warn(notes)
        return data
    if whole_number("adapt", adapt) < 0:
        raise UsageError(f"adapt is a number of steps, not {adapt}")
    if verify:
        raise UsageError("a lossless file is verified by decoding it")
    if rates != (None, None, None) or keep:
        raise UsageError("a lossless file keeps everything: no rate and no keep")
    if caption == AUTO_CAPTION:
        raise UsageError("caption auto does not belong to lossless")
    from arpc_codec.hints import hints, ignored_device
    from arpc_codec.imageio import read_exact
    from arpc_codec.loading import load_lossless

    picture = read_exact(image, max_pixels=max_pixels)
    data = load_lossless(model_for(codec, model), device).encode(picture, adapt=adapt, caption=caption)
    warn((*ignored_device(device), *picture.notes, *picture.left_out, *hints(picture.notes)))
    return data


def _encode_parts(
    image: Source,
    rates: tuple[int | None, int | None, float | None],
    caption: str,
    coding: dict[str, Any],
    codec: str,
    model: str,
    device: str,
    keep: Collection[str],
    max_pixels: int,
) -> tuple[bytes, tuple[str, ...]]:
    """(the file, notes)."""
    import numpy as np

    from arpc_codec.errors import UsageError
    from arpc_codec.imageio import Picture, read, to_chunks
    from arpc_codec.imageio.opening import check_size
    from arpc_codec.loading import caption_for, load
    from arpc_codec.rate import rate_bytes

    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UsageError(f"an array must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        check_size(image.shape[1], image.shape[0], max_pixels)
        picture = Picture(image)
    else:
        picture = read(image, max_pixels=max_pixels, keep_icc="icc" in keep)
    chunks, notes = to_chunks(picture, keep)
    scales, target_bytes, target_bpp = rates
    height, width = picture.pixels.shape[:2]
    encoded = load(model, device, codec).encode(
        picture.pixels,
        scales=scales,
        target_bytes=rate_bytes(height, width, scales=scales, target_bytes=target_bytes, target_bpp=target_bpp),
        caption=caption_for(caption, picture.pixels, model, device, codec),
        grey=picture.grey,
        chunks=chunks,
        **coding,
    )
    return encoded.data, (*picture.notes, *notes, *encoded.notes)


def decode(
    data: Readable,
    *,
    scales: int | None = None,
    stages: int | None = None,
    fill: str = "mean",
    seed: int = 0,
    guidance: float | None = None,
    region: Region | None = None,
    device: str = "cpu",
    allow_truncated: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """An .arpc file -> PIL picture from its first `scales` scales (progic: `stages`).

    Its mode is L, LA, RGB or RGBA, I;16 of 16-bit grey.
    data: the bytes of the file (any buffer), its path, or a binary stream, which is read to its end.
    Raises FormatError for a damaged file, TruncatedError for one that is cut or has holes unless allowed, ModelError
    when its model is missing, UsageError for 16-bit colour, which PIL lacks (see `decode_array`). `fill`, of codec
    arpc only: mean, argmax, sample or none; `guidance` as in `codecs.filling`. region: (x, y, width, height) in
    pixels, from the top left: these only, the same as cut out of the whole picture, in less time and memory.
    A file that claims more than `max_pixels` is an UnsupportedError.
    """
    from arpc_codec.codecs.filling import Filling
    from arpc_codec.container import read
    from arpc_codec.errors import FormatError, TruncatedError
    from arpc_codec.files import contents
    from arpc_codec.imageio import from_chunks, to_image
    from arpc_codec.loading import load_for
    from arpc_codec.rate import parts_wanted

    data = contents(data)
    container = read(data, max_pixels=max_pixels)
    header = container.header
    wanted, noun = parts_wanted(header.codec, scales, stages), header.codec.noun
    if header.lossless is not None:
        return _to_pillow(_decode_exact(container, wanted, region, device, allow_truncated))
    if container.lacks and not allow_truncated:
        raise TruncatedError(container.lacks)
    extras = from_chunks(container.chunks, header.height, header.width, region)
    if extras.notes:
        raise FormatError("; ".join(extras.notes))
    filling = Filling(fill, seed, guidance)
    decoded = load_for(header, device).decode(container, scales=wanted, filling=filling, region=region)
    if decoded.damaged:
        raise FormatError(f"{noun} {decoded.damaged[0]} is damaged; scales={decoded.scales} decodes those before it")
    return to_image(decoded.pixels, extras.alpha, bool(header.colour), icc=extras.icc, exif=extras.exif, xmp=extras.xmp)


def certainty(
    data: Readable,
    *,
    scales: int | None = None,
    device: str = "cpu",
    allow_truncated: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """How much of a file of codec arpc was sent and not guessed, where: PIL picture L, 255 where all was sent.

    It has the size of the photo, and one value for every 2x2 cells.
    What is compared is said in `codecs.certainty`. Raises as `decode`, and UsageError for a file of another codec.
    """
    from PIL import Image

    from arpc_codec.codecs.certainty import certainty as shares
    from arpc_codec.container import Codec as Names
    from arpc_codec.container import read
    from arpc_codec.errors import TruncatedError, UsageError
    from arpc_codec.files import contents
    from arpc_codec.loading import load

    container = read(contents(data), max_pixels=max_pixels)
    header = container.header
    if header.codec is not Names.ARPC:
        raise UsageError("only in files of codec arpc is anything guessed")
    if container.lacks and not allow_truncated:
        raise TruncatedError(container.lacks)
    share_hw = shares(load(header.model_id, device), container, scales)  # type: ignore[arg-type]
    return Image.fromarray((share_hw * 255).round().astype("uint8"))


def decode_array(
    data: Readable,
    *,
    scales: int | None = None,
    stages: int | None = None,
    fill: str = "mean",
    seed: int = 0,
    guidance: float | None = None,
    region: Region | None = None,
    device: str = "cpu",
    allow_truncated: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """As `decode`, but samples [H, W, C] (grey, grey and alpha, RGB or RGBA), uint16 for a lossless file of 16 bits."""
    import numpy as np

    from arpc_codec.container import read
    from arpc_codec.files import contents
    from arpc_codec.rate import parts_wanted

    data = contents(data)
    container = read(data, max_pixels=max_pixels)
    if container.header.lossless is not None:
        wanted = parts_wanted(container.header.codec, scales, stages)
        samples: NDArray[Any] = _decode_exact(container, wanted, region, device, allow_truncated).samples
        return samples
    picture = decode(
        data,
        scales=scales,
        stages=stages,
        fill=fill,
        seed=seed,
        guidance=guidance,
        region=region,
        device=device,
        allow_truncated=allow_truncated,
        max_pixels=max_pixels,
    )
    # A copy, which belongs to the caller as those of a lossless file do.
    pixels = np.array(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _decode_exact(
    container: Container, scales: int | None, region: Region | None, device: str, allow_truncated: bool
) -> ExactPicture:
    """The picture of a whole lossless file, of a cut one if allowed; FormatError when anything is damaged."""
    from arpc_codec.errors import FormatError, TruncatedError, UsageError
    from arpc_codec.hints import ignored_device
    from arpc_codec.loading import load_lossless
    from arpc_codec.warned import warn

    if scales is not None:
        raise UsageError("a lossless file has no scales")
    if container.lacks and not allow_truncated:
        raise TruncatedError(container.lacks)
    found = load_lossless(container.header.model_id, device).decode(container, region=region)
    warn(ignored_device(device))
    if found.damage:
        raise FormatError(f"damaged: {found.damage} (`arpc decode` saves what can be saved)")
    return found.picture


def _to_pillow(picture: ExactPicture) -> Image.Image:
    from PIL import Image

    from arpc_codec.errors import UsageError
    from arpc_codec.pillow import info_of

    samples, grey = picture.samples, picture.samples.shape[2] == 1
    if picture.bits == 16 and not grey:
        raise UsageError("PIL has no 16-bit colour: use decode_array")
    image = Image.fromarray(samples[..., 0] if grey else samples)
    image.info |= info_of(picture.metadata)
    return image


def info(data: Readable, *, max_pixels: int = MAX_PIXELS) -> Info:
    """What a file, as of `decode`, says about itself and where its bytes went, cut files too.

    Raises FormatError for a damaged one, UnsupportedError for one that is newer or has more than `max_pixels` pixels.
    """
    from arpc_codec.container import info as describe
    from arpc_codec.files import contents

    return describe(contents(data), max_pixels=max_pixels)


def __getattr__(name: str) -> Any:
    if name in ("Codec", "Decoder"):
        from arpc_codec import api

        return getattr(api, name)
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("arpc-codec")
    except PackageNotFoundError:
        return "0+source"


registration.register()
