import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arpc_codec.bench.ladder import Ladder
from arpc_codec.bench.store import FileKey, Store


@given(
    sizes=st.lists(st.integers(1, 10_000), min_size=1, max_size=60).map(sorted),
    wanted=st.lists(st.integers(1, 11_000), min_size=1, max_size=5),
)
def test_reach_finds_the_smallest_file_that_is_large_enough(sizes: list[int], wanted: list[int]) -> None:
    ladder = Ladder(len(sizes), sizes.__getitem__)
    for size in wanted:
        index = ladder.reach(size)
        best = min((s for s in sizes if s >= size), default=None)
        assert (None if index is None else sizes[index]) == best


@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=40), wanted=st.integers(1, 600))
def test_reach_ends_and_is_never_too_small_when_sizes_do_not_grow(sizes: list[int], wanted: int) -> None:
    index = Ladder(len(sizes), sizes.__getitem__).reach(wanted)
    if index is not None:
        assert sizes[index] >= wanted


def test_reach_tries_few_settings() -> None:
    tried: list[int] = []

    def size_of(index: int) -> int:
        tried.append(index)
        return round(300 * 1.12**index)

    ladder = Ladder(60, size_of)
    ladder.reach(5000)
    assert len(tried) == len(set(tried)) <= 10


def test_store_keeps_files_and_values_and_survives_a_torn_line(tmp_path: Path) -> None:
    key = FileKey("vvc-12345678", 50, 0.5)
    store = Store(tmp_path, "abc")
    assert store.file(key, lambda: b"data") == b"data"
    store.keep(key, "psnr", 1, 30.5)
    store.keep(key, "niqe", 1, None)
    with (tmp_path / "abc.jsonl").open("a") as lines:
        lines.write('{"codec": "vvc-12345678", "setting": 50, "sca')

    again = Store(tmp_path, "abc")
    assert again.file(key, lambda: pytest.fail("encoded twice")) == b"data"
    assert again.value(key, "psnr", 1) == 30.5
    assert again.has(key, "niqe", 1)
    assert again.value(key, "niqe", 1) is None
    assert not again.has(key, "psnr", 2)
    again.keep(key, "ms_ssim", 1, 0.9)
    assert Store(tmp_path, "abc").value(key, "ms_ssim", 1) == 0.9
    assert json.loads((tmp_path / "abc.jsonl").read_text("utf-8").splitlines()[-1])["metric"] == "ms_ssim"


def test_store_keeps_infinity_in_valid_json(tmp_path: Path) -> None:
    key = FileKey("arpc-12345678", 4, 1)
    Store(tmp_path, "abc").keep(key, "psnr", 1, math.inf)
    assert Store(tmp_path, "abc").value(key, "psnr", 1) == math.inf
    assert "Infinity" not in (tmp_path / "abc.jsonl").read_text("utf-8")
