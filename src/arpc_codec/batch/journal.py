"""Lines that are only ever added, each of which survives the end of the process that added it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from arpc_codec.errors import ArpcError
from arpc_codec.files import make_folder
from arpc_codec.places import Url, write_whole

try:
    import fcntl
except ImportError:  # Windows: two runs on one folder are not kept apart
    fcntl = None  # type: ignore[assignment]


class FileJournal:
    """A local file, locked while it is open."""

    def __init__(self, path: Path) -> None:
        """Open or begin it, its folder too. Raises ArpcError when it cannot be, or another process has it."""
        make_folder(path.parent)
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise ArpcError(f"cannot open {path}: {error.strerror}") from error
        try:
            self._lock(path.parent)
        except BaseException:
            self._file.close()
            raise

    def lines(self, start: bytes) -> Iterator[bytes]:
        """Those that are there, before any is added.

        Raises ArpcError for somebody else's file, of which no line begins with `start`: it is neither cut nor added to.
        """
        self._file.seek(0)
        _check_ours(self._file, start, self._file.name)
        self._file.seek(0)
        end = 0
        for line in self._file:
            # The last line of a killed run may be torn.
            if line.endswith(b"\n"):
                end += len(line)
                yield line
        if end < os.fstat(self._file.fileno()).st_size:
            self._file.truncate(end)

    def append(self, line: bytes) -> None:
        """Add a line with its end. OSError as due."""
        self._file.write(line)
        self._file.flush()

    def close(self) -> None:
        """Let others have it. OSError as due."""
        self._file.close()

    def _lock(self, folder: Path) -> None:
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArpcError(f"{folder}: another run is writing there") from None
            except OSError:  # a file system without locks
                pass


class UrlJournal:
    """A file behind a URL, not locked. Nothing can be added to it, so a line is a file until the journal is closed.

    Those of a process that was killed are gathered by the next one.
    """

    def __init__(self, url: Url) -> None:
        """Open or begin it, its folder too. OSError as due."""
        self._url, self._parts = url, url.parent / f".{url.name}.parts"
        self._parts.mkdir()
        self._gather()
        self._count = 0

    def lines(self, start: bytes) -> Iterator[bytes]:
        """As of `FileJournal`."""
        found = self._gathered().splitlines(keepends=True)
        _check_ours(found, start, str(self._url))
        yield from found

    def append(self, line: bytes) -> None:
        """Add a line with its end. OSError as due."""
        self._count += 1
        (self._parts / f"{self._count:09}").write_bytes(line)

    def close(self) -> None:
        """Gather the lines in one file. OSError as due."""
        self._gather()

    def _gather(self) -> None:
        parts = [self._parts / name for name in sorted(self._parts.below())]
        lines = (part.read_bytes() for part in parts)
        # The last one of a killed run may be torn.
        if whole := [line for line in lines if line.endswith(b"\n")]:
            write_whole(b"".join([self._gathered(), *whole]), self._url, force=True, ready=lambda time: None)
        for part in parts:
            part.unlink()

    def _gathered(self) -> bytes:
        return self._url.read_bytes() if self._url.exists() else b""


def _check_ours(lines: Iterable[bytes], start: bytes, name: str) -> None:
    """The only line of a killed run may be torn."""
    number = 0
    for number, line in enumerate(lines, 1):
        if line.startswith(start) or (number == 1 and start.startswith(line)):
            return
    if number:
        raise ArpcError(f"{name} was not written by arpc: move it away")
