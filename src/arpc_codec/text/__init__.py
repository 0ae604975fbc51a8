"""Words about pictures: captions that a network writes, and the features by which captions steer a model.

Needs the extra `text` (transformers). Networks come from folders on this machine: nothing is downloaded, no code or
pickle in a folder is run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from arpc_codec.errors import ModelError
from arpc_codec.text.captioner import Captioner
from arpc_codec.text.encoder import TextEncoder
from arpc_codec.zoo.registry import CAPTIONER, TEXT, ModelEntry

__all__ = ["Captioner", "TextEncoder", "captioner", "text_encoder"]

_FOLDER = "ARPC_BLIP"


def text_encoder(entry: ModelEntry, device: str = "cpu") -> Callable[[str], Tensor] | None:
    """A caption -> its features [len, d_model] float32 by the encoder that the model links to; None if it has no link.

    The encoder is loaded when first called, once for all models that share it; ModelError then, as `TextEncoder.load`.
    """
    link = entry.path / TEXT
    if not os.path.lexists(link):
        return None
    return lambda caption: _encoder(link.resolve(), device).features([caption])[0]


def captioner(entry: ModelEntry, device: str = "cpu") -> Captioner:
    """The captioner in the folder ARPC_BLIP or, without that, the one the model links to, loaded once.

    Raises ModelError when there is neither, or as `Captioner.load`.
    """
    link = entry.path / CAPTIONER
    if not os.environ.get(_FOLDER) and not os.path.lexists(link):
        raise ModelError(f"model '{entry.name}' has no captioner: set {_FOLDER} to the folder of a BLIP model")
    return _captioner(Path(os.environ.get(_FOLDER) or link).resolve(), device)


@lru_cache(maxsize=1)
def _encoder(folder: Path, device: str) -> TextEncoder:
    return TextEncoder.load(folder, device)


@lru_cache(maxsize=1)
def _captioner(folder: Path, device: str) -> Captioner:
    return Captioner.load(folder, device)
