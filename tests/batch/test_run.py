"""Runs that are finished in several attempts, and processes that die."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from arpc_codec.batch import Batch, Decoding, Encoding, Task
from arpc_codec.batch.manifest import Record
from arpc_codec.zoo.registry import find

Run = Callable[..., tuple[Batch, dict[str, Record]]]
Tree = Callable[[Path], dict[str, bytes]]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
ALL = {"a.out": b"a elif", "b.out": b"b elif", "c.out": b"c elif", "d.out": b"d elif", "sub/a.out": b"a/bus elif"}


def test_resume_does_only_what_is_missing(run: Run, source: Path, tmp_path: Path, tree: Tree) -> None:
    out = tmp_path / "out"
    _, records = run()
    assert tree(out) == ALL
    record = records["sub/a.in"]
    assert (record.target, record.bytes_in, record.bytes_out, record.code) == ("sub/a.out", 10, 10, 0)
    assert (record.width, record.height, record.bpp, record.model) == (2, 2, 20.0, "none")

    assert run(resume=True)[1] == {}
    (out / "a.out").unlink()
    (out / "b.out").write_bytes(b"x")
    (source / "c.in").write_bytes(b"new")
    (source / "e.in").write_bytes(b"more")
    batch, records = run(resume=True)
    assert sorted(records) == ["a.in", "b.in", "c.in", "e.in"]
    assert [job.source for job in batch.kept] == ["d.in", "sub/a.in"]
    assert tree(out) == {**ALL, "c.out": b"wen", "e.out": b"erom"}


def test_changes_that_keep_the_size_are_seen(run: Run, source: Path, tmp_path: Path, tree: Tree) -> None:
    run()
    for path, data in ((tmp_path / "out" / "a.out", b"spoilt"), (source / "b.in", b"edited")):
        time_before = path.stat().st_mtime_ns
        path.write_bytes(data)
        # The clock of a file system may be a coarse one.
        os.utime(path, ns=(0, time_before + 10**9))
    assert sorted(run(resume=True)[1]) == ["a.in", "b.in"]
    assert tree(tmp_path / "out") == {**ALL, "b.out": b"detide"}


def test_other_options_are_done_again(run: Run, reverse: type[Task]) -> None:
    run()
    assert len(run(reverse(times=2), resume=True)[1]) == 5  # type: ignore[call-arg]
    # How long it takes makes no other file.
    assert run(reverse(times=2, seconds=0.001), resume=True)[1] == {}  # type: ignore[call-arg]


def test_other_weights_of_a_model_are_other_options(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Encoding(codec="progic", model="progic")
    before = task.options()
    trained = replace(find("progic"), fingerprint="ab" * 32)
    monkeypatch.setattr("arpc_codec.batch.encoding.find", lambda model: trained)
    assert task.options() != before


def test_zero_is_an_option_and_not_its_absence() -> None:
    assert Decoding(guidance=0.0).options()["guidance"] == 0
    assert "guidance" not in Decoding().options()


def test_what_another_wrote_is_not_overwritten(run: Run, tmp_path: Path, tree: Tree) -> None:
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / "a.out").write_bytes(b"mine")
    for resume in (False, True, True):
        batch, _ = run(resume=resume)
        assert ("a.in" in [job.source for job, _ in batch.refused], "exists already" in batch.refused[0][1]) == (
            True,
        ) * 2
    assert [job.source for job in run(skip_existing=True)[0].kept] == ["a.in", "b.in", "c.in", "d.in", "sub/a.in"]
    assert tree(out) == {**ALL, "a.out": b"mine"}
    assert len(run(force=True)[1]) == 5
    assert tree(out) == ALL


def test_bad_files_are_recorded_and_done_again(run: Run, source: Path, tmp_path: Path, tree: Tree) -> None:
    (source / "b.in").write_bytes(b"bad")
    (source / "c.in").write_bytes(b"cut")
    (source / "d.in").unlink()
    (source / "d.in").symlink_to("missing")
    for resume in (False, True):
        _, records = run(resume=resume)
        codes = {name: record.code for name, record in records.items() if record.code}
        assert codes == {"b.in": 3, "c.in": 6, "d.in": 1}
        assert (records["b.in"].error, records["b.in"].bytes_out) == ("is bad", 0)
        assert records["d.in"].error == "No such file or directory"
        assert records.keys() - codes == (set() if resume else {"a.in", "sub/a.in"})
    assert tree(tmp_path / "out") == {"a.out": b"a elif", "c.out": b"tuc", "sub/a.out": b"a/bus elif"}
    (source / "b.in").write_bytes(b"good")
    assert run(resume=True)[1]["b.in"].code == 0


@pytest.mark.parametrize(("hands", "at_once"), [(1, 1), (3, 1), (1, 3), (2, 9)])
def test_a_process_that_dies_costs_no_other_file(
    run: Run, reverse: type[Task], source: Path, tmp_path: Path, hands: int, at_once: int, tree: Tree
) -> None:
    (source / "a.in").write_bytes(b"deadly")
    (source / "b.in").write_bytes(b"once")
    _, records = run(reverse(lives=str(tmp_path / "lives"), at_once=at_once), hands)  # type: ignore[call-arg]
    assert {name for name, record in records.items() if record.code} == {"a.in"}
    assert records["a.in"].error == "the process died (signal 9), twice: out of memory?"
    assert tree(tmp_path / "out") == {name: data for name, data in {**ALL, "b.out": b"ecno"}.items() if name != "a.out"}


def test_a_result_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_bytes(b"")
    _, records = run()
    assert {name for name, record in records.items() if record.code} == {"sub/a.in"}
    assert "cannot write" in records["sub/a.in"].error


def test_what_a_killed_run_left_unfinished_is_removed(run: Run, tmp_path: Path, tree: Tree) -> None:
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    for name in ("a.out", "sub/a.out"):
        (out / name).with_name(".a.out.0123abcd.tmp").write_bytes(b"half")
    (out / ".notes.0123abcd.tmp").write_bytes(b"of somebody")
    run()
    assert tree(out) == {**ALL, ".notes.0123abcd.tmp": b"of somebody"}


def test_killed_at_any_moment_and_resumed(source: Path, tmp_path: Path, tree: Tree) -> None:
    for number in range(100):
        (source / f"more{number}.in").write_bytes(f"{number}".encode() * 100)
    script = [sys.executable, str(Path(__file__).with_name("batch_tasks.py")), str(source)]
    subprocess.run([*script, str(tmp_path / "undisturbed")], check=True, timeout=120, capture_output=True)
    out, rng, killed = tmp_path / "out", random.Random(1), 0
    for _ in range(5):
        process = subprocess.Popen([*script, str(out)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout
        # From the first result on, so that each of these runs comes forward.
        process.stdout.read(1)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.stdout.close()
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 2
    subprocess.run([*script, str(out)], check=True, timeout=120, capture_output=True)
    assert tree(out) == tree(tmp_path / "undisturbed")
