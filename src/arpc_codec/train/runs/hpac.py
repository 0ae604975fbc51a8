"""What `arpc train hpac` and `arpc train export-hpac` run."""

from __future__ import annotations

from pathlib import Path

import torch

from ...exact.grid import State
from ...exact.pixelstate import export_pixel, import_pixel
from ...prior.features import PixelConfig
from ...prior.pixel import PixelPrior
from ...zoo.lossless import GROUPS, load_lossless, save_lossless
from ...zoo.registry import find_or_open
from ..pixel import PixelTraining, load_clean, train_pixel
from ..weights import load_state

# Side of the tiles that a model's files have, in samples.
TILE = 256
CONFIGS = {
    "grey": PixelConfig(channels=1),
    "colour": PixelConfig(channels=3, depth=3),
}


def run_hpac(group: str, data: Path, out: Path, minutes: float, init: str | None = None, device: str = "cpu") -> None:
    """Train the prior of a group; checkpoints and log.jsonl go to `out`, averaged weights to out/ema.safetensors.

    `init`: weights of a run, or a model, to start from. Blocks that they lack start as identities.
    """
    torch.manual_seed(0)
    model = PixelPrior(CONFIGS[group])
    if init is not None:
        trained = Path(init)
        known = load_state(trained) if trained.is_file() else import_pixel(*_prior_of(init, group)).state_dict()
        model.load_state_dict(model.state_dict() | known)
    train_pixel(model.to(device), load_clean(data), out, minutes, PixelTraining())


def run_export_hpac(weights: dict[str, str], out: Path, model_id: int, name: str, licence: str) -> str:
    """Write a lossless model folder from the weights of each group; returns its fingerprint.

    weights: of runs, or models, whose integers stay as they are.
    """
    priors = {}
    for channels, group in GROUPS.items():
        trained = Path(weights[group])
        priors[channels] = _exported(group, trained) if trained.is_file() else _prior_of(weights[group], group)
    return save_lossless(out, model_id, name, licence, TILE, priors)


def _exported(group: str, trained: Path) -> tuple[PixelConfig, State]:
    """Sizes and integers of trained weights."""
    model = PixelPrior(CONFIGS[group])
    model.load_state_dict(load_state(trained))
    return model.config, export_pixel(model.double())


def _prior_of(model: str, group: str) -> tuple[PixelConfig, State]:
    """Sizes and integers of a model's prior for a group."""
    found = load_lossless(find_or_open(model).path)
    coder = found.coders[CONFIGS[group].channels]
    return coder.config, coder.state
