"""Tables of README and docs: they show what kodak.json holds, and a run of ours alone renews our rows alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import click
import pytest

from arpc_codec.bench.compare import Comparison, Line, compare
from arpc_codec.bench.report.figure import figure
from arpc_codec.bench.run import Measured, PeerFiles, Step
from arpc_codec.bench.steps import jsonl
from dev.bench import tables

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "results.md", ROOT / "docs" / "kodak.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_what_was_measured(page: Path) -> None:
    text = page.read_text("utf-8")
    assert tables.BLOCK.search(text)
    assert tables.written(text, tables.load()) == text
    # One digit of the first block.
    worse = re.sub(r"(<!-- kodak: .*?\*\*0\.)\d", r"\g<1>x", text, count=1, flags=re.DOTALL)
    assert worse != text
    assert tables.written(worse, tables.load()) == text


def test_the_figure_is_of_the_same_numbers() -> None:
    drawn = figure(tables.load().comparisons, tables.FACTS.trained_on, "Kodak")
    assert (ROOT / tables.FIGURE).read_text("utf-8") == drawn


def step(k: int, size: int, psnr: float, peer: int = 0) -> Step:
    """One picture with a file of `size` bytes, and a peer's of `peer` bytes, if any."""
    peers = {"jpeg": PeerFiles(peer, {"psnr": Measured(1, 1.0, peer, {"psnr": 20.0})})} if peer else {}
    return Step("1.png", 4096, "arpc", k, size, Measured(k, 1.0, size, {"psnr": psnr}), peers)


def test_our_rows_alone_keep_the_peers_beside_them(tmp_path: Path) -> None:
    old = compare([step(1, 100, 21.0, 90), step(2, 200, 22.0, 190)])
    (tmp_path / "steps.jsonl").write_text(jsonl([step(1, 100, 25.0)]))
    new = compare(tables.read_steps(tmp_path))
    one, two = tables.renewed(old, new)
    assert one.ours is not None
    assert one.ours.values["psnr"] == 25.0
    assert (one.peers, one.judged) == (old[0].peers, True)
    assert two == old[1]
    with pytest.raises(click.ClickException, match="arpc 2: 203 bytes"):
        tables.renewed(old, compare([step(2, 203, 25.0)]))
    # With peers of their own files may have any size.
    assert tables.renewed(old, compare([step(2, 201, 25.0, 195)]))[1].peers[0].bytes == 195


def test_means_are_kept_as_they_are_shown(tmp_path: Path) -> None:
    kodak = tables.load()
    tables.save(kodak, tmp_path / "kodak.json")
    assert tables.load(tmp_path / "kodak.json") == kodak
    assert (tmp_path / "kodak.json").read_text("utf-8") == tables.MEANS.read_text("utf-8")


def test_cells_say_who_is_best() -> None:
    def line(codec: str, psnr: float | None) -> Line:
        return Line(codec, 1, 100.0, 0.1, {"psnr": psnr}, {1.0: 1})

    one = Comparison("arpc", 7, 100.0, 0.1, line("arpc", 25.0), (line("heic", 24.0), line("vvc", 23.0)), True, 1, 1)
    assert "**25.00** / 24.00 HEIC |" in tables.long("arpc", tables.Kodak(1, [one]))
    assert "**25.00** / 24.00 |" in tables.short("arpc", tables.Kodak(1, [one]))
    best = replace(one, peers=(line("heic", 24.0), line("vvc", 25.0)))
    assert "| 25.00 / 25.00 |" in tables.long("arpc", tables.Kodak(1, [best]))
    assert "| 25.00 |" in tables.long("arpc", tables.Kodak(1, [replace(one, peers=(), judged=False)]))
