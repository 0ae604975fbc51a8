"""What became of each file, one line of JSON for each, so that a run can go on where another was killed."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from arpc_codec.errors import ArpcError

try:
    import fcntl
except ImportError:  # Windows: two runs on one folder are not kept apart
    fcntl = None  # type: ignore[assignment]

NAME = "manifest.jsonl"


@dataclass(frozen=True)
class Record:
    """One line. code: exit code, with an error unless it is 0; bytes_out: 0 when nothing was written.

    Times are those of the files in nanoseconds, seconds how long the work took. Of several records of one target the
    last one counts.
    """

    source: str
    target: str
    code: int = 0
    error: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    width: int = 0
    height: int = 0
    bpp: float = 0.0
    seconds: float = 0.0
    model: str = ""
    summary: str = ""
    notes: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    source_time: int = 0
    target_time: int = 0


class Manifest:
    """The records in a folder, locked while it is open: a second run would mix its results with these."""

    def __init__(self, folder: Path) -> None:
        """Open or begin it, the folder too. Raises ArpcError when another run has it open, OSError as due."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file = (folder / NAME).open("a+b")
        try:
            self._lock()
            self._last: dict[str, Record] = {}
            self._written: set[str] = set()
            self._read()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Let others have it. OSError as due."""
        self._file.close()

    def append(self, record: Record) -> None:
        """Add a record, after which it survives the end of this process. OSError when it cannot be written."""
        self._file.write(json.dumps(asdict(record)).encode() + b"\n")
        self._file.flush()
        self._note(record)

    def last(self, target: str) -> Record | None:
        """The record of a result."""
        return self._last.get(target)

    def wrote(self, target: str) -> bool:
        """Whether a result of that name was written here, however long ago."""
        return target in self._written

    def _lock(self) -> None:
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArpcError(f"{self.folder}: another run is writing there") from None
            except OSError:  # a file system without locks
                pass

    def _read(self) -> None:
        self._file.seek(0)
        end = 0
        for line in self._file:
            # The last line of a killed run may be torn.
            if line.endswith(b"\n"):
                end += len(line)
                with suppress(ValueError, TypeError):
                    self._note(Record(**json.loads(line)))
        if end < os.fstat(self._file.fileno()).st_size:
            self._file.truncate(end)

    def _note(self, record: Record) -> None:
        self._last[record.target] = record
        if record.bytes_out:
            self._written.add(record.target)
