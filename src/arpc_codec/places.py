"""Where files are: on this machine, or behind a URL that fsspec knows, such as s3:// (the extra `cluster`)."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.files import Identity, may_replace, remove_unfinished, temporary_name, unfinished, write_file

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)
_LOCAL = ("file", "local")


@dataclass(frozen=True)
class Url:
    """A file or folder behind a URL, with what folders need of `pathlib.Path`; it can be sent to other processes.

    Methods raise OSError as those do, ArpcError for what else a service says, UsageError when its package is missing.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.text.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return self.text.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> Url:
        return Url(self.text.rstrip("/").rpartition("/")[0])

    def absolute(self) -> Url:
        return self

    def is_dir(self) -> bool:
        return bool(self._ask("isdir"))

    def exists(self) -> bool:
        return bool(self._ask("exists"))

    def below(self) -> list[str]:
        """The names of all files below a folder, from there on."""
        root = self._path()
        return [found[len(root) :].lstrip("/") for found in self._ask("find")]

    def seen(self) -> tuple[int, int]:
        """Size in bytes, and time of the last change in nanoseconds, 0 where services do not say."""
        size = int(self._ask("size") or 0)
        try:
            return size, int(self._ask("modified").timestamp() * 1e9)
        except NotImplementedError:
            return size, 0

    def read_bytes(self) -> bytes:
        return bytes(self._ask("cat_file"))

    def write_bytes(self, data: bytes) -> None:
        """In stores of objects it is whole or not there; in others it may be cut short when this process is killed."""
        self._ask("pipe_file", data)

    def mkdir(self) -> None:
        """Make the folder, and those above it, unless it is there; stores of objects have none."""
        self._ask("makedirs", exist_ok=True)

    def replace(self, target: Url) -> None:
        """Move the file, at once or by a whole copy."""
        self._ask("mv", target._path())

    def unlink(self) -> None:
        self._ask("rm_file")

    def _path(self) -> str:
        path: str = _opened(self.text)[1]
        return path

    def _ask(self, what: str, *args: Any, **options: Any) -> Any:
        system, path = _opened(self.text)
        try:
            return getattr(system, what)(path, *args, **options)
        except FileNotFoundError as error:
            # Theirs has no text.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.text) from error
        except (OSError, NotImplementedError):
            raise
        except Exception as error:
            raise ArpcError(f"{self}: {error}") from error


Place = Path | Url


def place(name: str | Path) -> Place:
    """Where a name leads; file:// is a local path."""
    found = _URL.fullmatch(str(name))
    if found is None:
        return Path(name)
    if found[1] not in _LOCAL:
        return Url(str(name))
    return Path(url2pathname(found[2].removeprefix("localhost")))


def seen(at: Place) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds of a file, zeros without one."""
    try:
        if isinstance(at, Url):
            return at.seen()
        found = at.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def replaceable(at: Place, force: bool, inputs: Collection[Identity | None], overwrite_input: bool) -> bool:
    """As `files.may_replace`."""
    if isinstance(at, Path):
        return may_replace(at, force, inputs, overwrite_input)
    if not force and at.exists():
        raise ArpcError(f"{at} exists already (-f overwrites)")
    return force


def write_whole(data: bytes, at: Place, *, force: bool, ready: Callable[[int], None]) -> None:
    """Write a file under a temporary name, call `ready`, give it its name; its folder is made.

    `ready` gets the time that the file will have, as `seen` tells it, or 0 where only the move decides. Raises
    ArpcError when the file exists and `force` is off, OSError when it cannot be written.
    """
    if isinstance(at, Path):
        at.parent.mkdir(parents=True, exist_ok=True)
        write_file(data, at, force=force, ready=lambda found: ready(found.st_mtime_ns))
        return
    replaceable(at, force, (), False)
    _make(at.parent)
    temporary = at.parent / temporary_name(at.name)
    try:
        temporary.write_bytes(data)
        ready(0)
        temporary.replace(at)
    except BaseException:
        with suppress(OSError, ArpcError):
            temporary.unlink()
        raise


def clean(folder: Place, names: Collection[str]) -> None:
    """Remove what writing these files of a folder left behind when it was killed. OSError as due."""
    if isinstance(folder, Path):
        remove_unfinished(folder / name for name in names)
        return
    ours = {unfinished(temporary_name(name.rpartition("/")[2])) for name in names}
    for name in folder.below():
        if unfinished(name.rpartition("/")[2]) in ours:
            (folder / name).unlink()


@lru_cache(maxsize=1000)
def _make(folder: Url) -> None:
    folder.mkdir()


@lru_cache(maxsize=1000)
def _opened(url: str) -> tuple[Any, str]:
    """(file system, path in it)."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise UsageError(f"{url}: URLs need fsspec: pip install 'arpc-codec[cluster]'") from None
    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UsageError(f"{url}: {error}") from error
    return system, path
