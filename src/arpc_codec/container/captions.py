"""Captions <-> bytes: UTF-8, or shorter where a model of letters knows the words. `formats/arpc-v1.md` is normative.

The model is how often a byte followed up to six others in `captions.txt`. Its shares and the coded number are integers
of any size, so that nothing is rounded anywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path

from arpc_codec.container.cursor import Cursor
from arpc_codec.container.varint import encode_varint
from arpc_codec.errors import FormatError

MAX_CAPTION_BYTES = 1024
ORDER = 6
# Stands before and behind every text.
END = b"\0"
_TEXT = Path(__file__).with_name("captions.txt")
# As many contexts as a caption has, its end included: what is decoded is then encoded to compare.
_REMEMBERED = MAX_CAPTION_BYTES + 1


def encode_caption(caption: str) -> bytes:
    """The one spelling of a caption of at most 1024 bytes of UTF-8: number of bytes and way, then the bytes."""
    plain = caption.encode()
    coded = plain if END in plain else encode_text(plain)
    is_coded = len(coded) < len(plain)
    data = coded if is_coded else plain
    return encode_varint(2 * len(data) + is_coded) + data


def parse_caption(cursor: Cursor) -> str:
    """Undoes `encode_caption`; CutError when the bytes end, FormatError for anything that it would not write."""
    start = cursor.offset
    size, is_coded = divmod(cursor.varint(), 2)
    if size > MAX_CAPTION_BYTES:
        raise FormatError(f"a caption of {size} bytes: at most {MAX_CAPTION_BYTES}")
    cursor.mark("caption length", f"{size} B, {'coded' if is_coded else 'UTF-8'}")
    data = cursor.take(size)
    try:
        caption = (decode_text(data) if is_coded else data).decode()
    except UnicodeDecodeError:
        raise FormatError("the caption is not UTF-8") from None
    if encode_caption(caption) != cursor.data[start : cursor.offset]:
        raise FormatError("the caption is not in its shortest form")
    cursor.mark("caption", f"coded text of {len(caption.encode())} B" if is_coded else "UTF-8 text", "caption")
    return caption


@cache
def _followers() -> dict[bytes, dict[int, int]]:
    """How often each byte follows a context in the lines of the text.

    A shorter context counts only what is new to the longer ones (as Kneser and Ney do), since it is asked about bytes
    that they have not seen.
    """
    counts: dict[bytes, dict[int, int]] = {}
    for line in _TEXT.read_bytes().splitlines():
        text = END + line + END
        for at in range(1, len(text)):
            for length in range(min(ORDER, at), -1, -1):
                followers = counts.setdefault(text[at - length : at], {})
                followers[text[at]] = followers.get(text[at], 0) + 1
                if followers[text[at]] > 1:
                    break
    return counts


@lru_cache(_REMEMBERED)
def _ends(context: bytes) -> list[int]:
    """Where the share of each of the 256 bytes ends, each at least 1, after a context of up to ORDER bytes.

    From no context to the longest that is known, 3/4 is taken off every count and given to the shares so far.
    """
    shares, total = [1] * 256, 256
    for length in range(len(context) + 1):
        followers = _followers().get(context[len(context) - length :])
        if followers is None:
            break
        shares = [3 * len(followers) * share for share in shares]
        for byte, count in followers.items():
            shares[byte] += (4 * count - 3) * total
        total *= 4 * sum(followers.values())
    return list(accumulate(shares))


def encode_text(plain: bytes) -> bytes:
    """The shortest bytes, of equally short ones the least, that are a fraction within the text's part of 0..1."""
    low, width, whole = 0, 1, 1
    text = END + plain + END
    for at in range(1, len(text)):
        ends = _ends(text[max(0, at - ORDER) : at])
        start = ends[text[at] - 1] if text[at] else 0
        low, width, whole = low * ends[-1] + start * width, width * (ends[text[at]] - start), whole * ends[-1]
    # Enough bytes for sure; then fewer, while one of the numbers between `least` and `most` ends in a zero byte.
    size = (whole // width).bit_length() // 8 + 1
    least, most = -(-(low << 8 * size) // whole), ((low + width << 8 * size) - 1) // whole
    while size and -(-least >> 8) <= most >> 8:
        size, least, most = size - 1, -(-least >> 8), most >> 8
    return least.to_bytes(size, "big")


def decode_text(coded: bytes) -> bytes:
    """Undoes `encode_text`, whether or not the bytes are the shortest. Raises FormatError when the text has no end."""
    number, whole = int.from_bytes(coded, "big"), 1 << 8 * len(coded)
    text = bytearray(END)
    while len(text) <= MAX_CAPTION_BYTES + 1:
        ends = _ends(bytes(text[-ORDER:]))
        byte = bisect_right(ends, number * ends[-1] // whole)
        start = ends[byte - 1] if byte else 0
        number, whole = number * ends[-1] - start * whole, whole * (ends[byte] - start)
        if not byte:
            return bytes(text[1:])
        text.append(byte)
    raise FormatError(f"the caption is longer than {MAX_CAPTION_BYTES} bytes")
