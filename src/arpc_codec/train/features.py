"""What a frozen transformer makes of pictures, computed once and kept in a folder.

One safetensors file a picture, named by what it was made from. A file appears under its name only when it is whole; one
that was damaged later is made again.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from arpc_codec.files import write_file
from arpc_codec.prior.coding import text_condition
from arpc_codec.prior.model import bit_logits
from arpc_codec.prior.transformer import VAR
from arpc_codec.tokenizer import Tokenizer
from arpc_codec.train.captions import Encode, Record
from arpc_codec.train.data import to_tensor
from arpc_codec.train.prior import Batch, tokenize

# What a text encoder makes of this tells it from others.
PROBE = "a red kite over a lighthouse"


class Features(NamedTuple):
    """Pictures of one layout, scales coarse to fine, tokens row by row.

    hidden: input of the trunk's `head`, float16 [B, L, C]. logits: those of bit = 1 that are coded by, the trunk's over
    its temperature, float32 [B, L, d]. bits: bool [B, L, d].
    """

    hidden: Tensor
    logits: Tensor
    bits: Tensor


@dataclass(frozen=True)
class Frozen:
    """A model that is not trained. encode: caption -> features [len, text_channels]; None: pictures have no text."""

    fingerprint: str
    trunk: VAR
    tokenizer: Tokenizer
    encode: Encode | None = None

    @cached_property
    def encoder_mark(self) -> str:
        """Of the text encoder, which is not among the weights of the fingerprint."""
        if self.encode is None:
            return ""
        features = self.encode(PROBE).detach().float().cpu().contiguous()
        return hashlib.sha256(features.numpy().tobytes()).hexdigest()

    @torch.no_grad()
    def features(self, record: Record, caption: str) -> Features:
        """Features of one picture with a caption, or, if that is empty, without text."""
        trunk, layout = self.trunk, record.layout
        place = trunk.pos_start.device
        text = text_condition(trunk, self.encode(caption) if caption and self.encode is not None else None)
        x = to_tensor([record.pixels()], place)
        batch = Batch(x, layout.schedule, text, layout.grid)
        bits, inputs, _ = tokenize(self.tokenizer, batch)
        hidden = torch.cat(trunk.features(inputs, layout.schedule, text, layout.grid), 1)
        pairs = trunk.head(hidden).split([h * w for h, w in layout.schedule], 1)
        logits = [bit_logits(p, size).flatten(1, 2) for p, size in zip(pairs, layout.schedule, strict=True)]
        all_bits = torch.cat([b.flatten(1, 2) for b in bits], 1)
        return Features(hidden.half(), torch.cat(logits, 1) / trunk.config.temperature, all_bits)


def store(frozen: Frozen, records: Sequence[Record], folder: Path) -> list[Path]:
    """The features file of each record in `folder`; those that are missing or damaged are made.

    A picture is seen with one of its captions, the first in turn with the second.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    hidden = not sys.stderr.isatty()
    for i, record in enumerate(track(records, "features", console=Console(stderr=True), disable=hidden)):
        caption = record.captions[i % len(record.captions)] if record.captions and frozen.encode is not None else ""
        path = folder / f"{_mark(frozen, record, caption)}.safetensors"
        if not _whole(path):
            tensors = {name: tensor.cpu() for name, tensor in frozen.features(record, caption)._asdict().items()}
            write_file(save(tensors, {"crc32": _crc(tensors)}), path, force=True)
        paths.append(path)
    return paths


def load(paths: Sequence[Path], device: torch.device) -> Features:
    """A batch of files of one layout."""
    found = [load_file(path) for path in paths]
    # Autocast cannot join float16 on a CPU.
    with torch.autocast("cpu", enabled=False):
        return Features(*(torch.cat([tensors[name] for tensors in found]).to(device) for name in Features._fields))


def _mark(frozen: Frozen, record: Record, caption: str) -> str:
    """Of the model, the picture (name, size and time of its file), its layout, and the caption and its encoder."""
    file = record.image.stat()
    picture = str(record.image.resolve()), file.st_size, file.st_mtime_ns, record.layout
    parts = (frozen.fingerprint, picture, caption, frozen.encoder_mark if caption else "")
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _whole(path: Path) -> bool:
    try:
        with safe_open(path, "pt") as file:
            crc = (file.metadata() or {}).get("crc32")
        return crc == _crc(load_file(path))
    except (OSError, SafetensorError, KeyError):
        return False


def _crc(tensors: dict[str, Tensor]) -> str:
    crc = 0
    for name in Features._fields:
        crc = zlib.crc32(tensors[name].contiguous().numpy().tobytes(), crc)
    return str(crc)
