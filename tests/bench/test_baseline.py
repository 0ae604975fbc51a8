"""No change makes files of the bundled models larger or their pictures worse than dev/bench/baseline.json says."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from arpc_codec.errors import ArpcError
from arpc_codec.metrics.panel import METRICS
from dev.bench import baseline as module
from dev.bench.baseline import MARGINS, OUTDATED, STEPS, Row, baseline, compare, main, measure

WEIGHTS = Path(os.environ.get("ARPC_METRICS", Path(__file__).resolve().parents[3] / "shared" / "metrics"))
LPIPS = tuple(name for name in MARGINS if METRICS[name].weights)


def of(codec: str) -> list[Row]:
    return [row for row in baseline() if row.codec == codec]


@pytest.fixture(scope="module", params=STEPS)
def measured(request: pytest.FixtureRequest) -> list[Row]:
    """Rows of one codec; without weights those of LPIPS hold None."""
    pytest.importorskip("skimage")
    return measure(request.param, WEIGHTS if WEIGHTS.is_dir() else None)


def test_nothing_is_worse_than_the_baseline(measured: list[Row]) -> None:
    worse, better = compare(of(measured[0].codec), measured)
    for sentence in better:
        warnings.warn(f"{OUTDATED}: {sentence}", stacklevel=1)
    assert worse == []


def test_lpips_took_part(measured: list[Row]) -> None:
    missing = [reason for name in LPIPS if (reason := METRICS[name].missing(WEIGHTS))]
    if missing:
        pytest.skip(f"LPIPS was not compared: {'; '.join(missing)}")
    assert all(row.values[name] is not None for row in measured if row.k for name in LPIPS)


def test_a_codec_below_the_baseline_is_found(measured: list[Row]) -> None:
    """Beside a baseline that is better by more than the margin, this codec is the worse one."""
    smaller = [replace(row, bytes=int(0.99 * row.bytes) - 1) for row in measured]
    worse, better = compare(smaller, measured)
    assert (len(worse), better) == (len(measured), [])
    assert worse[0].startswith(f"{measured[0].title}: {measured[0].bytes} bytes, not {smaller[0].bytes} ")
    for name in MARGINS:
        lossy = [row for row in measured if row.values.get(name) is not None]
        step = (1 if METRICS[name].higher_is_better else -1) * 1.1 * MARGINS[name]
        best = [replace(row, values=row.values | {name: (row.values[name] or 0) + step}) for row in lossy]
        worse, better = compare(best, lossy)
        assert (len(worse), better) == (len(lossy), [])
        assert all(f": {name} " in sentence for sentence in worse)
        # The other way round it is news, not a failure.
        worse, better = compare(lossy, best)
        assert (worse, len(better)) == ([], len(lossy))


def test_within_the_margin_nothing_is_said() -> None:
    rows = of("progic")
    moved = [
        replace(
            row,
            bytes=row.bytes + 1,
            values={name: value and value - 0.9 * MARGINS[name] for name, value in row.values.items()},
        )
        for row in rows
    ]
    assert compare(rows, moved) == ([], [])


@pytest.mark.parametrize("name", MARGINS)
def test_a_picture_of_nans_is_worse(name: str) -> None:
    (old, *_) = of("progic")
    worse, better = compare([old], [replace(old, values=old.values | {name: float("nan")})])
    assert (len(worse), better) == (1, [])


def test_the_baseline_is_whole() -> None:
    rows = baseline()
    assert {(row.codec, row.k) for row in rows} == {(codec, k) for codec, ks in STEPS.items() for k in ks}
    assert all((set(row.values) == set(MARGINS)) == bool(row.k) for row in rows)
    assert all(value is not None for row in rows for value in row.values.values())


def test_other_photos_are_no_comparison() -> None:
    rows = of("arpc")
    for others in (rows[1:], [replace(rows[0], digest="0" * 16), *rows[1:]]):
        with pytest.raises(ArpcError, match="write it again"):
            compare(rows, others)


@pytest.fixture
def one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command measures one file of a small photo and keeps its baseline here."""
    pytest.importorskip("skimage")
    monkeypatch.setattr(module, "STEPS", {"progic": (1,)})
    monkeypatch.setattr(module, "SIDES", {"progic": 64})
    monkeypatch.setattr(module, "_PATH", tmp_path / "baseline.json")
    return tmp_path / "baseline.json"


def test_the_command_writes_and_compares(one_file: Path, metrics_dir: Path) -> None:
    words = ["--metrics", str(metrics_dir)]
    assert CliRunner().invoke(main, [*words, "--write"]).exit_code == 0
    again = CliRunner().invoke(main, words)
    assert (again.exit_code, again.output) == (0, "")
    rows = json.loads(one_file.read_text("utf-8"))
    assert [(row["codec"], row["k"]) for row in rows] == [("progic", 1)] * 3
    rows[0]["bytes"] -= 10
    rows[1]["bytes"] += 10
    one_file.write_text(json.dumps(rows), "utf-8")
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 1
    first, second = found.output.splitlines()
    assert first.startswith("worse: progic, k = 1, astronaut: ")
    assert second.startswith(f"{OUTDATED}: progic, k = 1, coffee: ")


def test_a_baseline_without_lpips_is_not_written(one_file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--write", "--metrics", str(tmp_path)])
    assert result.exit_code == 2
    assert "lpips_alex" in result.output
    assert not one_file.exists()
