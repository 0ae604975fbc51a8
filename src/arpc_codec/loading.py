"""Codecs with their models, loaded once."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from arpc_codec.container import Header
from arpc_codec.errors import UsageError
from arpc_codec.zoo.registry import ModelEntry, find

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from arpc_codec.codecs.arpc import ArpcCodec
    from arpc_codec.codecs.hpac import HpacCodec
    from arpc_codec.codecs.progic import ProgicCodec

    LossyCodec = ArpcCodec | ProgicCodec

# In the place of a caption: one that a network writes.
AUTO_CAPTION = "auto"
DEVICES = ("auto", "cpu", "cuda")
# The model of a codec when none is named.
DEFAULT_MODELS = {"arpc": "tiny", "progic": "progic", "hpac": "lossless"}
_CLASSES = {"arpc": "ArpcCodec", "progic": "ProgicCodec"}


def choose(codec: str | None, lossless: bool) -> str:
    """The codec that is named, or else the one that `lossless` asks for. Raises UsageError when they disagree."""
    codec = codec or ("hpac" if lossless else "arpc")
    if codec not in DEFAULT_MODELS:
        raise UsageError(f"codec {codec} is not in this version: only {', '.join(DEFAULT_MODELS)} are")
    if lossless and codec != "hpac":
        raise UsageError(f"codec {codec} is not lossless")
    return codec


def model_for(codec: str, model: str | int | None) -> str:
    """The model that is named, or else the codec's own. Raises ModelError when it is missing."""
    name = str(model or DEFAULT_MODELS[codec])
    find(name)
    return name


def load(model: str | int | ModelEntry, device: str, codec: str = "arpc") -> LossyCodec:
    """A lossy codec with a model, by name, registry id or as found, on `auto`, `cpu` or `cuda`; kept for the next call.

    Raises ModelError when the model is missing or belongs to another codec, UsageError when the device is missing.
    """
    found: LossyCodec = _load(codec, *_place(model, device, codec))
    return found


def load_lossless(model: str | int | ModelEntry, device: str = "cpu") -> HpacCodec:
    """The codec hpac with a model; as `load`, but it runs on the processor whatever the device, and without torch."""
    _check_device(device)
    return _load_lossless(find(model).of("hpac"))


def caption_for(caption: str, pixels_hwc: NDArray[np.uint8], model: str | int, device: str, codec: str) -> str:
    """The caption as it is or, if it is `auto`, what the captioner says of the picture [H, W, 3].

    Raises ModelError when there is no captioner (ARPC_BLIP, or the model's), or as `load`.
    """
    if caption != AUTO_CAPTION:
        return caption
    entry, device = _place(model, device, codec)
    from arpc_codec.text import captioner

    return captioner(entry, device).caption(pixels_hwc)


def load_for(header: Header, device: str) -> LossyCodec:
    """The codec that a lossy file needs; as `load`."""
    return load(header.model_id, device, header.codec.name.lower())


def _place(model: str | int | ModelEntry, device: str, codec: str) -> tuple[ModelEntry, str]:
    """(model, device) for a codec."""
    _check_device(device)
    entry = find(model).of(codec)
    if device != "cpu":
        import torch

        there = torch.cuda.is_available()
        if device == "cuda" and not there:
            raise UsageError("no CUDA device on this machine")
        device = "cuda" if there else "cpu"
    return entry, device


def _check_device(device: str) -> None:
    """Raises UsageError when it is none."""
    if device not in DEVICES:
        raise UsageError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")


@lru_cache(maxsize=4)
def _load_lossless(entry: ModelEntry) -> HpacCodec:
    from arpc_codec.codecs.hpac import HpacCodec

    return HpacCodec.load(entry)


@lru_cache(maxsize=4)
def _load(codec: str, entry: ModelEntry, device: str) -> Any:
    return getattr(import_module(f"arpc_codec.codecs.{codec}"), _CLASSES[codec]).load(entry, device)
