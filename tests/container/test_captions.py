"""Captions: round trips, one spelling, what strange ones cost, the model as the specification words it, the rate."""

import random
import time
import zlib
from collections import Counter, defaultdict
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arpc_codec.container import MAX_CAPTION_BYTES, captions
from arpc_codec.container.captions import decode_text, encode_caption, encode_text, parse_caption
from arpc_codec.container.cursor import Cursor
from arpc_codec.container.varint import CutError, encode_varint
from arpc_codec.errors import FormatError

# As captioning networks and as people write them; none was used to write the text of the model.
PLAIN = [
    "a woman and two children feeding pigeons in a square",
    "an old blue tram crossing a bridge in the fog",
    "a plate of noodles with shrimp and chopsticks on a bamboo mat",
    "three horses drinking from a creek below snowy peaks",
    "a cyclist in a yellow jersey racing past a crowd",
    "a close up of a bee on a purple thistle",
    "a lighthouse and a fishing boat at dusk",
    "a kitchen with blue tiles and a wooden floor",
]
SENTENCES = [
    "Two boys build a sand castle near the waves.",
    "My grandmother's house in Lisbon, summer of 1987!",
    "A conductor and his orchestra during a rehearsal.",
]

texts = st.text(st.characters(codec="utf-8"), max_size=120).filter(lambda text: len(text.encode()) <= MAX_CAPTION_BYTES)


@given(texts | st.text("aehnost ,.", max_size=200))
@example("")
@example("\0")
@example("a\0b")
@example("🐈‍⬛ on a 🛋️")
@example("ein Café am Fluß, 赤い喫茶店")
@example("a man " * 170)
@example("\x01")
@example("ab" * 512)
def test_every_text_comes_back(text: str) -> None:
    data = encode_caption(text)
    cursor = Cursor(data + b"rest")
    assert parse_caption(cursor) == text
    assert cursor.remaining == 4
    plain = text.encode()
    assert len(data) <= len(encode_varint(len(plain))) + len(plain) + 1


@given(st.integers(0, 60), st.integers(0, 1), st.binary(max_size=30))
def test_one_spelling(size: int, way: int, data: bytes) -> None:
    data = encode_varint(2 * size + way) + data
    cursor = Cursor(data)
    try:
        text = parse_caption(cursor)
    except FormatError:
        return
    assert encode_caption(text) == data[: cursor.offset]


@pytest.mark.parametrize("text", [*PLAIN, *SENTENCES])
def test_no_other_bytes_say_the_same(text: str) -> None:
    coded = encode_text(text.encode())
    number, size = int.from_bytes(coded, "big"), len(coded)
    assert decode_text((number - 1).to_bytes(size, "big")) != text.encode(), "the least number"
    for shorter in (number >> 8, (number >> 8) + 1):
        assert decode_text(shorter.to_bytes(size - 1, "big")) != text.encode(), "the fewest bytes"
    for longer in (coded + b"\0", coded + b"\1"):
        assert decode_text(longer) == text.encode()
        with pytest.raises(FormatError, match="shortest"):
            parse_caption(Cursor(encode_varint(2 * len(longer) + 1) + longer))
    with pytest.raises(FormatError, match="shortest"):
        parse_caption(Cursor(encode_varint(2 * len(text)) + text.encode()))


def test_refused_bytes() -> None:
    for data, problem in [
        (encode_varint(2 * 1025) + b"a" * 1025, "1025 bytes"),
        (encode_varint(2 * 1024 + 1) + b"\xff" * 1024, "UTF-8|shortest|longer"),
        (b"\x01", "shortest"),
        (b"\x02\xff", "UTF-8"),
    ]:
        with pytest.raises(FormatError, match=problem):
            parse_caption(Cursor(data))
    with pytest.raises(CutError):
        parse_caption(Cursor(encode_caption(PLAIN[0])[:-1]))
    with pytest.raises(FormatError, match="longer than 1024"):
        decode_text(encode_text(b"a man in the " * 79))
    assert decode_text(encode_text(b"a" * 1024)) == b"a" * 1024
    with pytest.raises(FormatError, match="longer than 1024"):
        decode_text(encode_text(b"a" * 1025))


def test_the_costliest_captions_take_no_longer_than_usual_ones() -> None:
    def seconds(seed: bytes) -> float:
        text = (seed * 1024)[:1024]
        captions._ends.cache_clear()
        start = time.process_time()
        assert decode_text(encode_text(text)) == text
        return time.process_time() - start

    usual = seconds(b"a red kite over a lighthouse by the sea. ")
    for seed in (b"the ", b"\xff\xfe", b"a person's ", b"zq"):
        assert seconds(seed) < 5 * usual


def test_every_context_is_computed_once() -> None:
    """The longest caption has 1025, its end included: a cache of fewer would forget each before it is asked again."""
    text = bytes(random.Random(0).choices(range(97, 123), k=MAX_CAPTION_BYTES))
    captions._ends.cache_clear()
    assert decode_text(encode_text(text)) == text
    assert captions._ends.cache_info().misses == MAX_CAPTION_BYTES + 1


def test_shares_are_those_of_the_specification() -> None:
    """The specification's rule once more, in fractions, on contexts of every length."""
    counts: dict[bytes, Counter[int]] = defaultdict(Counter)
    for line in captions._TEXT.read_text(encoding="ascii").splitlines():
        text = b"\0" + line.encode() + b"\0"
        for at in range(1, len(text)):
            for context in [text[max(0, at - 6) : at][start:] for start in range(min(6, at) + 1)]:
                counts[context][text[at]] += 1
                if counts[context][text[at]] > 1:
                    break
    for context in (b"", b"\0", b"\0a", b"a gro", b"in the", b"qx", b"\xff", b"e of a"):
        shares = [Fraction(1, 256)] * 256
        for suffix in [context[len(context) - length :] for length in range(len(context) + 1)]:
            if suffix not in counts:
                break
            n, taken = counts[suffix], Fraction(3 * len(counts[suffix]), 4)
            whole = sum(n.values())
            shares = [(max(n[b] - Fraction(3, 4), 0) + taken * shares[b]) / whole for b in range(256)]
        ends = captions._ends(context)
        starts = [0, *ends[:-1]]
        assert [Fraction(end - start, ends[-1]) for start, end in zip(starts, ends, strict=True)] == shares
        assert sum(shares) == 1
        assert min(shares) > 0


def test_the_text_is_the_one_of_the_specification() -> None:
    text = captions._TEXT.read_bytes().replace(b"\r\n", b"\n")
    assert (len(text), zlib.crc32(text)) == (8147, 0x98E47964)
    assert text.isascii()


def test_mean_bytes() -> None:
    """Bytes of UTF-8 and coded, as docs/captions.md says."""
    means = {}
    for name, texts in (("plain", PLAIN), ("sentences", SENTENCES)):
        means[name] = tuple(
            round(sum(map(len, sizes)) / len(texts), 1)
            for sizes in ([text.encode() for text in texts], [encode_text(text.encode()) for text in texts])
        )
    assert means == {"plain": (47.5, 14.8), "sentences": (47.3, 23.3)}
