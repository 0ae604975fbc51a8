"""Reads checkpoint files of other projects: plain tensors only, never code; and fits them to our names, strictly."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from arpc_codec.errors import ModelError
from arpc_codec.warned import filtered
from arpc_codec.zoo.folder import Tensors

Member = TypeVar("Member")

# Keys named of each kind of problem, so that the message stays one line.
_NAMED = 4


def read_weights(path: Path, nestings: Iterable[Sequence[str]]) -> Tensors:
    """Flat weights of a .safetensors or torch file; of the latter, what is under the first of `nestings` that it has.

    Weights stay on disk until they are used, where the file allows. Raises ModelError when it is unreadable or holds
    anything but tensors there.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path}: not a safetensors file, or damaged") from error
    found: Any = _unpickled(path)
    for nesting in nestings:
        inner = found
        for key in nesting:
            inner = inner.get(key) if isinstance(inner, Mapping) else None
        if isinstance(inner, Mapping):
            found = inner
            break
    if not isinstance(found, Mapping) or not found:
        raise ModelError(f"{path}: holds no weights")
    others = [key for key, value in found.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if others:
        raise ModelError(f"{path}: not weights: {named(map(str, others))}")
    return dict(found)


def _unpickled(path: Path) -> Any:
    try:
        with filtered("ignore"):
            # Only the zip layout of torch files can be mapped.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: holds code or objects beside weights, or is damaged; not loaded") from error
    except Exception as error:  # what a damaged pickle raises follows no rule
        raise ModelError(f"{path}: not a torch file, or damaged") from error


def fitted(
    what: str, state: Mapping[str, Tensor], names: Mapping[str, str], wanted: Mapping[str, torch.Size]
) -> Tensors:
    """Weights by our names; `names`: ours -> theirs, `wanted`: ours -> shape. Axes of length one do not count.

    Raises ModelError naming every missing, surplus or misshapen key of the checkpoint.
    """
    fits, misshapen = {}, []
    for ours, theirs in names.items():
        tensor = state.get(theirs)
        if tensor is None:
            continue
        if [n for n in tensor.shape if n > 1] != [n for n in wanted[ours] if n > 1]:
            misshapen.append(f"{theirs} {tuple(tensor.shape)} instead of {tuple(wanted[ours])}")
        elif not tensor.is_floating_point():
            misshapen.append(f"{theirs} of {tensor.dtype}")
        else:
            fits[ours] = tensor.reshape(wanted[ours])
    surplus = state.keys() - names.values()
    refuse(what, missing=set(names.values()) - state.keys(), surplus=surplus, misshapen=misshapen)
    return fits


def in_order(members: Mapping[int, Mapping[int, Member]]) -> list[list[Member]]:
    """The members of numbered groups, both in order; nothing unless all are numbered 0, 1, 2 ..."""
    numbers = (set(members), *(set(group) for group in members.values()))
    if any(found != set(range(len(found))) for found in numbers):
        return []
    return [[members[i][j] for j in range(len(members[i]))] for i in range(len(members))]


def refuse(what: str, **problems: Iterable[str]) -> None:
    """Raises ModelError if there are any `problems`: kind=keys."""
    found = [f"{kind}: {named(keys)}" for kind, keys in problems.items() if keys]
    if found:
        raise ModelError(f"{what} checkpoint: {'; '.join(found)}")


def named(keys: Iterable[str]) -> str:
    """The first few keys in order, and how many more there are."""
    ordered = sorted(keys)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more
