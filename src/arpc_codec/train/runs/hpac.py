"""What `arpc train hpac` and `arpc train export-hpac` run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ...exact.pixel import export_pixel, import_pixel
from ...prior.pixel import PixelConfig, PixelPrior
from ...zoo.folder import Tensors
from ...zoo.lossless import GROUPS, save_lossless
from ..pixel import PixelTraining, load_clean, train_pixel
from ..weights import load_state, load_tensors

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
        integers = _integers(group, init)
        known = import_pixel(_sizes(group, integers), integers).state_dict() if integers else load_state(init)
        model.load_state_dict(model.state_dict() | known)
    train_pixel(model.to(device), load_clean(data), out, minutes, PixelTraining())


def run_export_hpac(weights: dict[str, Path], out: Path, model_id: int, name: str, licence: str) -> str:
    """Write a lossless model folder from the weights of each group; returns its fingerprint.

    weights: of runs, or of a model, whose integers stay as they are.
    """
    priors = {}
    for channels, group in GROUPS.items():
        integers = _integers(group, weights[group])
        if not integers:
            model = PixelPrior(CONFIGS[group])
            model.load_state_dict(load_state(weights[group]))
            integers = export_pixel(model.double())
        priors[channels] = (_sizes(group, integers), integers)
    return save_lossless(out, model_id, name, licence, TILE, priors)


def _integers(group: str, weights: Path) -> Tensors:
    """What a model folder's prior.safetensors has for a group; nothing for the weights of a run."""
    prefix = f"{group}."
    return {k.removeprefix(prefix): v for k, v in load_tensors(weights).items() if k.startswith(prefix)}


def _sizes(group: str, integers: Tensors) -> PixelConfig:
    """Sizes of a group's prior; models may have fewer blocks than what is trained today."""
    return replace(CONFIGS[group], depth=sum(name.endswith(".taps") for name in integers))
