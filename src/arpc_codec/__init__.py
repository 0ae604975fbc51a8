"""Progressive neural image codec: a photo as a few hundred bytes, decoded to the same tokens on every machine.

    data = arpc_codec.encode(PIL.Image.open("photo.jpg"), scales=8)
    picture = arpc_codec.decode(data)

Nothing heavy is loaded before a function that needs it is called; `info` needs neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

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

    from arpc_codec.errors import UsageError
    from arpc_codec.imageio import Picture, read, to_chunks
    from arpc_codec.loading import load
    from arpc_codec.rate import rate_bytes

    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UsageError(f"an array must be uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        picture = Picture(np.require(image, requirements=["C", "W"]))
    else:
        picture = read(image, keep_icc="icc" in keep)
    chunks, _ = to_chunks(picture, keep)
    height, width = picture.pixels.shape[:2]
    encoded = load(model, device).encode(
        picture.pixels,
        scales=scales,
        target_bytes=rate_bytes(height, width, scales=scales, target_bytes=target_bytes, target_bpp=target_bpp),
        caption=caption,
        grey=picture.grey,
        chunks=chunks,
    )
    return encoded.data


def decode(
    data: bytes,
    *,
    scales: int | None = None,
    fill: str = "mean",
    seed: int = 0,
    device: str = "cpu",
    allow_truncated: bool = False,
) -> Image.Image:
    """The bytes of an .arpc file -> PIL picture (L, LA, RGB or RGBA) from its first `scales` scales.

    Raises FormatError for a damaged file, TruncatedError for a cut one unless allowed, ModelError when its model is
    missing. `fill`: mean, argmax, sample or none.
    """
    from arpc_codec.container import read
    from arpc_codec.errors import FormatError, TruncatedError
    from arpc_codec.imageio import from_chunks, to_image
    from arpc_codec.loading import load_for

    container = read(data)
    header = container.header
    if container.truncated and not allow_truncated:
        raise TruncatedError(f"truncated: {len(container.segments)} of {header.scales} scales arrived")
    extras = from_chunks(container.chunks, header.height, header.width)
    if extras.notes:
        raise FormatError("; ".join(extras.notes))
    decoded = load_for(header, device).decode(container, scales=scales, fill=fill, seed=seed)
    if decoded.damaged:
        raise FormatError(f"scale {decoded.damaged[0]} is damaged; scales={decoded.scales} decodes those before it")
    return to_image(decoded.pixels, extras.alpha, bool(header.colour), icc=extras.icc, exif=extras.exif, xmp=extras.xmp)


def info(data: bytes) -> Info:
    """What a file says about itself and where its bytes went, cut files too; FormatError, UnsupportedError."""
    from arpc_codec.container import info as describe

    return describe(data)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("arpc-codec")
    except PackageNotFoundError:
        return "0+source"
