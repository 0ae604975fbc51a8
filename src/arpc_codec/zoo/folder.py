"""A model folder: config.json beside safetensors files, and the fingerprint that names exactly these weights."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from arpc_codec.errors import ArpcError, ModelError
from arpc_codec.files import make_folder
from arpc_codec.zoo.registry import CONFIG, ModelEntry, read_entry

if TYPE_CHECKING:
    from torch import Tensor

# Name of a tensor -> the tensor, as in one safetensors file.
Tensors: TypeAlias = "dict[str, Tensor]"

# Three bytes in a file, far from the ids given out by hand.
_DERIVED_IDS = range(1 << 14, 1 << 21)


class Folder(NamedTuple):
    """sizes: what config.json says of the networks. files: tensors of each file."""

    entry: ModelEntry
    sizes: dict[str, Any]
    files: dict[str, dict[str, Any]]


def fingerprint(sizes: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> str:
    """SHA-256 (hex) of the sizes as canonical JSON and of every tensor's name, type, shape and bytes, by name.

    Of several files the stem of its file precedes each name.
    """
    digest = hashlib.sha256(json.dumps(sizes, sort_keys=True, separators=(",", ":")).encode())
    tensors = {
        name if len(files) == 1 else f"{Path(file).stem}.{name}": tensor
        for file, own in files.items()
        for name, tensor in own.items()
    }
    for name in sorted(tensors):
        kind, shape, data = _contents(tensors[name])
        digest.update(f"\n{name} {kind} {shape}\n".encode())
        digest.update(data)
    return digest.hexdigest()


def _contents(tensor: Any) -> tuple[str, tuple[int, ...], bytes]:
    """(type as torch calls it, shape, bytes) of a tensor of torch or an array of numpy."""
    if isinstance(tensor, np.ndarray):
        return f"torch.{tensor.dtype}", tensor.shape, tensor.tobytes()
    import torch

    data = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return str(tensor.dtype), tuple(tensor.shape), data


def derived_id(mark: str) -> int:
    """Registry id that follows from a fingerprint, for models that nobody gave one."""
    return _DERIVED_IDS[int(mark, 16) % len(_DERIVED_IDS)]


def half(state: Mapping[str, Tensor]) -> Tensors:
    """Weights of a float network in the precision of model folders: every reader computes with these."""
    return {name: tensor.half().contiguous() for name, tensor in state.items()}


def write_folder(
    folder: Path,
    model_id: int | None,
    name: str,
    licence: str,
    codec: str,
    sizes: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any]],
    linked: Mapping[str, Path] = MappingProxyType({}),
) -> str:
    """Write a model folder; returns the fingerprint, from which the id follows where it is None.

    linked: files that hold these tensors already; they become hard links, or copies where that cannot be.
    """
    make_folder(folder)
    sizes = json.loads(json.dumps(sizes))
    mark = fingerprint(sizes, files)
    for file, tensors in files.items():
        if file in linked:
            _link(linked[file], folder / file)
        else:
            _library(tensors).save_file(tensors, folder / file)
    values = {
        "id": derived_id(mark) if model_id is None else model_id,
        "name": name,
        "codec": codec,
        "fingerprint": mark,
        "licence": licence,
        **sizes,
    }
    (folder / CONFIG).write_text(json.dumps(values, indent=1) + "\n", "utf-8")
    for file in files.keys() - linked.keys():
        # safetensors lets nobody else read what it writes; models may be shared.
        shutil.copymode(folder / CONFIG, folder / file)
    return mark


def _library(tensors: Mapping[str, Any]) -> Any:
    """The part of safetensors for these."""
    return import_module(f"safetensors.{'numpy' if isinstance(next(iter(tensors.values())), np.ndarray) else 'torch'}")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def read_folder(
    folder: Path,
    sizes: Sequence[str],
    files: Sequence[str],
    *,
    check: bool,
    optional: Mapping[str, str] = MappingProxyType({}),
    library: str = "torch",
) -> Folder:
    """What `write_folder` wrote. Raises ModelError when it is missing, unreadable or (with `check`) altered.

    optional: sizes that config.json may have, and the file that is then there, too. library: torch or numpy, whose
    arrays the tensors become.
    """
    entry = read_entry(folder)
    with naming(entry):
        values = json.loads((folder / CONFIG).read_text("utf-8"))
        there = [key for key in optional if key in values]
        sizes, files = [*sizes, *there], [*files, *(optional[key] for key in there)]
        load = import_module(f"safetensors.{library}").load_file
        found = Folder(entry, {key: values[key] for key in sizes}, {file: load(folder / file) for file in files})
        if check and fingerprint(found.sizes, found.files) != entry.fingerprint:
            raise ModelError(f"model '{entry.name}': weights do not match their fingerprint")
    return found


@contextmanager
def naming(entry: ModelEntry) -> Iterator[None]:
    """Turns whatever a folder's content can raise into a ModelError that names the model."""
    try:
        yield
    except (ArpcError, MemoryError):
        raise
    except Exception as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ModelError(f"model '{entry.name}': {what}") from error
