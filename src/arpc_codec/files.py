"""Files that are read from whatever names or holds them, and that appear whole or not at all; pipes and descriptors."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from arpc_codec.errors import ArpcError, UsageError

# File systems allow 255 bytes; the name of the file itself is there for people.
_NAME = 50
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)
# As many as Linux follows.
_MOST_LINKS = 40

# (device, number on it): the same for all names of a file.
Identity = tuple[int, int]
# What holds or names the bytes of a file.
Readable = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO


def contents(source: Readable) -> bytes:
    """The bytes of a file: a path's, a binary stream's from where it stands, or those of any buffer.

    Raises OSError when they cannot be read, UsageError for anything else.
    """
    if isinstance(source, str | os.PathLike):
        try:
            return Path(source).read_bytes()
        except ValueError as error:
            raise UsageError(f"{source!r} is no path: {error}") from error
    return octets(source.read() if hasattr(source, "read") else source)


def octets(data: Any) -> bytes:
    """The bytes of a buffer; UsageError for what is none."""
    if isinstance(data, bytes):
        return data
    try:
        return memoryview(data).tobytes()
    except TypeError:
        kind = type(data).__name__
        raise UsageError(f"a file is given as bytes, by its path or as a binary stream, not as {kind}") from None


def write_file(
    data: bytes, path: Path, *, force: bool, ready: Callable[[os.stat_result], None] = lambda found: None
) -> None:
    """Write a file under a temporary name in the same folder, call `ready` with what it is then, rename it.

    A file that is replaced leaves its owner and permissions to the new one, a symbolic link stays. Streams (see
    `is_stream`) are written to as they are. Raises ArpcError when the file exists and `force` is off, OSError when it
    cannot be written.
    """
    if is_stream(path):
        number = descriptor(path)
        with path.open("wb") if number is None else open(os.dup(number), "wb") as stream:
            stream.write(data)
        return
    check_free(path, force)
    path = Path(os.path.realpath(path))
    temporary = path.with_name(temporary_name(path.name))
    try:
        with temporary.open("xb") as stream:
            # Before anything is in it that not everybody may read.
            _take_over(path, temporary)
            stream.write(data)
        ready(temporary.stat())
        if force:
            os.replace(temporary, path)
        else:
            _rename_new(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def make_folder(path: Path) -> None:
    """A folder and those above it, where they are not there. Raises ArpcError, which names it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArpcError(f"cannot make the folder {path}: {error.strerror}") from error


def check_free(path: str | Path, force: bool) -> None:
    """ArpcError when a regular file is in the way and `force` is off."""
    if not force and os.path.isfile(path) and not is_stream(path):
        raise ArpcError(f"{path} exists already (-f overwrites)")


def may_replace(path: str | Path, force: bool, inputs: Collection[Identity | None], overwrite_input: bool) -> bool:
    """Whether a file in the way may be replaced; ArpcError when there is one that may not.

    Other files may with `force`, the inputs of this run, under whatever name, only with `overwrite_input`.
    """
    found = None if is_stream(path) else identity(path)
    if found is not None and found in inputs:
        if not overwrite_input:
            raise ArpcError(f"{path} is an input of this run (--overwrite-input replaces it)")
        return True
    check_free(path, force)
    return force


def identity(file: str | Path | int) -> Identity | None:
    """What a regular file is the same by under all its names, or an open one; None for anything else."""
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def is_stream(path: str | Path) -> bool:
    """Whether a path is written to as it is: a pipe, a device or an open descriptor, not a regular or a new file."""
    return descriptor(path) is not None or (os.path.exists(path) and not os.path.isfile(path))


def descriptor(path: str | Path) -> int | None:
    """The open descriptor that a name such as /dev/stdout or /dev/fd/1 stands for; None for all other names."""
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(os.path.abspath(path))
        if name.isdecimal() and os.path.realpath(folder) in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            return int(name)
        if not os.path.islink(path):
            break
        path = os.path.join(folder, os.readlink(path))
    return None


def remove_unfinished(paths: Iterable[Path]) -> None:
    """Remove what writing these files left behind when it was killed; files of other names stay. OSError as due."""
    names: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        names[path.parent].add(path.name[:_NAME])
    for folder, ours in names.items():
        if folder.is_dir():
            for entry in list(folder.iterdir()):
                if unfinished(entry.name) in ours:
                    entry.unlink()


def temporary_name(name: str) -> str:
    """Of a file that is being written: hidden, and another one every time."""
    return f".{name[:_NAME]}.{secrets.token_hex(4)}.tmp"


def unfinished(name: str) -> str | None:
    """The beginning of the name of the file that was being written under a temporary one; None for other names."""
    found = _TEMPORARY.fullmatch(name)
    return found and found[1]


def _take_over(old: Path, new: Path) -> None:
    """Give a file owner and permissions of another, if that is there."""
    try:
        found = old.stat()
    except FileNotFoundError:
        return
    # Only root may always; and Windows has no owners.
    with suppress(OSError, AttributeError):
        os.chown(new, found.st_uid, found.st_gid)
    new.chmod(stat.S_IMODE(found.st_mode))


def _rename_new(temporary: Path, path: Path) -> None:
    """Rename unless the name is taken by now; ArpcError then."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        check_free(path, force=False)
        raise
    # A file system without hard links.
    except (OSError, AttributeError, NotImplementedError):
        check_free(path, force=False)
        os.rename(temporary, path)
