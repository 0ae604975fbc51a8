"""The simulation of packet loss on small pictures and a model of random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from arpc_codec.bench.outcomes import read_outcomes
from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.errors import UsageError
from dev.bench.loss import Link, Way, main, survive, table, ways

OPTIONS = ("--mtu", "120", "--fewer", "2", "--fewer", "1")


@pytest.fixture
def folder(
    tmp_path: Path,
    micro_home: Path,
    micro_progic: ProgicCodec,
    micro_coded: ProgicCodec,
    picture: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    monkeypatch.delenv("ARPC_METRICS", raising=False)
    for seed in (1, 2):
        Image.fromarray(picture(96, 128, seed)).save(tmp_path / f"{seed}.png")
    return tmp_path


def test_all_ways_take_the_same_bytes(micro_progic: ProgicCodec, picture: Callable[..., np.ndarray]) -> None:
    plain, straight, *fewer = ways(micro_progic.encode(picture(256, 256)).data, 120, (2, 1))
    room = sum(map(len, plain.packets))
    assert abs(sum(map(len, straight.packets)) - room) < 0.03 * room
    for way in fewer:
        assert room - 120 < sum(map(len, way.packets)) <= room
        assert "redundancy" in way.name


@pytest.mark.parametrize("model", ["micro-progic", "micro-coded"])
def test_a_row_for_each_loss_and_way_and_a_sheet(model: str, folder: Path) -> None:
    sheet = folder / "sheet.out.png"
    command = [
        str(folder),
        "--model",
        model,
        *OPTIONS,
        "--loss",
        "0",
        "--loss",
        "0.3",
        "--sheet",
        str(sheet),
        "--limit",
        "2",
        "--rows",
        str(folder / "loss.jsonl"),
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith(("| 0 %", "| 30 %"))]
    assert len(rows) == 2 * 4
    # Nothing lost: interleave makes no difference, and fewer stages are worse.
    assert rows[0][-1] == rows[1][-1]
    assert rows[0][-1] != rows[4][-1]
    with Image.open(sheet) as opened:
        assert opened.width > 5 * 128
        assert opened.height > 2 * 96
    assert table(read_outcomes(folder / "loss.jsonl")) == result.stdout.strip()
    again = CliRunner().invoke(main, command)
    assert again.stdout == result.stdout


def test_losses_are_drawn_packet_by_packet() -> None:
    packets = [bytes([number]) for number in range(100)]
    assert survive(packets, 0.0, np.random.default_rng(0)) == packets
    assert survive(packets, 1.0, np.random.default_rng(0)) == []
    assert 60 < len(survive(packets, 0.2, np.random.default_rng(0))) < 95


def test_without_any_packet_the_picture_is_grey(micro_progic: ProgicCodec) -> None:
    nothing = Link(micro_progic, 0).received(Way("lost", []), 0.5, 0, 0, np.zeros((20, 30, 3), np.uint8))
    assert (nothing == 128).all()


def test_bad_usage(folder: Path) -> None:
    result = CliRunner().invoke(main, [str(folder), "--model", "micro-progic", "--fewer", "4"])
    assert result.exit_code == 2
    assert "3 stages" in result.output


def test_rows_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text('{"loss": 0}\n')
    with pytest.raises(UsageError, match="holds no rows"):
        read_outcomes(tmp_path / "other.jsonl")
