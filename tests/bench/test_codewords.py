"""Lengths of published codewords against a coder that writes them and a decoder that reads them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arpc_codec.bench.codewords import codeword_lengths, published_bits

TOP, SECOND, ALL = 1 << 31, 1 << 30, (1 << 32) - 1


def narrowed(low: int, high: int, bit: int, ones: int) -> tuple[int, int]:
    split = low + ((high - low + 1) * (65536 - ones) >> 16)
    return (split, high) if bit else (low, split - 1)


def write(bits: list[int], counts: list[int]) -> list[int]:
    low, high, pending, out = 0, ALL, 0, []
    for bit, ones in zip(bits, counts, strict=True):
        low, high = narrowed(low, high, bit, ones)
        while True:
            if (low ^ high) & TOP == 0:
                first = low >> 31
                out += [first, *[1 - first] * pending]
                pending = 0
                low, high = low << 1 & ALL, high << 1 & ALL | 1
            elif low & ~high & SECOND:
                pending += 1
                low, high = (low << 1 & ALL) ^ TOP, (high << 1 & ALL | 1) | TOP
            else:
                break
    quarter = int(low >= SECOND)
    return [*out, quarter, *[1 - quarter] * (pending + 1)]


def read(code: list[int], counts: list[int]) -> list[int]:
    stream = iter(code)
    value = 0
    for _ in range(32):
        value = value << 1 | next(stream, 0)
    low, high, bits = 0, ALL, []
    for ones in counts:
        bit = int(value >= low + ((high - low + 1) * (65536 - ones) >> 16))
        bits.append(bit)
        low, high = narrowed(low, high, bit, ones)
        while True:
            if (low ^ high) & TOP == 0:
                value = value << 1 & ALL | next(stream, 0)
                low, high = low << 1 & ALL, high << 1 & ALL | 1
            elif low & ~high & SECOND:
                value = ((value << 1 & ALL) ^ TOP) | next(stream, 0)
                low, high = (low << 1 & ALL) ^ TOP, (high << 1 & ALL | 1) | TOP
            else:
                break
    return bits


token = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 65535)), min_size=16, max_size=16)


@given(tokens=st.lists(token, min_size=1, max_size=8))
def test_lengths_are_those_of_codewords_that_decode(tokens: list[list[tuple[int, int]]]) -> None:
    table = np.array(tokens)
    lengths = codeword_lengths(table[..., 0] == 1, table[..., 1])
    for pairs, length in zip(tokens, lengths, strict=True):
        bits, counts = [bit for bit, _ in pairs], [ones for _, ones in pairs]
        code = write(bits, counts)
        assert len(code) == length
        assert all(read([*code, *behind], counts) == bits for behind in ([0] * 40, [1] * 40, [0, 1] * 20))


def test_a_fair_token_is_sent_as_it_is_and_a_sure_one_takes_three_bits() -> None:
    bits = np.ones((3, 16), bool)
    assert published_bits(bits, np.full((3, 16), 32768)) == 3 * 17
    assert published_bits(bits, np.full((3, 16), 65535)) == 3 * 3
