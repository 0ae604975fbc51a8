"""PBM, PGM, PPM and PAM, plain and raw, up to 16 bits: Pillow scales samples to the full range, and knows no PAM."""

from __future__ import annotations

import re

import numpy as np

from arpc_codec.errors import ArpcError
from arpc_codec.imageio.opening import check_size
from arpc_codec.imageio.picture import ExactPicture, Samples
from arpc_codec.imageio.samples import refused

SIGNATURE = re.compile(rb"P[1-7]\s")
_CHANNELS = {1: 1, 2: 1, 3: 3, 4: 1, 5: 1, 6: 3}
_TUPLE_TYPES = {
    "BLACKANDWHITE": 1,
    "GRAYSCALE": 1,
    "BLACKANDWHITE_ALPHA": 2,
    "GRAYSCALE_ALPHA": 2,
    "RGB": 3,
    "RGB_ALPHA": 4,
}
_SPACE = rb"(?:\s|#[^\n]*\n)+"
_FULL = {8: 255, 16: 65535}


def read(data: bytes, max_pixels: int) -> ExactPicture:
    """P1 to P7 -> ExactPicture; ArpcError when damaged, too large, or of several pictures.

    Samples of 1, 2 or 4 bits are spread over 0..255. Other samples stay as they are, and a maximum that is not that of
    their bytes is a note: it would have to scale them.
    """
    kind = data[1] - ord("0")
    shape, top, raster = _pam_header(data) if kind == 7 else _header(data, kind)
    height, width, channels = shape
    check_size(width, height, max_pixels)
    if not 1 <= top <= 65535:
        raise refused(f"a maximum of {top} for a sample")
    if kind <= 3:
        samples, rest = _plain(raster, height * width * channels, kind == 1), b""
    elif kind == 4:
        stride = -(-width // 8)
        bits = np.unpackbits(_raw(raster, height * stride, 1).reshape(height, stride), axis=1)
        samples, rest = bits[:, :width], raster[height * stride :]
    else:
        size = 1 if top < 256 else 2
        samples = _raw(raster, height * width * channels, size)
        rest = raster[samples.nbytes :]
    notes, left_out = [], []
    if b"#" in data[: len(data) - len(raster)]:
        left_out.append("comments in the header not kept")
    if SIGNATURE.match(rest):
        raise refused("several pictures in one file")
    if rest.strip():
        left_out.append(f"{len(rest)} bytes behind the picture not kept")
    if samples.max() > top:
        raise ArpcError("damaged: a sample is above the maximum of its file")
    if kind in (1, 4):
        # One is black.
        samples = 1 - samples
    if top in (1, 3, 15):
        samples = samples * (255 // top)
        notes.append(f"{top.bit_length()}-bit samples coded as 8 bits")
    elif top not in _FULL.values():
        if channels in (2, 4):
            raise refused(f"alpha with a maximum of {top}")
        notes.append(f"samples 0..{top} kept as they are: the maximum is not kept")
    return ExactPicture(
        samples.astype(np.uint8 if top < 256 else np.uint16).reshape(shape),
        notes=tuple(notes),
        left_out=tuple(left_out),
    )


def write_pnm(picture: ExactPicture) -> bytes:
    """ExactPicture -> raw PGM or PPM; ArpcError with alpha or metadata."""
    height, width, channels = picture.samples.shape
    if channels not in (1, 3):
        raise ArpcError("PGM and PPM hold no alpha")
    kind = "P5" if channels == 1 else "P6"
    return f"{kind}\n{width} {height}\n{_FULL[picture.bits]}\n".encode() + _raster(picture)


def write_pgm(picture: ExactPicture) -> bytes:
    """As `write_pnm`; ArpcError with colours, too."""
    if picture.samples.shape[2] > 2:
        raise ArpcError("PGM holds no colours: use PPM")
    return write_pnm(picture)


def write_pam(picture: ExactPicture) -> bytes:
    """ExactPicture -> PAM; ArpcError with metadata."""
    height, width, channels = picture.samples.shape
    name = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}[channels]
    header = f"WIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {_FULL[picture.bits]}\nTUPLTYPE {name}"
    return f"P7\n{header}\nENDHDR\n".encode() + _raster(picture)


def _raster(picture: ExactPicture) -> bytes:
    if (picture.icc, picture.exif, picture.xmp) != (None, None, None):
        raise ArpcError("PGM, PPM and PAM hold no metadata")
    samples = picture.samples
    return samples.astype(samples.dtype.newbyteorder(">")).tobytes()


def _header(data: bytes, kind: int) -> tuple[tuple[int, int, int], int, bytes]:
    """((height, width, channels), maximum, raster) of P1 to P6."""
    count = 2 if kind in (1, 4) else 3
    # One white space ends the header; after it a raw raster may have any byte.
    match = re.match(rb"P[1-6]" + (_SPACE + rb"(\d{1,9})") * count + rb"\s", data)
    if not match:
        raise ArpcError("damaged: no header of PBM, PGM or PPM")
    width, height, *top = map(int, match.groups())
    return (height, width, _CHANNELS[kind]), top[0] if top else 1, data[match.end() :]


def _pam_header(data: bytes) -> tuple[tuple[int, int, int], int, bytes]:
    """((height, width, channels), maximum, raster) of P7."""
    head, mark, raster = data.partition(b"\nENDHDR\n")
    lines = [line.split(None, 1) for line in head.decode("latin-1").splitlines()[1:] if not line.startswith("#")]
    fields = {line[0]: line[1].strip() for line in lines if len(line) == 2}
    try:
        height, width, channels, top = (int(fields[name]) for name in ("HEIGHT", "WIDTH", "DEPTH", "MAXVAL"))
    except (KeyError, ValueError):
        mark = b""
        height = width = channels = top = 0
    if not mark or min(height, width) < 0:
        raise ArpcError("damaged: no header of PAM")
    meaning = fields.get("TUPLTYPE", {1: "GRAYSCALE", 3: "RGB"}.get(channels, "of unknown meaning"))
    if _TUPLE_TYPES.get(meaning) != channels:
        raise refused(f"{channels} channels {meaning}")
    return (height, width, channels), top, raster


def _plain(raster: bytes, count: int, packed: bool) -> Samples:
    """`count` decimal numbers, in PBM (packed) single digits that need no space between them."""
    text = re.sub(rb"#[^\n]*", b"", raster)
    if packed:
        samples = np.frombuffer(b"".join(text.split()), np.uint8) - np.uint8(ord("0"))
    elif re.search(rb"[^\d\s]|\d{6}", text):
        raise ArpcError("damaged: a sample is no number")
    else:
        samples = np.array(text.split(), dtype="S5").astype(np.uint32)
    if samples.size != count:
        raise ArpcError(f"damaged: {samples.size} samples instead of {count}")
    return samples


def _raw(raster: bytes, count: int, size: int) -> Samples:
    """The first `count` samples of `size` bytes each."""
    if len(raster) < count * size:
        raise ArpcError("the file ends early")
    return np.frombuffer(raster, np.dtype(f">u{size}"), count)
