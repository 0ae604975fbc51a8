"""Codecs with their models, loaded once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from arpc_codec.container import Codec, Header
from arpc_codec.errors import ModelError, UnsupportedError, UsageError
from arpc_codec.zoo.registry import find

if TYPE_CHECKING:
    from arpc_codec.codecs.arpc import ArpcCodec
    from arpc_codec.codecs.hpac import HpacCodec

DEVICES = ("auto", "cpu", "cuda")
# The model of a codec when none is named.
DEFAULT_MODELS = {"arpc": "tiny", "hpac": "lossless"}


def choose(codec: str | None, lossless: bool) -> str:
    """The codec that is named, or else the one that `lossless` asks for. Raises UsageError when they disagree."""
    codec = codec or ("hpac" if lossless else "arpc")
    if codec not in DEFAULT_MODELS:
        raise UsageError(f"codec {codec} is not in this version: only {' and '.join(DEFAULT_MODELS)} are")
    if lossless and codec != "hpac":
        raise UsageError(f"codec {codec} is not lossless")
    return codec


def load(model: str | int, device: str) -> ArpcCodec:
    """The codec arpc with a model, by name or registry id, on `auto`, `cpu` or `cuda`; kept for the next call.

    Raises ModelError when the model is missing or belongs to another codec, UsageError when the device is missing.
    """
    return _load_arpc(*_place(model, device, "arpc"))


def load_lossless(model: str | int, device: str) -> HpacCodec:
    """The codec hpac with a model; as `load`."""
    return _load_hpac(*_place(model, device, "hpac"))


def load_for(header: Header, device: str) -> ArpcCodec:
    """The codec that a lossy file needs. Raises UnsupportedError for one that this version lacks, else as `load`."""
    if header.codec is not Codec.ARPC:
        raise UnsupportedError(f"codec {header.codec.name.lower()} is not in this version")
    return load(header.model_id, device)


def _place(model: str | int, device: str, codec: str) -> tuple[str, str, str]:
    """(name, folder, device) of a model for a codec."""
    if device not in DEVICES:
        raise UsageError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
    entry = find(model)
    if entry.codec != codec:
        raise ModelError(f"model '{entry.name}' belongs to codec {entry.codec}, not to {codec}")
    if device != "cpu":
        import torch

        there = torch.cuda.is_available()
        if device == "cuda" and not there:
            raise UsageError("no CUDA device on this machine")
        device = "cuda" if there else "cpu"
    return entry.name, str(entry.path), device


# The folder is part of the keys only: ARPC_HOME may change between calls.
@lru_cache(maxsize=2)
def _load_arpc(name: str, folder: str, device: str) -> ArpcCodec:
    from arpc_codec.codecs.arpc import ArpcCodec

    return ArpcCodec.load(name, device)


@lru_cache(maxsize=2)
def _load_hpac(name: str, folder: str, device: str) -> HpacCodec:
    from arpc_codec.codecs.hpac import HpacCodec

    return HpacCodec.load(name, device)
