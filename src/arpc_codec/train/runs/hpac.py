"""What `arpc train hpac` and `arpc train export-hpac` run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ...exact.pixel import export_pixel, import_pixel
from ...prior.pixel import PixelConfig, PixelPrior
from ...zoo.lossless import GROUPS, save_lossless
from ..pixel import PixelTraining, load_clean, train_pixel
from ..weights import load_state

# Side of the tiles that a model's files have, in samples.
TILE = 256
CONFIGS = {
    "grey": PixelConfig(channels=1),
    "colour": PixelConfig(channels=3, depth=3),
}


def run_hpac(group: str, data: Path, out: Path, minutes: float, init: Path | None = None, device: str = "cpu") -> None:
    """Train the prior of a group; checkpoints and log.jsonl go to `out`, averaged weights to out/ema.safetensors.

    `init`: weights of a run or of a model to start from. Blocks that they lack start as identities.
    """
    torch.manual_seed(0)
    model = PixelPrior(CONFIGS[group])
    if init is not None:
        model.load_state_dict(model.state_dict() | _float_state(group, init))
    train_pixel(model.to(device), load_clean(data), out, minutes, PixelTraining())


def run_export_hpac(weights: dict[str, Path], out: Path, model_id: int, name: str, licence: str) -> str:
    """Write a lossless model folder from the trained weights of each group; returns its fingerprint."""
    priors = {}
    for channels, group in GROUPS.items():
        model = PixelPrior(CONFIGS[group])
        model.load_state_dict(load_state(weights[group]))
        priors[channels] = (CONFIGS[group], export_pixel(model.double()))
    return save_lossless(out, model_id, name, licence, TILE, priors)


def _float_state(group: str, weights: Path) -> dict[str, Tensor]:
    """Weights of a run, or those that a model folder's prior.safetensors has as integers."""
    state, prefix = load_state(weights), f"{group}."
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not own:
        return state
    depth = sum(name.endswith(".taps") for name in own)
    return import_pixel(replace(CONFIGS[group], depth=depth), own).state_dict()
