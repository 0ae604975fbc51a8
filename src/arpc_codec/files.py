"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from arpc_codec.errors import ArpcError

# File systems allow 255 bytes; the name of the file itself is there for people.
_NAME = 50
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)


def write_file(
    data: bytes, path: Path, *, force: bool, ready: Callable[[os.stat_result], None] = lambda found: None
) -> None:
    """Write a file under a temporary name in the same folder, call `ready` with what it is then, rename it.

    Devices and named pipes are written to as they are. Raises ArpcError when the file exists and `force` is off,
    OSError when it cannot be written.
    """
    if path.exists() and not path.is_file():
        # A device or a named pipe: nothing to replace.
        with path.open("wb") as stream:
            stream.write(data)
        return
    check_free(path, force)
    temporary = path.with_name(temporary_name(path.name))
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
        ready(temporary.stat())
        if force:
            os.replace(temporary, path)
        else:
            _rename_new(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_free(path: str | Path, force: bool) -> None:
    """ArpcError when a regular file is in the way and `force` is off."""
    if not force and path != "-" and os.path.isfile(path):
        raise ArpcError(f"{path} exists already (-f overwrites)")


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
