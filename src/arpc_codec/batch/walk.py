"""Which files of folders are meant, and where their results go."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from arpc_codec.errors import ArpcError, UsageError


class Job(NamedTuple):
    """One file: where it is, and the names of it and its result, with / between folders, below those given."""

    path: Path
    source: str
    target: str


def walk(inputs: Sequence[str | Path], suffixes: Collection[str], to: str) -> list[Job]:
    """The files among the inputs, whatever they are called, and those with one of the suffixes in the folders.

    A folder's files are sorted by name, then come its subfolders. Names that begin with a dot are left out, links to
    folders are not followed. The suffix becomes `to`. Raises UsageError when two files have one result, ArpcError for a
    folder that cannot be read or has no such file.
    """
    owners: dict[str, Job] = {}
    for name in map(Path, inputs):
        for path in _files(name, suffixes) if name.is_dir() else [name]:
            source = path.relative_to(name) if path != name else PurePath(name.name)
            job = Job(path, source.as_posix(), source.with_suffix(to).as_posix())
            other = owners.setdefault(job.target, job)
            if other is not job:
                raise UsageError(f"{other.path} and {path} would both become {job.target}")
    return list(owners.values())


def _files(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    found = False
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in suffixes:
                found = True
                yield path
    if not found:
        raise ArpcError(f"{folder}: no files with a name that ends in {' '.join(sorted(suffixes))}")


def _refuse(error: OSError) -> None:
    raise ArpcError(f"{error.filename}: {error.strerror}") from error
