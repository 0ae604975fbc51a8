"""Small integers of adapters: exact round trips, and no other bytes pass as a crash."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arpc_codec.entropy.integers import decode_integers, encode_integers
from arpc_codec.errors import FormatError

GROUPS = st.lists(st.lists(st.integers(-127, 127), max_size=60), max_size=4)


@given(GROUPS)
def test_round_trip(groups: list[list[int]]) -> None:
    arrays = [np.array(group, np.int8) for group in groups]
    back = decode_integers(encode_integers(arrays), [len(group) for group in groups])
    assert [part.tolist() for part in back] == groups


def test_mostly_zeros_are_cheap() -> None:
    values = np.zeros(8000, np.int8)
    values[::100] = 3
    assert len(encode_integers([values])) < 8000 * 0.12 / 8 + 30


@given(st.binary(max_size=60), st.lists(st.integers(0, 50), max_size=4))
def test_any_bytes_end_in_numbers_or_a_format_error(data: bytes, sizes: list[int]) -> None:
    try:
        back = decode_integers(data, sizes)
    except FormatError:
        return
    assert [len(part) for part in back] == sizes


def test_ends_early() -> None:
    with pytest.raises(FormatError):
        decode_integers(b"", [1])
