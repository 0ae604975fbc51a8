"""The whole bench on small pictures, with a stand-in for our codec and peers that Pillow carries."""

import io
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import arpc_codec.bench.run as bench_run
from arpc_codec.bench.__main__ import main
from arpc_codec.bench.compare import by_codec, compare
from arpc_codec.bench.peers import PEERS, Jpeg, WebP
from arpc_codec.bench.run import Measured, PeerFiles, Plan, Step, measure_folder, measure_picture, pictures, read_rgb
from arpc_codec.bench.table import Facts, markdown
from arpc_codec.errors import ArpcError


@dataclass
class StandIn:
    """Step k is a WebP file of quality `factor` k."""

    name: str = "standin"
    factor: int = 10
    encoded: list[int] = field(default_factory=list)

    @property
    def codec(self) -> str:
        return self.name

    def version(self) -> str:
        return "1"

    def ks(self, image: np.ndarray) -> Sequence[int]:
        return range(1, 4)

    def encode(self, image: np.ndarray, k: int) -> bytes:
        self.encoded.append(k)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "WEBP", quality=self.factor * k)
        return file.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ARPC_METRICS", raising=False)
    rng = np.random.default_rng(5)
    (tmp_path / "in").mkdir()
    for name in ("b", "a"):
        noise = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        noise.resize((128, 96), Image.Resampling.BICUBIC).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    return tmp_path / "in"


def _plan(tmp_path: Path, **changes: object) -> Plan:
    return Plan(**({"cache": tmp_path / "cache", "codecs": (StandIn(),), "peers": (Jpeg(), WebP())} | changes))


def test_peers_are_never_smaller_than_ours_and_best_by_the_deciding_metric(folder: Path, tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    steps = measure_picture(plan, pictures(folder)[0])
    assert [step.k for step in steps] == [1, 2, 3]
    assert plan.deciding() == ["psnr"]
    for step in steps:
        assert step.ours is not None
        assert step.bytes == step.ours.bytes
        for files in step.peers.values():
            assert files.best["psnr"].bytes >= step.bytes
            assert files.best["psnr"].values["psnr"] is not None
            assert files.smallest <= files.best["psnr"].bytes


def test_a_second_run_encodes_nothing_and_gives_the_same(folder: Path, tmp_path: Path) -> None:
    first = [measure_picture(_plan(tmp_path), path) for path in pictures(folder)]
    codec = StandIn()
    second = list(measure_folder(_plan(tmp_path, codecs=(codec,)), pictures(folder)))
    assert second == first
    assert codec.encoded == []


def test_without_floors_a_size_that_cannot_go_so_low_takes_no_part(folder: Path, tmp_path: Path) -> None:
    target = 8 * 700 / (96 * 128)
    for floors in (True, False):
        plan = _plan(tmp_path, codecs=(), peers=(Jpeg(),), targets=(target,), floors=floors)
        step = measure_picture(plan, pictures(folder)[0])[0]
        peer = Jpeg()
        image = np.asarray(Image.open(pictures(folder)[0]))
        reaches = {s: len(peer.encode(image, peer.settings()[0], s)) <= step.bytes for s in (1.0, 0.5, 0.25)}
        assert not reaches[1.0]
        assert any(reaches.values())
        assert floors or reaches[step.peers["jpeg"].best["psnr"].scale]


def _step(picture: str, k: int, ours: float, rivals: dict[str, tuple[int, float | None]], codec: str = "arpc") -> Step:
    peers = {
        name: PeerFiles(
            smallest=200, best={} if lpips is None else {"lpips_alex": Measured(1, 0.5, size, {"lpips_alex": lpips})}
        )
        for name, (size, lpips) in rivals.items()
    }
    return Step(picture, 8000, codec, k, 100 * k, Measured(k, 1.0, 100 * k, {"lpips_alex": ours}), peers)


def test_compare_takes_means_and_lists_what_no_peer_reaches() -> None:
    steps = [
        _step(p, k, ours=0.5 - 0.1 * k, rivals={"jpeg": (300, 0.3), "webp": (400, 0.2 + extra)})
        for p, extra in (("a", 0.0), ("b", 0.2))
        for k in (3, 1, 2)
    ]
    one, two, three = compare(steps)
    assert (one.k, two.k, three.k) == (1, 2, 3)
    assert (one.judged, two.judged, three.judged) == (False, True, True)
    assert three.peers[1].values["lpips_alex"] == pytest.approx(0.3)
    assert three.peers[1].bpp == pytest.approx(0.4)
    assert three.peers[1].scales == {0.5: 2}
    assert one.better("lpips_alex") is None
    assert three.better("lpips_alex") is True
    assert compare([_step("a", 2, 0.3, {"jpeg": (300, 0.3)})])[0].better("lpips_alex") is False
    table = markdown([one, two, three], 2, Facts(deciding=["lpips_alex"], trained_on=["lpips_alex"]))
    assert "LPIPS-Alex †" in table
    assert "| arpc 3 | **arpc** | 300 | 0.3000 |  | **0.200** |" in table
    assert "Listed, not judged" in table


def test_rows_of_fewer_pictures_say_so_and_claim_nothing() -> None:
    steps = [_step(p, k, 0.2, {"jpeg": (400, 0.3)}) for p, count in (("a", 3), ("b", 2)) for k in range(1, count + 1)]
    found = compare(steps)
    assert [c.counted_label for c in found] == ["arpc 1", "arpc 2", "arpc 3 (1 of 2)"]
    table = markdown(found, 2, Facts(deciding=["lpips_alex"]))
    assert "| arpc 3 (1 of 2) | **arpc** |" in table
    assert "Rows of fewer pictures say so" in table
    assert "better than every peer at k = 2; not at k = none." in table
    assert "Rows of fewer" not in markdown(found[:2], 2, Facts(deciding=["lpips_alex"]))


def test_marks_are_explained_where_a_column_has_one() -> None:
    found = compare([_step("a", 3, 0.2, {"jpeg": (400, 0.3)})])
    assert "† marked by --trained-on" in markdown(found, 1, Facts(["lpips_alex"], trained_on=["lpips_alex"]))
    assert "†" not in markdown(found, 1, Facts(["lpips_alex"], trained_on=["frechet"]))


def test_pictures_are_read_as_encode_reads_them(tmp_path: Path) -> None:
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(16, 64)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.abs(read_rgb(tmp_path / "deep.png")[..., 0] - values / 257).max() < 1
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.png", exif=turned)
    assert read_rgb(tmp_path / "turned.png").shape == (8, 4, 3)


def test_compare_keeps_our_codecs_apart() -> None:
    steps = [
        _step("a", k, 0.3, {"jpeg": (400, 0.25 if codec == "arpc" else 0.35)}, codec)
        for codec, k in (("progic", 2), ("arpc", 3), ("arpc", 2))
    ]
    found = compare(steps)
    assert [(c.label, [line.codec for line in c.lines]) for c in found] == [
        (f"{codec} {k}", [codec, "jpeg"]) for codec, k in (("arpc", 2), ("arpc", 3), ("progic", 2))
    ]
    assert [c.better("lpips_alex") for c in found] == [False, False, True]
    assert {codec: len(own) for codec, own in by_codec(found).items()} == {"arpc": 2, "progic": 1}
    table = markdown(found, 1, Facts(deciding=["lpips_alex"]))
    assert "- arpc, LPIPS-Alex: better than every peer at k = none; not at k = 2, 3." in table
    assert "- progic, LPIPS-Alex: better than every peer at k = 2; not at k = none." in table


def test_each_of_our_codecs_has_peers_of_its_own_sizes(folder: Path, tmp_path: Path) -> None:
    plan = _plan(tmp_path, codecs=(StandIn(), StandIn("coarse", factor=20)), peers=(Jpeg(),))
    steps = measure_picture(plan, pictures(folder)[0])
    assert [(step.codec, step.k) for step in steps] == [(name, k) for name in ("standin", "coarse") for k in (1, 2, 3)]
    alone = measure_picture(_plan(tmp_path, peers=(Jpeg(),)), pictures(folder)[0])
    assert [step.ours for step in steps[:3]] == [step.ours for step in alone]
    assert steps[1].bytes == steps[3].bytes
    assert steps[1].peers == steps[3].peers
    assert all(step.peers["jpeg"].best["psnr"].bytes >= step.bytes for step in steps)


def test_a_peer_that_cannot_go_so_high_has_no_line() -> None:
    (only,) = compare([_step("a", 3, 0.2, {"jpeg": (0, None), "webp": (400, 0.3)})])
    assert [line.codec for line in only.peers] == ["webp"]


def test_command_writes_a_table_and_names_what_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PEERS["avif"], "missing", classmethod(lambda cls: "not here"))
    arguments = [str(folder), "--out", str(tmp_path / "out"), "--codec", "none", "--bpp", "0.5,1"]
    done = CliRunner().invoke(main, [*arguments, "--peers", "webp,avif", "--jobs", "2"])
    assert done.exit_code == 0, done.output
    table = (tmp_path / "out" / "table.md").read_text("utf-8")
    assert table in done.output
    assert "- avif: not here" in table
    assert "WebP" in table
    rows = [json.loads(line) for line in (tmp_path / "out" / "steps.jsonl").read_text("utf-8").splitlines()]
    assert [(row["picture"], row["k"]) for row in rows] == [("a.png", 0.5), ("a.png", 1), ("b.png", 0.5), ("b.png", 1)]


@pytest.mark.parametrize(
    "bad",
    [
        ["--peers", "gif"],
        ["--codec", "gif"],
        ["--codec", "arpc,none"],
        ["--ks", "1,x"],
        ["--codec", "arpc,progic", "--ks", "1"],
        ["--codec", "none", "--model", "tiny"],
        ["--trained-on", "beauty"],
        ["--jobs", "0"],
        ["--limit", "-1"],
        ["--adapt", "-3"],
        ["--codec", "none", "--bpp", "nan"],
        ["--codec", "none", "--bpp", "0.1,-1"],
        ["--codec", "none", "--bpp", ""],
        ["--metrics", "nowhere"],
    ],
)
def test_bad_options_are_usage_errors(folder: Path, tmp_path: Path, bad: list[str]) -> None:
    assert CliRunner().invoke(main, [str(folder), "--out", str(tmp_path / "o"), *bad]).exit_code == 2


def test_after_an_error_no_picture_is_begun(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def measured(plan: Plan, path: int) -> list[Step]:
        begun.append(path)
        time.sleep(0.02)
        raise ArpcError("no")

    monkeypatch.setattr(bench_run, "pool", lambda hands, *start: ThreadPoolExecutor(hands))
    monkeypatch.setattr(bench_run, "measure_picture", measured)
    with pytest.raises(ArpcError, match="no"):
        list(measure_folder(_plan(tmp_path), list(range(200)), jobs=2))  # type: ignore[arg-type]
    assert len(begun) < 20


def test_what_can_be_coded_is_compared(tmp_path: Path) -> None:
    for name in ("a.pgm", "b.JP2", "c.pam", "d.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in pictures(tmp_path)] == ["a.pgm", "b.JP2"]
    assert [path.name for path in pictures(tmp_path, exact=True)] == ["a.pgm", "b.JP2", "c.pam"]
