"""Folders behind URLs: one in memory for results, and for inputs one that worker processes reach, too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from arpc_codec.batch import Batch, Task, walk
from arpc_codec.batch.manifest import NAME, Manifest, Record
from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.places import Url, place, write_whole

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed (the extra `cluster`)")
OUT = Url("memory://results/out")
ALL = {"a.out": b"a elif", "b.out": b"b elif", "c.out": b"c elif", "d.out": b"d elif", "sub/a.out": b"a/bus elif"}


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    yield
    system = fsspec.filesystem("memory")
    if system.exists("/results"):
        system.rm("/results", recursive=True)


@pytest.fixture
def store(reverse: type[Task], source: Path) -> Url:
    """The folder of inputs behind a URL: `reverse` brings the file system of batch_tasks to the workers."""
    return Url(f"store://{source}")


def stored() -> dict[str, bytes]:
    return {name: (OUT / name).read_bytes() for name in OUT.below() if name != NAME}


def records() -> list[str]:
    return [json.loads(line)["target"] for line in (OUT / NAME).read_bytes().splitlines()]


def run(task: Task, start: str | Path | Url, out: Url | Path = OUT, **options: bool) -> tuple[Batch, list[Record]]:
    with Batch(task, walk([str(start)], [".in"], task.suffix), out, **options) as batch:
        return batch, list(batch.run(2))


def test_names() -> None:
    assert place("photos/a.png") == Path("photos/a.png")
    assert place("C:/photos") == Path("C:/photos")
    assert place("file:///photos/a.png") == place("local:///photos/a.png") == Path("/photos/a.png")
    assert place("file://localhost/two%20words.png") == Path("/two words.png")
    assert place("s3://bucket/photos/") / "a.png" == Url("s3://bucket/photos/a.png")
    for name, text in (("nowhere://a", "not known"), ("s4+x://a", "not known")):
        with pytest.raises(UsageError, match=f"{name[:2]}.*{text}"):
            Url(name).exists()
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        Url("memory://results/nothing").read_bytes()


def test_the_same_files_as_in_a_folder(store: Url, source: Path) -> None:
    for name in ("sub.in", ".hidden.in", ".hidden/a.in", "sub/b.IN", "a.txt", "z/a.in"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(b"x")
    here, there = (walk([str(start)], [".in"], ".out") for start in (source, store))
    assert [job[1:] for job in there] == [job[1:] for job in here]
    assert [str(job.path) for job in there] == [f"{store}/{job.source}" for job in here]
    assert [job.source for job in walk([f"{store}/sub/a.in"], [], ".out")] == ["a.in"]
    with pytest.raises(ArpcError, match="no files with a name"):
        walk([str(store)], [".png"], ".out")


def test_there_resumed_and_changed(reverse: Callable[..., Task], store: Url, source: Path) -> None:
    run(reverse(), store)
    assert stored() == ALL
    assert sorted(records()) == sorted(ALL)
    assert run(reverse(), store, resume=True)[1] == []
    (OUT / "a.out").unlink()
    # Of the same size: its time tells.
    (source / "b.in").write_bytes(b"FILE b")
    (source / "c.in").write_bytes(b"bad")
    found = {record.source: record.code for record in run(reverse(), store, resume=True)[1]}
    assert found == {"a.in": 0, "b.in": 0, "c.in": 3}
    assert stored() == {**ALL, "b.out": b"b ELIF"}
    assert len(records()) == 8
    # What has no record is somebody else's.
    (source / "e.in").write_bytes(b"e")
    (OUT / "e.out").write_bytes(b"mine")
    batch, _ = run(reverse(), store, resume=True)
    assert [job.source for job, problem in batch.refused if "exists already" in problem] == ["e.in"]
    assert stored()["e.out"] == b"mine"
    run(reverse(), store, force=True)
    assert stored()["e.out"] == b"e"


def test_file_urls_are_local(reverse: Callable[..., Task], source: Path, tmp_path: Path, tree) -> None:
    run(reverse(), f"file://{source}", place(f"file://{tmp_path}/out"))
    assert tree(tmp_path / "out") == ALL
    assert run(reverse(), source, tmp_path / "out", resume=True)[1] == []


def test_killed_between_any_two_requests(
    reverse: Callable[..., Task], store: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was the last thing that a run did, no part of a file has its name, and the next run finishes."""
    original, left = Url._ask, 0

    def ask(url: Url, what: str, *args: object, **options: object) -> object:
        nonlocal left
        if what in ("pipe_file", "mv", "rm_file"):
            left -= 1
            if left < 0:
                if what == "pipe_file":
                    original(url, what, args[0][:3])  # type: ignore[index]
                raise KeyboardInterrupt
        return original(url, what, *args, **options)

    monkeypatch.setattr(Url, "_ask", ask)
    killed = 0
    for number in range(100):
        left = number
        try:
            run(reverse(), store, resume=True)
        except KeyboardInterrupt:
            killed += 1
        else:
            break
        visible = {name: data for name, data in stored().items() if not re.search(r"(^|/)\.", name)}
        assert visible.items() <= ALL.items()
    assert killed > 3
    left = 1000
    assert run(reverse(), store, resume=True)[1] == []
    assert stored() == ALL
    assert set(records()) == set(ALL)


def test_lines_of_a_killed_run_are_gathered() -> None:
    first = Manifest(OUT)
    records = [Record(f"{number}.png", f"{number}.arpc", bytes_out=number) for number in range(12)]
    for record in records[:11]:
        first.append(record)
    # Not closed.
    (OUT / f".{NAME}.parts" / "000000012").write_bytes(b'{"source": "torn')
    second = Manifest(OUT)
    assert [second.last(record.target) for record in records] == [*records[:11], None]
    second.append(replace(records[0], code=3))
    second.close()
    third = Manifest(OUT)
    assert (third.last("0.arpc"), third.last("1.arpc")) == (replace(records[0], code=3), records[1])
    assert len((OUT / NAME).read_bytes().splitlines()) == 12
    assert OUT.below() == [NAME]


def test_results_appear_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    target, seen = OUT / "sub" / "a.out", []
    write_whole(b"old", target, force=False, ready=lambda time: seen.append(target.exists()))
    with pytest.raises(ArpcError, match="exists already"):
        write_whole(b"new", target, force=False, ready=lambda time: None)
    write_whole(b"new", target, force=True, ready=lambda time: seen.append(target.read_bytes()))
    assert seen == [False, b"old"]
    assert target.read_bytes() == b"new"
    # What cannot get its name leaves nothing behind.
    monkeypatch.setattr(Url, "replace", lambda self, to: (_ for _ in ()).throw(OSError("refused")))
    with pytest.raises(OSError, match="refused"):
        write_whole(b"newest", target, force=True, ready=lambda time: None)
    assert OUT.below() == ["sub/a.out"]
