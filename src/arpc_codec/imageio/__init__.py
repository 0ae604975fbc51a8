"""Picture files <-> pixels. What happens to each kind: top of `reading.py`, and of `exact.py` for archives."""

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
from arpc_codec.imageio.exact import EXACT_FORMATS, exact_format, fitted, read_exact, write_exact
from arpc_codec.imageio.first_page import check_opened
from arpc_codec.imageio.opening import suffixes
from arpc_codec.imageio.picture import MAX_PIXELS, ExactPicture, Picture
from arpc_codec.imageio.reading import read
from arpc_codec.imageio.thumbnail import shrunk
from arpc_codec.imageio.writing import FORMATS, format_of, to_image, written

__all__ = [
    "ALPHA_POLICIES",
    "EXACT_FORMATS",
    "FORMATS",
    "KEEPABLE",
    "MAX_PIXELS",
    "ExactPicture",
    "Extras",
    "Picture",
    "apply_alpha",
    "check_alpha",
    "check_keep",
    "check_opened",
    "exact_format",
    "fitted",
    "format_of",
    "from_chunks",
    "pack_alpha",
    "read",
    "read_exact",
    "shrunk",
    "suffixes",
    "to_chunks",
    "to_image",
    "unpack_alpha",
    "write_exact",
    "written",
]
