"""`arpc bench` from pictures to the page, with a model of random weights."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from arpc_codec.bench.growth import Cost, Row, read_rows, rows_text
from arpc_codec.bench.lossless_coders import LOSSLESS_PEERS
from arpc_codec.bench.report.scale import scale_section
from arpc_codec.cli.main import main

if TYPE_CHECKING:
    from arpc_codec.codecs.hpac import HpacCodec
    from arpc_codec.codecs.progic import ProgicCodec


@pytest.fixture
def folder(
    tmp_path: Path, micro_home: Path, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    monkeypatch.delenv("ARPC_METRICS", raising=False)
    (tmp_path / "in").mkdir()
    for name in ("b", "a"):
        Image.fromarray(picture(48, 64, ord(name))).save(tmp_path / "in" / f"{name}.png")
    return tmp_path / "in"


ARPC = ("--model", "micro", "--ks", "2,3")


QUICK = ("--jobs", "1", "--timed", "0")


def bench(folder: Path, out: Path, *more: str, ours: tuple[str, ...] = ARPC) -> int:
    """In this process and without times, unless it is told otherwise."""
    words = ["bench", str(folder), "-o", str(out), *ours, "--peers", "jpeg,webp", *QUICK, *more]
    with pytest.raises(SystemExit) as left:
        main(words)
    return int(left.value.code or 0)


def test_files_of_a_report(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report"
    assert bench(folder, out, "--shown", "1") == 0
    assert (out / "table.md").read_text("utf-8") == capsys.readouterr().out
    steps = [json.loads(line) for line in (out / "steps.jsonl").read_text("utf-8").splitlines()]
    rows = list(csv.DictReader((out / "steps.csv").open(encoding="utf-8", newline="")))
    assert len(rows) == 3 * len(steps) == 3 * 2 * 2
    page = (out / "report.html").read_text("utf-8")
    data = json.loads(page.split('id="exhibits">')[1].split("</script>")[0])
    assert [one["name"] for one in data["exhibits"]] == ["a.png"]
    assert [step["label"] for step in data["exhibits"][0]["steps"]] == ["2 scales of arpc", "3 scales of arpc"]
    assert page.count("<summary>") == 2 + 1


def test_cost_and_scale_in_a_report(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cost = Cost(2.0, 300.0, 1.5, 340.0, 1)
    rows = tmp_path / "scale.json"
    rows.write_text(rows_text(Row("digest", "progic", n, n, 0, 5, n, cost, cost) for n in (512, 1024)), "utf-8")
    out = tmp_path / "report"
    assert bench(folder, out, "--limit", "1", "--scale", str(rows)) == 0
    html = (out / "report.html").read_text("utf-8")
    assert scale_section(read_rows(rows)) in html
    rows.write_text("{}")
    capsys.readouterr()
    assert bench(folder, out, "--scale", str(rows)) == 1
    assert "no rows of dev.bench.scale" in capsys.readouterr().err
    assert bench(folder, out, "--limit", "1") == 0
    assert "Cost and scale" not in (out / "report.html").read_text("utf-8")


def test_two_codecs_of_ours_in_one_report(folder: Path, tmp_path: Path, micro_progic: ProgicCodec) -> None:
    out = tmp_path / "report"
    both = ("--codec", "arpc,progic", "--model", "micro", "--model", "micro-progic", "--ks", "2,3", "--ks", "1,3")
    assert bench(folder, out, ours=both) == 0
    rows = list(csv.DictReader((out / "steps.csv").open(encoding="utf-8", newline="")))
    wanted = [("arpc", "2"), ("arpc", "3"), ("progic", "1"), ("progic", "3")]
    assert list(dict.fromkeys((row["ours"], row["k"]) for row in rows)) == wanted
    for row in rows:
        assert int(row["bytes"]) >= int(row["wanted"])
        assert (row["best_by"] == "") == (row["ours"] == row["codec"])
    table = (out / "table.md").read_text("utf-8")
    assert all(f"| {codec} {k} | **{codec}** |" in table for codec, k in wanted)
    assert "arpc and progic beside JPEG and WebP" in (out / "report.html").read_text("utf-8")
    alone = tmp_path / "alone"
    assert bench(folder, alone) == 0
    lines = (alone / "steps.jsonl").read_text("utf-8").splitlines()
    assert set(lines) <= set((out / "steps.jsonl").read_text("utf-8").splitlines())


def test_two_models_of_one_codec_in_one_report(
    folder: Path, tmp_path: Path, micro_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for number, name in enumerate(("micro", "again")):
        shutil.copytree(micro_home / "micro", home / name)
        config = json.loads((home / name / "config.json").read_text("utf-8"))
        told = json.dumps(config | {"name": name, "id": config["id"] + number})
        (home / name / "config.json").write_text(told, "utf-8")
    monkeypatch.setenv("ARPC_HOME", str(home))
    both = ("--model", "micro", "--model", "again", "--ks", "2")
    assert bench(folder, tmp_path / "report", ours=both) == 0
    table = (tmp_path / "report" / "table.md").read_text("utf-8")
    assert "| arpc micro 2 | **arpc micro** |" in table
    assert "| arpc again 2 | **arpc again** |" in table
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "arpc again and arpc micro beside JPEG and WebP" in page
    assert "2 scales of arpc again" in page


def test_a_second_report_codes_nothing_and_is_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = ("--model", "micro")
    assert bench(folder, tmp_path / "report", ours=every) == 0
    first = (tmp_path / "report" / "report.html").read_bytes()
    monkeypatch.setattr("arpc_codec.bench.run.Bench.decode", lambda *_: pytest.fail("decoded again"))
    monkeypatch.setattr("arpc_codec.encode", lambda *_, **__: pytest.fail("encoded again"))
    assert bench(folder, tmp_path / "report", ours=every) == 0
    assert (tmp_path / "report" / "report.html").read_bytes() == first


def test_lossless_beside_the_others(folder: Path, tmp_path: Path, micro_lossless: HpacCodec) -> None:
    out = tmp_path / "report"
    both = ("--codec", "arpc,hpac", "--model", "micro", "--model", "micro-lossless", "--ks", "2")
    words = ("--lossless-peers", "png,webp")
    there = [name for name in ("png", "webp") if LOSSLESS_PEERS[name].missing() is None]
    assert there
    assert bench(folder, out, *words, ours=both) == 0
    rows = list(csv.DictReader((out / "lossless.csv").open(encoding="utf-8", newline="")))
    assert [(row["picture"], row["codec"]) for row in rows] == [
        (f"{name}.png", codec) for name in ("a", "b") for codec in (*there, "hpac")
    ]
    assert "Lossless, every file decoded and compared" in (out / "table.md").read_text("utf-8")
    alone = tmp_path / "alone"
    ours = ("--codec", "hpac", "--model", "micro-lossless")
    assert bench(folder, alone, *words, ours=ours) == 0
    sizes = ("picture", "codec", "samples", "bytes", "bits_a_sample")
    again = list(csv.DictReader((alone / "lossless.csv").open(encoding="utf-8", newline="")))
    assert [[row[name] for name in sizes] for row in again] == [[row[name] for name in sizes] for row in rows]
    assert (alone / "steps.jsonl").read_text("utf-8") == ""
    assert "hpac beside" in (alone / "report.html").read_text("utf-8")


@pytest.mark.thorough
def test_the_first_pictures_are_timed_and_all_else_is_the_same(folder: Path, tmp_path: Path) -> None:
    for name, timed in (("without", "0"), ("with", "1")):
        assert bench(folder, tmp_path / name, "--timed", timed, "--jobs", "2") == 0
    for name in ("steps.csv", "steps.jsonl", "table.md"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    rows = list(csv.DictReader((tmp_path / "with" / "times.csv").open(encoding="utf-8", newline="")))
    assert [(row["picture"], row["codec"]) for row in rows] == [("a.png", c) for c in ("arpc", "jpeg", "webp")] * 2
    for row in rows:
        assert float(row["encode_seconds"]) > 0
        assert (row["encode_mib"] == "") == (row["decode_command_seconds"] == "") == (row["codec"] != "arpc")
    assert len((tmp_path / "without" / "times.csv").read_text("utf-8").splitlines()) == 1


def test_a_k_that_some_pictures_have_is_a_row_of_these(
    folder: Path, tmp_path: Path, picture: Callable[..., np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(picture(32, 32, 1)).save(folder / "b.png")
    assert bench(folder, tmp_path / "report") == 0
    assert "| arpc 3 (1 of 2) | **arpc** |" in capsys.readouterr().out
    assert bench(folder, tmp_path / "other", ours=("--model", "micro", "--ks", "2,99")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "99 is more than any picture here has with arpc: 3 is the most" in line


def test_a_picture_that_cannot_be_read_is_named_and_the_others_measured(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    assert bench(folder, tmp_path / "report") == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if "bad.png" in line]
    assert line == "arpc: bad.png: not a picture in a format that can be read"
    assert said.out.startswith("2 pictures;")
    for good in ("a.png", "b.png"):
        (folder / good).unlink()
    assert bench(folder, tmp_path / "none") == 1
    assert "no picture can be read" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_folder_of_metrics_that_is_named_has_to_hold_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert bench(folder, tmp_path / "report", "--metrics", str(tmp_path / "empty")) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("lpips_alex_v0.1.safetensors: no such weights file")
    monkeypatch.setenv("ARPC_METRICS", str(tmp_path / "empty"))
    assert bench(folder, tmp_path / "report", "--limit", "1") == 0
    assert "missing: lpips_alex" in capsys.readouterr().err


def test_help_says_what_options_do_and_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Lossy codecs beside ours" in text
    assert "[default: floors]" in text


def test_a_bad_choice_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(folder, tmp_path / "report", "--peers", "gif") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'gif' is none of jpeg" in line
    assert not (tmp_path / "report").exists()
