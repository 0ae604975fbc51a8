"""A folder of small files, and the task on them where worker processes can import it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arpc_codec.batch import Batch, Engine, Task, walk
from arpc_codec.batch.manifest import Record
from arpc_codec.batch.workers import work

Run = Callable[..., tuple[Batch, dict[str, Record]]]


@pytest.fixture
def reverse(monkeypatch: pytest.MonkeyPatch) -> type[Task]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    found: type[Task] = importlib.import_module("batch_tasks").Reverse
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five files, one of them in a subfolder."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "c", "d", "sub/a"):
        (folder / f"{name}.in").write_bytes(f"file {name}".encode())
    return folder


@pytest.fixture
def run(reverse: type[Task], source: Path, tmp_path: Path) -> Run:
    """Runs the task on the folder: what was planned, and the records by source."""

    def on_folder(
        task: Task | None = None, hands: int = 2, engine: Engine = work, **options: Any
    ) -> tuple[Batch, dict[str, Record]]:
        task = task or reverse()
        with Batch(task, walk([source], [".in"], task.suffix), tmp_path / "out", **options) as batch:
            return batch, {record.source: record for record in batch.run(hands, engine)}

    return on_folder
