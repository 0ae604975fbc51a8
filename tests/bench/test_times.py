"""Seconds and memory: of commands, of files in a report, and what is said about them."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from PIL import Image

from arpc_codec.bench.compare import compare
from arpc_codec.bench.peers import PEERS, Jpeg
from arpc_codec.bench.report.page import page
from arpc_codec.bench.report.speed import speed_section, speed_series
from arpc_codec.bench.report.words import findings
from arpc_codec.bench.run import Measured, PeerFiles, Plan, Step, measure_picture
from arpc_codec.bench.store import FileKey, Store
from arpc_codec.bench.table import Facts
from arpc_codec.bench.times import COLUMNS, Cost, Timing, kept, time_file, times_csv
from arpc_codec.bench.watch import Command, watch


def python(*lines: str, data: bytes = b"") -> Command:
    return Command([sys.executable, "-c", "\n".join(lines)], data)


def test_a_command_has_its_own_seconds_and_memory() -> None:
    # A parent's memory must not count: this process is larger than the first command.
    ballast = np.ones(150 << 20, np.uint8)
    start = perf_counter()
    small = watch(python("import time", "time.sleep(0.3)"))
    took = perf_counter() - start
    large = watch(python("import sys", "held = b'x' * (80 << 20)", "assert sys.stdin.read() == 'in'", data=b"in"))
    assert 0.3 <= small.seconds <= took
    assert small.mib < 60 < large.mib - small.mib < 120
    assert ballast.size


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        watch(python("import sys", "sys.exit('no such thing')"))


def test_times_are_kept(tmp_path: Path) -> None:
    key = FileKey("codec", 1, 1.0)
    assert kept(Store(tmp_path, "a"), key, ("encode seconds", "MiB"), lambda: [1.5, 20]) == [1.5, 20]
    again = Store(tmp_path, "a")
    assert kept(again, key, ("encode seconds", "MiB"), lambda: pytest.fail("taken twice")) == [1.5, 20]
    assert kept(again, FileKey("codec", 2, 1.0), ("encode seconds",), lambda: [3]) == [3]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noise = np.random.default_rng(5).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((256, 192), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize("name", ["jpeg", pytest.param("vvc", marks=pytest.mark.thorough)])
def test_a_library_has_seconds_in_process_and_a_command_has_memory(name: str, photo: Path, tmp_path: Path) -> None:
    if reason := PEERS[name].missing():
        pytest.skip(reason)
    plan = Plan(tmp_path / "cache", (), (PEERS[name](),), targets=(0.5,))
    (step,) = measure_picture(plan, photo)
    ((coder, measured),) = plan.files(step)
    timing = time_file(plan, photo, step, coder, measured)
    for cost in (timing.encode, timing.decode):
        numbers = (cost.seconds, cost.command_seconds, cost.mib)
        assert [number is not None for number in numbers] == [name == "jpeg", name == "vvc", name == "vvc"]
        assert cost.least is not None
        assert cost.least > 0
    assert (timing.codec, timing.bytes, timing.pixels) == (name, measured.bytes, 192 * 256)
    assert time_file(plan, photo, step, coder, measured) == timing


def test_steps_know_nothing_of_times(photo: Path, tmp_path: Path) -> None:
    plan = Plan(tmp_path / "cache", (), (Jpeg(),), targets=(0.5,))
    (step,) = measure_picture(plan, photo)
    for coder, measured in plan.files(step):
        time_file(plan, photo, step, coder, measured)
    assert measure_picture(plan, photo) == [step]
    assert measure_picture(Plan(tmp_path / "other", (), (Jpeg(),), targets=(0.5,)), photo) == [step]


def made_up(ours: Cost, peers: dict[str, Cost]) -> tuple[list[Step], list[Timing]]:
    """Two k of one picture of half a megapixel; decoding costs as much as encoding."""
    steps, times = [], []
    for k in (1, 2):
        files = {name: PeerFiles(100, {"psnr": Measured(k, 1.0, 100 * k, {"psnr": 20.0})}) for name in peers}
        mine = Measured(k, 1.0, 100 * k, {"psnr": 30.0})
        steps.append(Step("a.png", 500_000, "progic", k, 100 * k, mine, files))
        for codec, cost in {"progic": ours, **peers}.items():
            times.append(Timing("a.png", 500_000, "progic", k, codec, k, 1.0, 100 * k, cost, cost))
    return steps, times


OURS = Cost(0.2, 4.0, 500.0)
SLOWER, FASTER = Cost(0.8), Cost(None, 1.0, 40.0)
"""A library that takes four times our seconds, and a command that takes a quarter of ours as a command."""


def test_what_is_slower_is_said_beside_what_is_better() -> None:
    at_once, slow, fast = findings(compare(*made_up(OURS, {"jpeg": SLOWER, "vvc": FASTER})))
    assert slow.wins == ["At every rate compared: PSNR, speed of encoding and speed of decoding."]
    assert slow.remarks == ["Our encoding takes 0.25 times as long.", "Our decoding takes 0.25 times as long."]
    assert fast.wins == ["At every rate compared: PSNR."]
    # Ours inside a process takes less than that command, which would be no fair comparison.
    assert fast.losses == ["At every rate compared: speed of encoding and speed of decoding."]
    assert fast.remarks[0] == "Our encoding takes 4 times as long, both as commands."
    assert at_once.losses == fast.losses


def test_speed_stands_in_the_page_and_its_chart_counts_megapixels() -> None:
    steps, times = made_up(OURS, {"jpeg": SLOWER, "vvc": FASTER})
    series = speed_series(compare(steps, times), "decode")
    seconds = {one.name: {value for _, value, _ in one.points} for one in series}
    assert seconds == {"progic": {0.4}, "jpeg": {1.6}, "vvc": {2.0}}
    html = page(steps, [], Facts(["psnr"], machine="a <machine>"), times)
    section = html.split('id="h-speed"')[1].split("</section>")[0]
    # Two charts of two points, and the legend.
    assert section.count('<path class="mark ours"') == 2 * 2 + 1
    assert "on a &lt;machine&gt;" in section
    assert section.count("<td>library</td>") == 2 * 2 == section.count("<td>command</td>")
    assert 'id="h-speed"' not in page(steps, [], Facts(["psnr"]))


def test_speed_of_fewer_pictures_says_so_and_is_no_part_of_the_curve() -> None:
    steps, times = made_up(OURS, {"jpeg": SLOWER})
    steps += [replace(step, picture="b.png") for step in steps if step.k == 1]
    times += [replace(timing, picture="b.png") for timing in times if timing.k == 1]
    comparisons = compare(steps, times)
    assert [len(one.points) for one in speed_series(comparisons, "decode")] == [1, 1]
    assert "progic 2 (1 of 2)" in speed_section(comparisons, ["a.png", "b.png"], "here")
    # One picture was timed: that others lack this k does not matter here.
    first = [timing for timing in times if timing.picture == "a.png"]
    assert [len(one.points) for one in speed_series(compare(steps, first), "decode")] == [2, 2]


def test_csv_of_times_leaves_out_what_was_not_measured() -> None:
    _, times = made_up(OURS, {"jpeg": SLOWER})
    rows = list(csv.DictReader(io.StringIO(times_csv(times))))
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["codec"], row["encode_seconds"], row["decode_mib"]) for row in rows[:2]] == [
        ("progic", "0.2", "500.0"),
        ("jpeg", "0.8", ""),
    ]
