"""Folders on the command line, with a very small model of random weights in real worker processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from arpc_codec.codecs.progic import ProgicCodec
from arpc_codec.container import read
from arpc_codec.zoo.registry import find

Run = Callable[..., Result]
Tree = Callable[[Path], dict[str, bytes]]
MODEL = ("--codec", "progic", "-m", "micro-progic")


@pytest.fixture(autouse=True)
def home(micro_home: Path, micro_progic: ProgicCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARPC_HOME", str(micro_home))


@pytest.fixture
def photos(picture: Callable[..., np.ndarray], tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.jpg", "sub/a.PPM")):
        Image.fromarray(picture(32, 48, seed)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text("utf-8").splitlines()]


def test_there_and_back_and_resumed(arpc: Run, photos: Path, tmp_path: Path, tree: Tree) -> None:
    (photos / "bad.png").write_bytes(b"junk")
    out, back = tmp_path / "out", tmp_path / "back"
    result = arpc("encode", photos, "--out-dir", out, *MODEL, "-j", "2")
    assert result.exit_code == 1
    bad, summary = result.stderr.splitlines()
    assert bad == "arpc: bad.png: not a picture in a format that can be read"
    assert summary.startswith(f"arpc: {out}: 3 done, 1 with errors, ")
    assert sorted(tree(out)) == ["a.arpc", "b.arpc", "sub/a.arpc"]
    alone = arpc("encode", photos / "a.png", "-o", "-", *MODEL).stdout_bytes
    assert (out / "a.arpc").read_bytes() == alone
    record = next(record for record in records(out) if record["source"] == "a.png")
    assert (record["width"], record["height"], record["bytes_out"]) == (48, 32, len(alone))
    assert (record["model"], record["options"]["codec"]) == ("micro-progic", "progic")
    assert record["options"]["fingerprint"] == find("micro-progic").fingerprint
    assert record["bpp"] == pytest.approx(8 * len(alone) / (48 * 32), abs=1e-5)

    (photos / "bad.png").unlink()
    result = arpc("encode", photos, "--out-dir", out, *MODEL, "--resume")
    assert (result.exit_code, len(records(out))) == (0, 4)
    assert "0 done, 3 were there" in result.stderr
    result = arpc("encode", photos, "--out-dir", out, *MODEL, "--resume", "--stages", "2", "-q")
    assert (result.exit_code, result.stderr, len(records(out))) == (0, "", 7)
    assert read((out / "b.arpc").read_bytes()).header.scales == 2

    (out / "b.arpc").write_bytes((out / "b.arpc").read_bytes()[:-1])
    result = arpc("decode", out, "--out-dir", back, "-v", "-j", "1")
    assert result.exit_code == 6
    assert "arpc: a.arpc: 48x32 -> a.png: 2 of 3 stages" in result.stderr
    assert "arpc: b.arpc: truncated: 1 of 2 stages arrived; picture written" in result.stderr
    assert sorted(tree(back)) == ["a.png", "b.png", "sub/a.png"]
    assert (back / "a.png").read_bytes() == arpc("decode", out / "a.arpc", "-o", "-").stdout_bytes


def test_usage(arpc: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for words, text in (
        (["encode", photos], f"{photos} is a folder: use --out-dir"),
        (["encode", photos, "-o", out], f"{photos} is a folder: use --out-dir"),
        (["encode", photos / "a.png", "--resume"], "--resume belongs to --out-dir"),
        (["encode", photos / "a.png", "--engine", "ray"], "--engine ray belongs to --out-dir"),
        (["encode", photos, "--out-dir", out, "--address", "auto"], "--address belongs to --engine ray"),
        (
            ["decode", photos, "--out-dir", out, "--steps", out],
            "--steps and --certainty do not belong to folders, --resume and --engine ray",
        ),
        (
            ["encode", photos, photos / "a.png", "--out-dir", out],
            f"{photos / 'a.png'} and {photos / 'a.png'} would both",
        ),
    ):
        result = arpc(*words)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert text in result.stderr
    result = arpc("decode", photos, "--out-dir", out)
    assert (result.exit_code, result.stderr) == (1, f"arpc: {photos}: no files with a name that ends in .arpc\n")
    assert not list(out.iterdir())


def test_without_ray_the_extra_is_named(
    arpc: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = arpc("encode", photos, "--out-dir", tmp_path / "out", *MODEL, "--engine", "ray")
    assert result.exit_code == 2
    assert result.stderr == "arpc: --engine ray needs Ray: pip install 'arpc-codec[cluster]'\n"


def test_a_cluster_makes_the_same_files(arpc: Run, photos: Path, tmp_path: Path, tree: Tree) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (the extra `cluster`)")
    (photos / "bad.png").write_bytes(b"junk")
    words = ("encode", photos, *MODEL, "-j", "2", "--out-dir")
    arpc(*words, tmp_path / "local")
    result = arpc(*words, tmp_path / "cluster", "--engine", "ray")
    assert result.exit_code == 1
    assert "arpc: bad.png: not a picture in a format that can be read" in result.stderr
    assert tree(tmp_path / "cluster") == tree(tmp_path / "local")
    # Each engine goes on where the other one stopped.
    (tmp_path / "cluster" / "a.arpc").unlink()
    (photos / "bad.png").unlink()
    result = arpc(*words, tmp_path / "cluster", "--resume")
    assert result.exit_code == 0
    assert "1 done, 2 were there" in result.stderr
    assert "0 done, 3 were there" in arpc(*words, tmp_path / "cluster", "--resume", "--engine", "ray").stderr


def test_urls(arpc: Run, photos: Path, tmp_path: Path, tree: Tree) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed (the extra `cluster`)")
    words = ("encode", f"file://{photos}", *MODEL, "-j", "1", "--out-dir")
    arpc(*words, tmp_path / "out")
    result = arpc(*words, "memory://coded/out")
    assert result.exit_code == 0
    assert result.stderr.startswith("arpc: memory://coded/out: 3 done, ")
    system = fsspec.filesystem("memory")
    names = [name for name in system.find("/coded/out") if not name.endswith("jsonl")]
    assert {name.removeprefix("/coded/out/"): system.cat_file(name) for name in names} == tree(tmp_path / "out")
    assert "0 done, 3 were there" in arpc(*words, "memory://coded/out", "--resume").stderr
    for more, text in (
        (["s3://photos"], "s3://photos is a URL: use --out-dir"),
        ([photos, "--out-dir", "nowhere://photos"], "nowhere://photos"),
        (["nowhere://photos", "--out-dir", tmp_path / "out"], "nowhere://photos: Protocol not known: nowhere"),
    ):
        result = arpc("encode", *more, *MODEL)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert text in result.stderr


def test_what_is_there_is_refused_at_once(arpc: Run, photos: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "sub/a"):
        (tmp_path / "out" / f"{name}.arpc").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / f"{name}.arpc").touch()
    result = arpc("encode", photos, "--out-dir", tmp_path / "out", *MODEL, "--resume")
    assert result.exit_code == 1
    assert result.stderr.count("exists already (-f overwrites)") == 3
    assert arpc("encode", photos, "--out-dir", tmp_path / "out", *MODEL, "--skip-existing").exit_code == 0


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_interrupt_keeps_what_is_finished(photos: Path, tmp_path: Path, tree: Tree) -> None:
    for number in range(200):
        (photos / f"c{number}.png").write_bytes((photos / "a.png").read_bytes())
    out = tmp_path / "out"
    words = [sys.executable, "-m", "arpc_codec", "encode", photos, "--out-dir", out, *MODEL, "--device", "cpu"]
    process = subprocess.Popen(
        [*map(str, words), "-j", "2"],
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        # A shell starts what it puts into the background, such as these tests, with interrupts ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not any(out.glob("*.arpc")):
        assert process.poll() is None
        time.sleep(0.02)
    # As a terminal does: to all processes of the command.
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (130, "arpc: interrupted")
    done = {record["target"] for record in records(out)}
    assert 0 < len(tree(out)) < 200
    assert set(tree(out)) <= done
    assert len(done) <= len(tree(out)) + 1
