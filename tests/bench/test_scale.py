"""Cost against size: measurements in processes of their own, fits that find what is worse than linear, the report."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from arpc_codec.bench.growth import (
    LINEAR,
    QUANTITIES,
    Cost,
    Row,
    by_parts,
    exponent,
    fits,
    read_rows,
    rows_text,
    verdict,
)
from arpc_codec.bench.ours import version_of
from arpc_codec.bench.report.plot import OURS
from arpc_codec.bench.report.scale import scale_section
from arpc_codec.errors import ArpcError
from arpc_codec.loading import DEFAULT_MODELS
from dev.bench.samples import mirrored
from dev.bench.scale import Measurements, main


def made_up(power: float = 1.0, codec: str = "arpc", sides: tuple[int, ...] = (64, 512, 1024, 2048)) -> list[Row]:
    """Encoding time grows with that power of the pixels, all else linearly; starting takes 2 s and 300 MiB."""
    rows = []
    for side in sides:
        n = (side / 512) ** 2
        costs = Cost(2.0, 300.0, n**power, 300 + 40 * n, 1), Cost(2.0, 300.0, 2 * n, 300 + 50 * n, 1)
        rows.append(Row("digest", codec, side, side, 0, 7, round(100 * n), *costs))
    return rows


def test_exponents_of_known_powers() -> None:
    assert exponent([(x, 3 * x**1.7) for x in (1, 2, 8)]) == pytest.approx(1.7)
    assert exponent([(1, 2), (2, 4)]) is None


def test_fixed_cost_is_no_part_of_an_exponent() -> None:
    """A line through the memory itself would be far too flat."""
    found = fits(made_up())
    assert [fit.exponent for fit in found] == pytest.approx([1.0] * 4)
    assert [fit.sizes for fit in found] == [3] * 4
    assert [fit.fixed for fit in found] == [2.0, 2.0, 300.0, 300.0]
    assert not any(fit.worse_than_linear for fit in found)
    assert verdict(found).startswith(f"Nothing grows faster than the pixels: no exponent is above {LINEAR}")


def test_worse_than_linear_is_verdict() -> None:
    found = fits([*made_up(1.2), *made_up(1.04, "progic")])
    assert [fit.worse_than_linear for fit in found] == [True] + [False] * 7
    assert verdict(found).endswith("(exponent above 1.05): arpc, encoding time, 1.20.")
    assert verdict(fits(made_up(sides=(64, 512, 1024)))).startswith("Too few sizes")


def test_pictures_are_mirrored_to_a_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    large = mirrored(image, 12, 9)
    assert large.shape == (12, 9, 3)
    assert np.array_equal(large[:5, :7], image)
    assert np.array_equal(large[5:10, :7], image[::-1])
    assert np.array_equal(large[:5, 7:], image[:, :4:-1])
    assert np.array_equal(mirrored(image, 3, 2), image[:3, :2])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Row:
    """Two stages of 48x32 pixels. What this process holds must be no part of what the others are said to need."""
    pytest.importorskip("skimage")
    ballast = np.ones(1 << 28, np.uint8)
    row = Measurements(tmp_path_factory.mktemp("small") / "scale.json").row("progic", (48, 32), 2)
    for cost in (row.encode, row.decode):
        assert cost.peak_mib < cost.start_mib + ballast.nbytes / 2**20 / 4
    return row


def test_a_row(small: Row) -> None:
    assert (small.size, small.k, small.parts, small.version) == ("48x32", 2, 2, version_of("progic"))
    assert small.bytes > 10
    for cost in (small.encode, small.decode):
        assert 0 < cost.seconds < cost.start_s
        assert 50 < cost.start_mib < 2000
        assert cost.peak_mib > 0.9 * cost.start_mib


@pytest.mark.thorough
def test_a_larger_picture_costs_more(small: Row, tmp_path: Path) -> None:
    large = Measurements(tmp_path / "scale.json").row("progic", (512, 512), 2)
    assert large.bytes > small.bytes
    for quantity in QUANTITIES:
        assert quantity.growing(large) > 2 * quantity.growing(small)
    assert QUANTITIES[3].growing(large) > 20


def test_a_stopped_run_goes_on(small: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scale.json"
    whole, one = replace(small, k=0, parts=3), replace(small, k=1, parts=1)
    older = replace(small, version="older", bytes=1)
    path.write_text(rows_text([older, whole]), "utf-8")
    words = ["-o", str(path), "--codec", "progic", "--sizes", "48x32", "--at", "48x32"]
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    stopped = CliRunner().invoke(main, words)
    assert (stopped.exit_code, read_rows(path)) == (1, [older, whole])
    path.write_text(rows_text([older, whole, one, small]), "utf-8")
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.output.splitlines()[:-1]] == [
        f"progic 48x32, {parts} sent" for parts in (3, 1, 2)
    ]
    assert read_rows(path) == [older, whole, one, small]


def test_a_failed_process_is_said_and_leaves_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage")
    path = tmp_path / "scale.json"
    with pytest.raises(ArpcError, match=r"progic 32x32, encode: .*-1"):
        Measurements(path).row("progic", (32, 32), -1)
    # As when the system ends a process for its memory.
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    result = CliRunner().invoke(main, ["-o", str(path), "--codec", "progic", "--sizes", "32,48", "--at", "32"])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [f"failed: progic {n}x{n}, encode: exit status 1" for n in (32, 48)]
    assert not path.exists()


@pytest.mark.parametrize("words", [["--sizes", "0"], ["--at", "32,64"], ["--sizes", "64x"], ["--codec", "gif"]])
def test_bad_choices(words: list[str], tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["-o", str(tmp_path / "a.json"), *words]).exit_code == 2


def test_another_file_is_named(tmp_path: Path) -> None:
    for text in ("{}x", json.dumps([{"codec": "arpc"}])):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ArpcError, match=r"a\.json: no rows of dev\.bench\.scale"):
            read_rows(tmp_path / "a.json")


def test_section_of_the_report() -> None:
    rows = [*made_up(1.2), *made_up(1.0, "hpac")]
    steps = [replace(rows[1], k=k, parts=k) for k in (1, 3)]
    html = scale_section([*rows, *steps])
    # Four quantities over size for two codecs, and over scales for the one that has several.
    assert html.count("<figure>") == 8
    assert html.count('class="line ours"') == 4 * 2 + 4
    assert html.count('<path class="mark ours"') - 2 == 4 * (4 + 4) + 4 * 3
    assert "Worse than linear in the pixels (exponent above 1.05): arpc, encoding time, 1.20." in html
    assert html.count("worse than linear</b>") == 1
    assert "Measured with another version" in html
    assert [row.parts for row in by_parts([*rows, *steps], "arpc")] == [1, 3, 7]
    linear = re.findall(r'class="line peer" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', html)
    assert len(linear) == 2
    # A codec keeps its mark where another has no points.
    turned = scale_section([*made_up(1.0, "hpac"), *made_up(), *steps])
    shapes = re.findall(r'class="mark ours" d="([^"]+)"', turned)
    assert shapes[0] == OURS[2]
    assert set(shapes[-3:]) == {OURS[0]}
    assert "Against the number" not in scale_section(rows)
    current = [replace(row, version=version_of(DEFAULT_MODELS[row.codec])) for row in rows]
    assert "Measured with another version" not in scale_section(current)
    assert scale_section([*rows, *current]) == scale_section(current)
