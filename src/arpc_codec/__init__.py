"""Progressive neural image codec: a photo as a few hundred bytes, decoded to the same tokens on every machine.

    data = arpc_codec.encode(PIL.Image.open("photo.jpg"), scales=8)
    picture = arpc_codec.decode(data)

Nothing heavy is loaded before a function that needs it is called; `info` needs neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from arpc_codec.codecs.arpc import ArpcCodec
    from arpc_codec.container import Info

__all__ = ["__version__", "decode", "encode", "info"]


def encode(
    image: Image.Image | NDArray[np.uint8],
    *,
    scales: int | None = None,
    target_bytes: int | None = None,
    target_bpp: float | None = None,
    caption: str = "",
    model: str = "tiny",
    device: str = "cpu",
    keep: Collection[str] = (),
) -> bytes:
    """A PIL picture, or uint8 [H, W, 3] in sRGB, -> the bytes of an .arpc file; at most one rate may be given.

    keep: any of icc, exif, xmp. Raises UsageError for bad arguments, ModelError when the model is missing.
    """
    import numpy as np

    from arpc_codec.imageio import Picture, read, to_chunks

    picture = Picture(image) if isinstance(image, np.ndarray) else read(image, keep_icc="icc" in keep)
    chunks, _ = to_chunks(picture, keep)
    encoded = _codec(model, device).encode(
        picture.pixels,
        scales=scales,
        target_bytes=rate_bytes(picture.pixels.shape, scales, target_bytes, target_bpp),
        caption=caption,
        grey=picture.grey,
        chunks=chunks,
    )
    return encoded.data


def decode(
    data: bytes,
    *,
    scales: int | None = None,
    fill: str = "argmax",
    seed: int = 0,
    device: str = "cpu",
    allow_truncated: bool = False,
) -> Image.Image:
    """The bytes of an .arpc file -> PIL picture (L, LA, RGB or RGBA) from its first `scales` scales.

    Raises FormatError for a damaged file, TruncatedError for a cut one unless allowed, ModelError when its model is
    missing. `fill`: argmax, sample, mean or none.
    """
    from arpc_codec.container import read
    from arpc_codec.errors import FormatError, TruncatedError
    from arpc_codec.imageio import from_chunks, to_image

    container = read(data)
    header = container.header
    if container.truncated and not allow_truncated:
        raise TruncatedError(f"truncated: {len(container.segments)} of {header.scales} scales arrived")
    extras = from_chunks(container.chunks, header.height, header.width)
    if extras.notes:
        raise FormatError("; ".join(extras.notes))
    decoded = _codec(header.model_id, device).decode(container, scales=scales, fill=fill, seed=seed)
    if decoded.damaged:
        raise FormatError(f"scale {decoded.damaged[0]} is damaged; scales={decoded.scales} decodes those before it")
    return to_image(
        decoded.pixels, extras.alpha, bool(header.colour), icc=extras.icc, exif=extras.exif, xmp=extras.xmp
    )


def info(data: bytes) -> Info:
    """What a file says about itself and where its bytes went, cut files too; FormatError, UnsupportedError."""
    from arpc_codec.container import info as describe

    return describe(data)


def rate_bytes(
    shape: tuple[int, ...], scales: int | None, target_bytes: int | None, target_bpp: float | None
) -> int | None:
    """File size in bytes that a rate option asks for, pictures being [H, W, ...]; None for none.

    UsageError when more than one of the three is given or when one is not positive.
    """
    from arpc_codec.errors import UsageError

    if sum(rate is not None for rate in (scales, target_bytes, target_bpp)) > 1:
        raise UsageError("only one of scales, target bytes and target bpp can be given")
    if target_bpp is None:
        if target_bytes is not None and target_bytes < 1:
            raise UsageError(f"target bytes must be at least 1, not {target_bytes}")
        return target_bytes
    if not 0 < target_bpp < float("inf"):
        raise UsageError(f"target bpp must be above 0, not {target_bpp:g}")
    return int(target_bpp * shape[0] * shape[1] / 8)


@lru_cache(maxsize=2)
def _codec(model: str | int, device: str) -> ArpcCodec:
    from arpc_codec.codecs.arpc import ArpcCodec

    return ArpcCodec.load(model, device)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("arpc-codec")
    except PackageNotFoundError:
        return "0+source"
