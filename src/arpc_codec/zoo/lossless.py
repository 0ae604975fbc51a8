"""A lossless model folder: config.json and prior.safetensors with the integers of a grey and a colour prior."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.errors import ModelError
from arpc_codec.exact.grid import State
from arpc_codec.prior.features import PixelConfig
from arpc_codec.zoo.folder import naming, read_folder, write_folder
from arpc_codec.zoo.registry import ModelEntry

PRIOR = "prior.safetensors"
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
    priors: dict[int, tuple[PixelConfig, State]],
) -> str:
    """Write a model folder; returns the fingerprint."""
    sizes = {"tile": tile, "priors": {GROUPS[channels]: asdict(config) for channels, (config, _) in priors.items()}}
    tensors = {f"{GROUPS[c]}.{key}": value for c, (_, state) in priors.items() for key, value in state.items()}
    return write_folder(folder, model_id, name, licence, "hpac", sizes, {PRIOR: tensors})


def load_lossless(folder: Path, *, check: bool = False) -> LosslessModel:
    """Load a model folder. Raises ModelError when it is missing, unreadable or (with `check`) altered."""
    entry, sizes, files = read_folder(folder, ("tile", "priors"), (PRIOR,), check=check, library="numpy")
    with naming(entry):
        coders = {}
        for channels, group in GROUPS.items():
            config = PixelConfig(**sizes["priors"][group])
            if config.channels != channels:
                raise ModelError(f"model '{entry.name}': the {group} prior has {config.channels} channels")
            state = {k.removeprefix(f"{group}."): v for k, v in files[PRIOR].items() if k.startswith(f"{group}.")}
            coders[channels] = PixelCoder(config, state)
            # Whatever is missing is missed now.
            coders[channels].encode(np.zeros((1, 1, 1, channels), np.int32), 8)
        return LosslessModel(entry, coders, int(sizes["tile"]))
