"""A lossless model folder: config.json and prior.safetensors with the integers of a grey and a colour prior."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..codecs.pixeltiles import PixelCoder
from ..errors import ModelError
from ..prior.pixel import PixelConfig
from .bundle import PRIOR, fingerprint
from .registry import CONFIG, ModelEntry, read_entry

# Name of each prior by the channels that it sees.
GROUPS = {1: "grey", 3: "colour"}


@dataclass(frozen=True)
class LosslessModel:
    """coders: by number of channels of a group. tile: side of the tiles, samples."""

    entry: ModelEntry
    coders: dict[int, PixelCoder]
    tile: int


def save_lossless(
    folder: Path,
    model_id: int,
    name: str,
    licence: str,
    tile: int,
    priors: dict[int, tuple[PixelConfig, dict[str, Tensor]]],
) -> str:
    """Write a model folder; returns the fingerprint."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"tile": tile, "priors": {GROUPS[channels]: asdict(config) for channels, (config, _) in priors.items()}}
    tensors = {f"{GROUPS[c]}.{key}": value for c, (_, state) in priors.items() for key, value in state.items()}
    mark = fingerprint(sizes, tensors)
    save_file(tensors, folder / PRIOR)
    values = {"id": model_id, "name": name, "codec": "hpac", "fingerprint": mark, "licence": licence, **sizes}
    (folder / CONFIG).write_text(json.dumps(values, indent=1) + "\n")
    return mark


def load_lossless(folder: Path, device: str = "cpu", *, check: bool = False) -> LosslessModel:
    """Load a model folder. Raises ModelError when it is missing, unreadable or (with `check`) altered."""
    entry = read_entry(folder)
    try:
        values = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / PRIOR)
        sizes = {"tile": values["tile"], "priors": values["priors"]}
        if check and fingerprint(sizes, tensors) != entry.fingerprint:
            raise ModelError(f"model '{entry.name}': weights do not match their fingerprint")
        coders = {}
        for channels, group in GROUPS.items():
            config = PixelConfig(**values["priors"][group])
            state = {k.removeprefix(f"{group}."): v for k, v in tensors.items() if k.startswith(f"{group}.")}
            coders[channels] = PixelCoder(config, state, torch.device(device))
            if config.channels != channels:
                raise ModelError(f"model '{entry.name}': the {group} prior has {config.channels} channels")
        return LosslessModel(entry, coders, int(values["tile"]))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"model '{entry.name}': {error}") from error
