"""A model folder: config.json beside safetensors files, and the fingerprint that names exactly these weights."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import ModelError
from .registry import CONFIG, ModelEntry, read_entry

# Name of a tensor -> the tensor, as in one safetensors file.
Tensors = dict[str, Tensor]

# Three bytes in a file, far from the ids given out by hand.
_DERIVED_IDS = range(1 << 14, 1 << 21)


class Folder(NamedTuple):
    """sizes: what config.json says of the networks. files: tensors of each file."""

    entry: ModelEntry
    sizes: dict[str, Any]
    files: dict[str, Tensors]


def fingerprint(sizes: Mapping[str, Any], files: Mapping[str, Tensors]) -> str:
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
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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
    files: Mapping[str, Tensors],
    linked: Mapping[str, Path] = MappingProxyType({}),
) -> str:
    """Write a model folder; returns the fingerprint, from which the id follows where it is None.

    linked: files that hold these tensors already; they become hard links, or copies where that cannot be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = json.loads(json.dumps(sizes))
    mark = fingerprint(sizes, files)
    for file, tensors in files.items():
        if file in linked:
            _link(linked[file], folder / file)
        else:
            save_file(tensors, folder / file)
    values = {
        "id": derived_id(mark) if model_id is None else model_id,
        "name": name,
        "codec": codec,
        "fingerprint": mark,
        "licence": licence,
        **sizes,
    }
    (folder / CONFIG).write_text(json.dumps(values, indent=1) + "\n")
    for file in files:
        # safetensors lets nobody else read what it writes; models may be shared.
        shutil.copymode(folder / CONFIG, folder / file)
    return mark


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
) -> Folder:
    """What `write_folder` wrote. Raises ModelError when it is missing, unreadable or (with `check`) altered.

    optional: sizes that config.json may have, and the file that is then there, too.
    """
    entry = read_entry(folder)
    with naming(entry):
        values = json.loads((folder / CONFIG).read_text())
        there = [key for key in optional if key in values]
        sizes, files = [*sizes, *there], [*files, *(optional[key] for key in there)]
        found = Folder(entry, {key: values[key] for key in sizes}, {file: load_file(folder / file) for file in files})
        if check and fingerprint(found.sizes, found.files) != entry.fingerprint:
            raise ModelError(f"model '{entry.name}': weights do not match their fingerprint")
    return found


@contextmanager
def naming(entry: ModelEntry) -> Iterator[None]:
    """Turns whatever a folder's content can raise into a ModelError that names the model."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ModelError(f"model '{entry.name}': {what}") from error
