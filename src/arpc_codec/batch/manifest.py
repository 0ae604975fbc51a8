"""What became of each file, one line of JSON for each, so that a run can go on where another was killed."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from arpc_codec.batch.journal import FileJournal, UrlJournal
from arpc_codec.places import Place

NAME = "manifest.jsonl"
# Of every line.
START = b'{"source": '


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

    def __init__(self, folder: Place) -> None:
        """Open or begin it, the folder too. Raises ArpcError when another run has it open, or when it is none.

        OSError as due.
        """
        self._journal: FileJournal | UrlJournal
        self._journal = FileJournal(folder / NAME) if isinstance(folder, Path) else UrlJournal(folder / NAME)
        self._last: dict[str, Record] = {}
        self._written: set[str] = set()
        try:
            for line in self._journal.lines(START):
                with suppress(ValueError, TypeError):
                    self._note(Record(**json.loads(line)))
        except BaseException:
            self._journal.close()
            raise

    def close(self) -> None:
        """Let others have it. OSError as due."""
        self._journal.close()

    def append(self, record: Record) -> None:
        """Add a record, after which it survives the end of this process. OSError when it cannot be written."""
        self._journal.append(json.dumps(asdict(record)).encode() + b"\n")
        self._note(record)

    def last(self, target: str) -> Record | None:
        """The record of a result."""
        return self._last.get(target)

    def wrote(self, target: str) -> bool:
        """Whether a result of that name was written here, however long ago."""
        return target in self._written

    def _note(self, record: Record) -> None:
        self._last[record.target] = record
        if record.bytes_out:
            self._written.add(record.target)
