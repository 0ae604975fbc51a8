"""Times of a codec: one row for every size and number of stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from arpc_codec.bench.times import milliseconds
from arpc_codec.codecs.progic import ProgicCodec
from dev.bench.speed import main


def test_rows_and_their_sizes(
    micro_progic: ProgicCodec,
    micro_home: Path,
    tmp_path: Path,
    picture: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    Image.fromarray(picture(64, 64)).save(tmp_path / "a.png")
    words = [str(tmp_path / "a.png"), "--model", micro_progic.model.entry.name, "--runs", "2", "--scales", "1"]
    result = CliRunner().invoke(main, [*words, "--size", "32x48", "--size", "80x64"])
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ") for line in result.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["| 32x48", "| 80x64"]
    assert int(rows[0][2]) < int(rows[1][2])
    assert all(float(number.rstrip(" |")) >= 0 for row in rows for number in row[3:])


def test_the_first_call_does_not_count() -> None:
    calls: list[int] = []
    middle, least = milliseconds(lambda: calls.append(0), 3)
    assert len(calls) == 4
    assert 0 <= least <= middle
