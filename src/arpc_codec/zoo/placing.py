"""New model folders: names that are free, and folders that appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.zoo.registry import models, read_entry

# Where a model's weights are from.
NOTE = "LICENCE.txt"


def check_new(out: Path, model_id: int | None, name: str | None) -> str:
    """The name of a model that is to be written to `out`: that of the folder if None.

    Raises UsageError for a bad name or one that is taken, as is an id; ArpcError when `out` exists.
    """
    name = out.name if name is None else name
    if not re.fullmatch(r"[\w.-]+", name) or name.isdecimal():
        raise UsageError(f"a model's name is letters, digits, '.', '_' and '-', not digits alone: not {name!r}")
    _check_not_there(out)
    _check_free({name} if model_id is None else {name, str(model_id)})
    return name


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes the model folder `out` when the block ends well.

    Raises UsageError when its id, which may be made of the fingerprint, is taken, ArpcError when `out` exists and when
    something cannot be written.
    """
    _check_not_there(out)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _check_free({str(read_entry(temporary).id)})
        os.rename(temporary, out)
    except OSError as error:
        raise ArpcError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def link(folder: Path, others: Mapping[str, Path | None]) -> None:
    """Put links to other folders, those that there are, into a model folder."""
    for name, other in others.items():
        if other is not None:
            (folder / name).symlink_to(other.resolve(), target_is_directory=True)


def _check_not_there(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise ArpcError(f"{out} exists already")


def _check_free(labels: set[str]) -> None:
    """UsageError when a model on this machine has one of these names or ids."""
    for entry in models():
        if taken := labels & {entry.name, str(entry.id)}:
            raise UsageError(f"{min(taken)} is taken by the model in {entry.path}: choose another --name or --id")
