"""The comparison of fills on small pictures and a model of random weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dev.bench.fill import main


@pytest.fixture
def folder(
    tmp_path: Path, micro_home: Path, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    monkeypatch.delenv("ARPC_METRICS", raising=False)
    for seed in (1, 2):
        Image.fromarray(picture(96, 128, seed)).save(tmp_path / f"{seed}.png")
    return tmp_path


def test_a_row_for_each_fill_and_a_sheet(folder: Path) -> None:
    sheet = folder / "sheet.out.png"
    options = [str(folder), "--model", "micro", "--missing", "1", "--missing", "3", "--sheet", str(sheet)]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith(("| 1 |", "| 3 |"))]
    assert [row.split(" | ")[1] for row in rows] == ["none", "mean"] * 2
    unfilled, filled = (row.split(" | ")[2] for row in rows[2:])
    assert unfilled != filled
    with Image.open(sheet) as opened:
        assert opened.width > 3 * 128
        assert opened.height > 2 * 96


def test_more_missing_than_there_are(folder: Path) -> None:
    result = CliRunner().invoke(main, [str(folder), "--model", "micro", "--missing", "20"])
    assert result.exit_code == 2
    assert "20 cannot be missing" in result.output
