"""Are the weights of a model what its fingerprint says?"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ModelError
from .bundle import load_folder
from .lossless import load_lossless
from .progic import load_progic
from .registry import ModelEntry

_LOADERS: dict[str, Callable[..., object]] = {"arpc": load_folder, "progic": load_progic, "hpac": load_lossless}


def check(entry: ModelEntry) -> None:
    """Load a model as its codec would. Raises ModelError when it is altered, unreadable or of no codec known here."""
    if entry.codec not in _LOADERS:
        raise ModelError(f"model '{entry.name}' belongs to the unknown codec {entry.codec}")
    _LOADERS[entry.codec](entry.path, check=True)
