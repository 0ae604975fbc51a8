"""What `arpc train hpac` and `arpc train export-hpac` run."""

from __future__ import annotations

from pathlib import Path

import torch

from ..exact.pixel import export_pixel
from ..prior.pixel import PixelConfig, PixelPrior
from ..zoo.lossless import GROUPS, save_lossless
from .cli import load_state
from .pixel import PixelTraining, load_clean, train_pixel

# Side of the tiles that a model's files have, in samples.
TILE = 256
CONFIGS = {
    "grey": PixelConfig(channels=1),
    "colour": PixelConfig(channels=3),
}


def run_hpac(group: str, data: Path, out: Path, minutes: float, init: Path | None = None, device: str = "cpu") -> None:
    """Train the prior of a group; checkpoints and log.jsonl go to `out`, averaged weights to out/ema.safetensors."""
    torch.manual_seed(0)
    model = PixelPrior(CONFIGS[group])
    if init is not None:
        model.load_state_dict(load_state(init))
    train_pixel(model.to(device), load_clean(data), out, minutes, PixelTraining())


def run_export_hpac(weights: dict[str, Path], out: Path, model_id: int, name: str, licence: str) -> str:
    """Write a lossless model folder from the trained weights of each group; returns its fingerprint."""
    priors = {}
    for channels, group in GROUPS.items():
        model = PixelPrior(CONFIGS[group])
        model.load_state_dict(load_state(weights[group]))
        priors[channels] = (CONFIGS[group], export_pixel(model.double()))
    return save_lossless(out, model_id, name, licence, TILE, priors)
