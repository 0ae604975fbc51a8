"""Picture files <-> pixels. What happens to each kind of picture is written at the top of `reading.py`."""

from arpc_codec.imageio.alpha import pack_alpha, unpack_alpha
from arpc_codec.imageio.chunks import (
    ALPHA_POLICIES,
    KEEPABLE,
    Extras,
    apply_alpha,
    check_alpha,
    check_keep,
    from_chunks,
    to_chunks,
)
from arpc_codec.imageio.picture import MAX_PIXELS, Picture
from arpc_codec.imageio.reading import read
from arpc_codec.imageio.writing import FORMATS, format_of, to_image, write

__all__ = [
    "ALPHA_POLICIES",
    "FORMATS",
    "KEEPABLE",
    "MAX_PIXELS",
    "Extras",
    "Picture",
    "apply_alpha",
    "check_alpha",
    "check_keep",
    "format_of",
    "from_chunks",
    "pack_alpha",
    "read",
    "to_chunks",
    "to_image",
    "unpack_alpha",
    "write",
]
