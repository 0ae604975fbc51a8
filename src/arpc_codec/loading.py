"""Codecs with their models, loaded once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from arpc_codec.container import Codec, Header
from arpc_codec.errors import UnsupportedError, UsageError
from arpc_codec.zoo.registry import find

if TYPE_CHECKING:
    from arpc_codec.codecs.arpc import ArpcCodec

DEVICES = ("auto", "cpu", "cuda")


def load(model: str | int, device: str) -> ArpcCodec:
    """The codec with a model, by name or registry id, on `auto`, `cpu` or `cuda`; kept for the next call.

    Raises ModelError when the model is missing, UsageError when the device is.
    """
    if device not in DEVICES:
        raise UsageError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
    if device != "cpu":
        import torch

        there = torch.cuda.is_available()
        if device == "cuda" and not there:
            raise UsageError("no CUDA device on this machine")
        device = "cuda" if there else "cpu"
    entry = find(model)
    return _load(entry.name, str(entry.path), device)


def load_for(header: Header, device: str) -> ArpcCodec:
    """The codec that a file needs. Raises UnsupportedError for a codec that this version lacks, else as `load`."""
    if header.codec is not Codec.ARPC:
        raise UnsupportedError(f"codec {header.codec.name.lower()} is not in this version")
    return load(header.model_id, device)


@lru_cache(maxsize=2)
def _load(name: str, folder: str, device: str) -> ArpcCodec:
    """`folder` is part of the key only: ARPC_HOME may change between calls."""
    from arpc_codec.codecs.arpc import ArpcCodec

    return ArpcCodec.load(name, device)
