"""Which files of folders are meant, and where their results go."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.places import Place, Url, place


class Job(NamedTuple):
    """One file: where it is, and the names of it and its result, with / between folders, below those given."""

    path: Place
    source: str
    target: str


def walk(inputs: Sequence[str | Path], suffixes: Collection[str], to: str) -> list[Job]:
    """The files among the inputs, whatever they are called, and those with one of the suffixes in the folders.

    A folder's files are sorted by name, then come its subfolders. Names that begin with a dot are left out, links to
    folders are not followed. The suffix becomes `to`. Raises UsageError when two files have one result, ArpcError for a
    folder that cannot be read or has no such file.
    """
    owners: dict[str, Job] = {}
    for start in map(place, inputs):
        for path, source in _files(start, suffixes) if start.is_dir() else [(start, PurePath(start.name))]:
            job = Job(path, source.as_posix(), source.with_suffix(to).as_posix())
            # Names that differ in case alone are one name on Windows.
            other = owners.setdefault(os.path.normcase(job.target), job)
            if other is not job:
                raise UsageError(f"{other.path} and {path} would both become {job.target}")
    return list(owners.values())


def _files(folder: Place, suffixes: Collection[str]) -> Iterator[tuple[Place, PurePath]]:
    """Files, and their names below the folder."""
    found = False
    for source in _behind(folder) if isinstance(folder, Url) else _below(folder):
        if not source.name.startswith(".") and source.suffix.lower() in suffixes:
            found = True
            yield folder / source.as_posix(), source
    if not found:
        raise ArpcError(f"{folder}: no files with a name that ends in {' '.join(sorted(suffixes))}")


def _below(folder: Path) -> Iterator[PurePath]:
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(parent, name) for name in sorted(files)]
        # Pipes and devices have no end. Links that lead nowhere are files that fail.
        yield from (path.relative_to(folder) for path in paths if path.is_file() or not path.exists())


def _behind(folder: Url) -> list[PurePath]:
    """In the order of local ones."""
    names = [PurePosixPath(name) for name in folder.below()]
    # Elsewhere these may lead out of the folder of results.
    strange = [name for name in names if "\\" in str(name) or ":" in str(name)] if os.name == "nt" else []
    if strange:
        raise ArpcError(f"{folder}: {strange[0]} is no name of a file here")
    visible = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    return sorted(visible, key=lambda name: [*((1, part) for part in name.parts[:-1]), (0, name.name)])


def _refuse(error: OSError) -> None:
    raise ArpcError(f"{error.filename}: {error.strerror}") from error
