"""What `arpc train hpac` and `arpc train export-hpac` run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from arpc_codec.exact.grid import State
from arpc_codec.exact.pixelstate import export_pixel, import_pixel
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.pixel import PixelPrior
from arpc_codec.train.folder import begin
from arpc_codec.train.pixel import PixelTraining, load_clean, train_pixel
from arpc_codec.train.weights import filled, grown, load_lossless_config, load_state, model_of
from arpc_codec.zoo.lossless import GROUPS, load_lossless, save_lossless
from arpc_codec.zoo.placing import check_new, new_folder


def run_hpac(
    group: str,
    data: Path,
    out: Path,
    minutes: float,
    init: str | None = None,
    device: str = "cpu",
    config: str = "lossless",
) -> None:
    """Train the prior of a group; checkpoints and log.jsonl go to `out`, averaged weights to out/ema.safetensors.

    `init`: weights of a run, or a model, to start from; what they lack of `config` does nothing at first. Raises
    ModelError when something does not fit, and for another run in `out`.
    """
    torch.manual_seed(0)
    sizes = load_lossless_config(config)
    model = PixelPrior(sizes.priors[group])
    if init is not None:
        trained = Path(init)
        known = load_state(trained) if trained.is_file() else import_pixel(*_prior_of(init, group)).state_dict()
        model.load_state_dict(grown(known, model))
    begin(out, "hpac", asdict(model.config))
    train_pixel(model.to(device), load_clean(data), out, minutes, PixelTraining(tile=sizes.tile))


def run_export_hpac(
    weights: dict[str, str], out: Path, model_id: int, name: str, licence: str, config: str = "lossless"
) -> str:
    """Write a lossless model folder from the weights of each group; returns its fingerprint.

    weights: of runs, or models, whose sizes and integers stay as they are. Raises ModelError for those of other sizes,
    else as `placing.check_new` and `placing.new_folder`.
    """
    check_new(out, model_id, name)
    sizes, priors = load_lossless_config(config), {}
    for channels, group in GROUPS.items():
        trained = Path(weights[group])
        own = _exported(sizes.priors[group], trained) if trained.is_file() else _prior_of(weights[group], group)
        priors[channels] = own
    with new_folder(out) as folder:
        return save_lossless(folder, model_id, name, licence, sizes.tile, priors)


def _exported(config: PixelConfig, trained: Path) -> tuple[PixelConfig, State]:
    """Sizes and integers of trained weights."""
    model = filled(PixelPrior(config), load_state(trained), trained)
    return model.config, export_pixel(model.double())


def _prior_of(model: str, group: str) -> tuple[PixelConfig, State]:
    """Sizes and integers of a model's prior for a group."""
    found = load_lossless(model_of("hpac", model).path)
    coder = next(found.coders[channels] for channels, name in GROUPS.items() if name == group)
    return coder.config, coder.state
