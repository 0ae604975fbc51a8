"""The published schedules, and which of them a picture gets."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arpc_codec.scales.published import published


def test_every_published_schedule_is_there(shared_dir: Path) -> None:
    ratios = json.loads((shared_dir / "reference" / "infinity-tiny" / "SCHEDULES.json").read_text("utf-8"))["ratios"]
    found = 0
    for ratio in ratios.values():
        for expected in ratio["pn"].values():
            mine = published(*expected["image_h_w"])
            assert [list(size) for size in mine.schedule] == expected["scales_h_w"]
            assert list(mine.grid) == ratio["final_h_w_1M"]
            assert list(mine.size) == expected["image_h_w"]
            found += 1
    assert found == 60


def test_no_number_of_the_table_has_changed() -> None:
    """Another size of a scale in the middle would make files that nobody else can read."""
    every = {published(height, width) for height in range(200, 1800, 16) for width in range(200, 1800, 16)}
    assert len(every) == 60
    text = json.dumps(sorted((one.size, one.grid, one.schedule) for one in every))
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "510479bc0df2eaea7b7dc2eb2ed15e7556105923bab4f06c74aa4ece763f7386"
    )


@pytest.mark.parametrize(
    ("size", "coded"),
    [
        ((1, 1), (256, 256)),
        ((512, 768), (416, 624)),
        ((768, 512), (624, 416)),
        ((1080, 1920), (768, 1344)),
        ((4000, 3000), (1152, 864)),
        ((1, 1000), (144, 432)),
        ((2**24, 1), (1776, 592)),
        ((362, 362), (256, 256)),
        ((363, 363), (512, 512)),
    ],
)
def test_sizes(size: tuple[int, int], coded: tuple[int, int]) -> None:
    assert published(*size).size == coded


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_the_nearest_ratio_is_chosen_and_turning_over_turns_it(height: int, width: int) -> None:
    mine, turned = published(height, width), published(width, height)
    ratios = [g[0] / g[1] for g in (published(h, 1000).grid for h in range(300, 3200, 20))]
    distance = abs(math.log(mine.grid[0] / mine.grid[1] * width / height))
    assert all(distance <= abs(math.log(ratio * width / height)) + 1e-9 for ratio in ratios)
    assert mine.schedule[-1] == (mine.size[0] // 16, mine.size[1] // 16)
    middle = abs(math.log(turned.grid[0] / turned.grid[1] * height / width)) - distance
    assert abs(middle) < 1e-9
