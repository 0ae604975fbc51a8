"""The lossless bench on tiny pictures: real files, kept results, and what the report says of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from arpc_codec.bench.lossless import COLUMNS, Row, lossless_csv, measure, present, summaries, table
from arpc_codec.bench.lossless_coders import LOSSLESS_PEERS, Hpac, LosslessCoder, Png, WebP
from arpc_codec.bench.report.page import page
from arpc_codec.bench.report.words import NOTHING, lossless_findings
from arpc_codec.bench.table import Facts
from arpc_codec.bench.times import Cost
from arpc_codec.cli.main import main
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.errors import ArpcError
from arpc_codec.imageio import ExactPicture, write_exact


@pytest.fixture
def photo(
    tmp_path: Path,
    micro_home: Path,
    micro_lossless: HpacCodec,
    picture: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))
    (tmp_path / "in").mkdir()
    Image.fromarray(picture(20, 24)).save(tmp_path / "in" / "city-1.png")
    return tmp_path / "in" / "city-1.png"


@pytest.mark.parametrize("name", sorted(LOSSLESS_PEERS))
def test_every_peer_gives_back_what_it_takes(name: str) -> None:
    if reason := LOSSLESS_PEERS[name].missing():
        pytest.skip(reason)
    peer = LOSSLESS_PEERS[name]()
    rng = np.random.default_rng(1)
    taken = []
    for kind in (np.uint8, np.uint16):
        for channels in (1, 2, 3, 4):
            samples = rng.integers(0, np.iinfo(kind).max, (9, 13, channels), dtype=kind, endpoint=True)
            if peer.takes(samples):
                taken.append((kind, channels))
                back = peer.decode(peer.encode(samples))
                assert back.dtype == kind
                assert np.array_equal(back.reshape(9, 13, -1)[..., :channels], samples)
    assert {(np.uint8, 1), (np.uint8, 3), (np.uint8, 4)} <= set(taken)
    assert any(c.isdigit() for c in peer.version())


def test_a_second_run_codes_nothing(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Hpac("micro-lossless", 0, 1)
    first = measure(tmp_path / "cache", photo, ours)
    assert first is not None
    assert (first.group, first.samples, first.raw) == ("city", 20 * 24 * 3, 20 * 24 * 3)
    assert [path.stat().st_size for path in (tmp_path / "cache").rglob("*.bin")] == [first.bytes]
    monkeypatch.setattr(Hpac, "encode", lambda *_: pytest.fail("encoded again"))
    monkeypatch.setattr(Hpac, "decode", lambda *_: pytest.fail("decoded again"))
    assert measure(tmp_path / "cache", photo, ours) == first


def test_a_run_that_was_stopped_before_the_comparison_compares(photo: Path, tmp_path: Path) -> None:
    class Stopped(WebP):
        def decode(self, data: bytes) -> np.ndarray:
            raise KeyboardInterrupt

    class Lossy(WebP):
        def decode(self, data: bytes) -> np.ndarray:
            return super().decode(data) ^ 1

    for coder, error in ((Stopped(), KeyboardInterrupt), (Lossy(), ArpcError), (Lossy(), ArpcError)):
        with pytest.raises(error):
            measure(tmp_path / "cache", photo, coder)


def test_ours_as_a_command(photo: Path, tmp_path: Path) -> None:
    row = measure(tmp_path / "cache", photo, Hpac("micro-lossless", 0, 1), commands=True)
    assert row is not None
    for cost in (row.encode, row.decode):
        assert cost.seconds is not None
        assert cost.command_seconds is not None
        assert cost.mib is not None
        assert cost.mib > 20


def test_a_format_that_lacks_the_samples_has_no_row(photo: Path, tmp_path: Path) -> None:
    deep = ExactPicture(np.full((5, 6, 3), 40_000, np.uint16))
    (tmp_path / "deep.png").write_bytes(write_exact(deep, "png"))
    coders, _ = present(LOSSLESS_PEERS)
    rows = {coder.name: measure(tmp_path / "cache", tmp_path / "deep.png", coder) for coder in coders}
    assert rows.pop("webp", None) is None
    assert all(row is not None and row.raw == 2 * row.samples for row in rows.values())


def test_a_smaller_kind_of_png_is_the_same_picture(tmp_path: Path) -> None:
    if reason := Png.missing():
        pytest.skip(reason)
    grey = np.random.default_rng(2).integers(0, 256, (9, 13, 1), dtype=np.uint8)
    colour = np.random.default_rng(3).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    opaque = np.full_like(grey, 255)
    for channels in ([grey, grey, grey], [grey, opaque], [colour, opaque], [grey, grey, grey, opaque]):
        for twice in (np.uint8(1), np.uint16(257)):
            path = tmp_path / "any.png"
            path.write_bytes(write_exact(ExactPicture(np.concatenate(channels, 2) * twice)))
            assert measure(tmp_path / "cache", path, Png()) is not None


def test_a_peer_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    coders, missing = present(LOSSLESS_PEERS)
    assert coders == []
    assert missing == {
        "PNG (oxipng -o 4)": "package pyoxipng is not installed",
        "WebP (lossless, method 6)": "package imagecodecs is not installed",
        "JPEG XL (-d 0 -e 7)": "package imagecodecs is not installed",
        "JPEG XL (-d 0 -e 9)": "package imagecodecs is not installed",
        "FLIF (flif -e -K)": "command flif is not on the path",
    }


def test_efforts_are_codecs_of_their_own(photo: Path, tmp_path: Path) -> None:
    both = [LOSSLESS_PEERS[name] for name in ("jxl7", "jxl")]
    if reason := both[0].missing():
        pytest.skip(reason)
    rows = [measure(tmp_path / "cache", photo, peer()) for peer in both]
    assert [row and row.title for row in rows] == ["JPEG XL (-d 0 -e 7)", "JPEG XL (-d 0 -e 9)"]
    assert len(list((tmp_path / "cache").rglob("*.bin"))) == 2
    # Megabytes a second both ways, of every codec, in the same run.
    lines = table([row for row in rows if row]).splitlines()[2:]
    assert all(float(cell) > 0 for line in lines for cell in line.strip("| ").split(" | ")[-2:])


def test_the_command_prints_the_table(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", str(photo.parent), "-o", str(tmp_path / "out"), "--codec", "hpac", "--model", "micro-lossless"]
    with pytest.raises(SystemExit) as left:
        main([*words, "--lossless-peers", "", "--adapt", "0", "--adapt", "1", "--timed", "0"])
    assert not left.value.code
    head, _, *lines = capsys.readouterr().out.splitlines()[-4:]
    assert head.startswith("| pictures | codec | files | bits a sample |")
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| city", "arpc --lossless", "1"],
        ["| city", "arpc --lossless --adapt 1", "1"],
    ]


def made_up() -> list[Row]:
    """Two pictures: JPEG XL makes larger files of the first group and smaller ones of the second, ten times as fast."""

    def row(group: str, coder: type[LosslessCoder], size: int, seconds: float) -> Row:
        title = "arpc --lossless" if coder is Hpac else coder.title
        return Row(group, f"{group}-1", coder.name, title, 1000, 1000, size, Cost(seconds), Cost(seconds))

    jxl, webp = LOSSLESS_PEERS["jxl"], LOSSLESS_PEERS["webp"]
    ours = [row("city", Hpac, 300, 2.0), row("sea", Hpac, 220, 2.0)]
    return [*ours, row("city", jxl, 400, 0.2), row("sea", jxl, 200, 0.2), row("city", webp, 600, 4.0)]


def test_lossless_losses_are_said_like_wins() -> None:
    jxl, webp = lossless_findings(made_up())
    assert (jxl.codec, jxl.rival) == ("arpc --lossless", "JPEG XL (-d 0 -e 9)")
    assert jxl.wins == ["city: 25.0 % fewer bytes."]
    assert jxl.losses == [
        "sea: 10.0 % more bytes.",
        "Encoding takes 10 times as long.",
        "Decoding takes 10 times as long.",
    ]
    assert webp.wins[1:] == ["Encoding takes 0.5 times as long.", "Decoding takes 0.5 times as long."]
    assert webp.losses == [NOTHING]
    assert webp.remarks == ["It cannot hold the samples of 1 of 2 pictures."]


def test_speeds_count_bytes_of_samples_and_means_are_of_pictures() -> None:
    rows = [*made_up(), replace(made_up()[0], picture="city-2", bytes=100)]
    first = summaries(rows)[0]
    assert (first.group, first.files, first.bytes) == ("city", 2, 400)
    assert first.bits_a_sample == pytest.approx((2.4 + 0.8) / 2)
    assert first.encode_speed == pytest.approx(2000 / 1e6 / 4)
    assert table(rows).splitlines()[2] == "| city | arpc --lossless | 2 | 1.600 | 400 | 0.0005 | 0.0005 |"


def test_page_of_lossless_files_alone() -> None:
    html = page([], [], Facts(["psnr"], machine="a machine"), lossless=made_up())
    assert "hpac beside JPEG XL and WebP" in html
    assert "Lossless, on the bytes of real files." in html
    assert "sea: 10.0 % more bytes." in html
    assert 'id="h-lossless"' in html
    assert not any(f'id="{section}"' in html for section in ("h-curves", "h-tables", "h-speed", "stage"))


def test_csv_of_lossless_files() -> None:
    rows = list(csv.DictReader(io.StringIO(lossless_csv(made_up()))))
    assert list(rows[0]) == list(COLUMNS)
    assert (rows[0]["bytes"], rows[0]["bits_a_sample"], rows[0]["encode_seconds"]) == ("300", "2.4", "2.0")
