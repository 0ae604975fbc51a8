"""A Ray cluster of two processes on this machine, some of which are killed."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest

from arpc_codec.batch import Batch, Task, walk
from arpc_codec.batch.cluster import on_ray
from arpc_codec.batch.manifest import Record
from arpc_codec.errors import ArpcError, UsageError

Run = Callable[..., tuple[Batch, dict[str, Record]]]
Tree = Callable[[Path], dict[str, bytes]]
ray = pytest.importorskip("ray", reason="Ray is not installed (the extra `cluster`)")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    # The tasks must be importable there.
    folders = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", folders)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_a_killed_process_loses_nothing_and_does_nothing_twice(
    reverse: Callable[..., Task], source: Path, tmp_path: Path, tree: Tree, run: Run
) -> None:
    for number in range(12):
        (source / f"more{number}.in").write_bytes(f"{number}".encode() * 100)
    run()
    begun, out = tmp_path / "begun", tmp_path / "cluster"
    task = reverse(seconds=0.3, begun=str(begun))
    with Batch(task, walk([source], [".in"], task.suffix), out) as batch:
        records = batch.run(2, on_ray())
        first = [next(records) for _ in range(4)]
        # It has the next file by then.
        Timer(0.15, os.kill, [int(first[-1].notes[0]), signal.SIGKILL]).start()
        rest = list(records)
    assert [record.code for record in first + rest] == [0] * 17
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text("utf-8").splitlines()]
    assert sorted(line["target"] for line in lines) == sorted(job.target for job in batch.todo)
    assert tree(out) == tree(tmp_path / "out")
    assert len(begun.read_bytes().splitlines()) == 18
    # Processes are kept, two at a time: so each loads a model once. A third may take the dead one's place.
    assert len({record.notes[0] for record in first + rest}) <= 3
    with Batch(reverse(), walk([source], [".in"], task.suffix), out, resume=True) as batch:
        assert (batch.todo, len(batch.kept)) == ([], 17)


@pytest.mark.usefixtures("cluster")
def test_bad_files_cost_themselves_only(run: Run, reverse: Callable[..., Task], source: Path, tmp_path: Path) -> None:
    (source / "a.in").write_bytes(b"deadly")
    (source / "b.in").write_bytes(b"once")
    (source / "c.in").write_bytes(b"bad")
    (source / "d.in").unlink()
    (source / "d.in").symlink_to("missing")
    _, records = run(reverse(lives=str(tmp_path / "lives")), engine=on_ray())
    assert {name: record.code for name, record in records.items() if record.code} == {"a.in": 1, "c.in": 3, "d.in": 1}
    assert records["a.in"].error == "the process died (WorkerCrashedError), twice: out of memory?"
    assert (records["c.in"].error, records["d.in"].error) == ("is bad", "No such file or directory")


@pytest.mark.usefixtures("cluster")
def test_inputs_behind_a_url(reverse: Callable[..., Task], source: Path, tmp_path: Path, tree: Tree, run: Run) -> None:
    run()
    with Batch(reverse(), walk([f"store://{source}"], [".in"], ".out"), tmp_path / "cluster") as batch:
        assert {record.code for record in batch.run(2, on_ray())} == {0}
    assert tree(tmp_path / "cluster") == tree(tmp_path / "out")


@pytest.mark.usefixtures("cluster")
def test_other_weights_on_another_machine_are_noticed(
    run: Run, reverse: type[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a machine of the cluster would find them, in whose processes this is not patched.
    monkeypatch.setattr(reverse, "options", lambda task: {"fingerprint": "of here"})
    _, records = run(engine=on_ray())
    assert {record.code for record in records.values()} == {5}
    assert "has other weights" in records["a.in"].error


def test_addresses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        for name in (address, f"ray://{address}"):
            with pytest.raises(ArpcError, match=f"cannot reach a Ray cluster at {name}: "):
                run(engine=on_ray(name))
    for name in ("somewhere", "a:b", ""):
        with pytest.raises(UsageError, match="not HOST:PORT"):
            run(engine=on_ray(name), force=True)
