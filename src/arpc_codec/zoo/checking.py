"""Are the weights of a model what its fingerprint says?"""

from __future__ import annotations

from collections.abc import Callable

from arpc_codec.errors import ModelError
from arpc_codec.zoo.bundle import load_folder
from arpc_codec.zoo.lossless import load_lossless
from arpc_codec.zoo.progic import load_progic
from arpc_codec.zoo.registry import ModelEntry

_LOADERS: dict[str, Callable[..., object]] = {"arpc": load_folder, "progic": load_progic, "hpac": load_lossless}


def check(entry: ModelEntry) -> None:
    """Load a model as its codec would. Raises ModelError when it is altered, unreadable or of no codec known here."""
    if entry.codec not in _LOADERS:
        raise ModelError(f"model '{entry.name}' belongs to the unknown codec {entry.codec}")
    _LOADERS[entry.codec](entry.path, check=True)
