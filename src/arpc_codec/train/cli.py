"""What `arpc train` runs: data and config in, a model folder out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file

from ..errors import ModelError
from ..exact.export import export_prior
from ..exact.indices import export_indices
from ..prior.config import PriorConfig
from ..prior.indices import IndexConfig, IndexPrior
from ..prior.model import Prior
from ..tokenizer import Tokenizer, TokenizerConfig
from ..tokenizer.progic import Progic, ProgicConfig
from ..tokenizer.residual_vq import TRAINING_BUFFERS
from ..zoo.bundle import save_bundle
from ..zoo.progic import save_progic
from .data import CropMix, Photos, load_photos
from .decoder import DecoderTraining, train_decoder
from .indices import IndexTraining, train_indices
from .linear import SIDE as LINEAR_SIDE
from .linear import init_linear
from .loop import STATE
from .prior import PriorTraining, crop_batches, even_inputs, held_photos, train_prior
from .progic import ProgicTraining, take_decoder, take_weights, train_progic
from .progic import start as start_progic
from .tokenizer import TokenizerTraining, add_noise, blended, from_progic, make_codebooks, train_tokenizer

Config = TypeVar("Config")
# Of tokenizers and ProGIC networks.
LR = TokenizerTraining.lr
CONFIGS = Path(__file__).resolve().parent.parent / "zoo" / "configs"


@dataclass(frozen=True)
class TrainingConfig:
    """Sizes of one rung of the ladder, read from a JSON file."""

    tokenizer: TokenizerConfig
    prior: PriorConfig
    context_width: int
    context_hidden: int


def load_config(name: str) -> TrainingConfig:
    """A bundled config by name, or a JSON file by path. Raises ModelError when it is missing or does not fit."""

    def parse(values: dict[str, Any]) -> TrainingConfig:
        tokenizer, prior = TokenizerConfig.from_json(values["tokenizer"]), PriorConfig(**values["prior"])
        return TrainingConfig(tokenizer, prior, values["context"]["width"], values["context"]["hidden"])

    return _read_config(name, parse)


def load_progic_config(name: str) -> ProgicConfig:
    """As `load_config`, for a ProGIC network."""
    return _read_config(name, lambda values: ProgicConfig.from_json(values["progic"]))


def _read_config(name: str, parse: Callable[[dict[str, Any]], Config]) -> Config:
    path = CONFIGS / f"{name}.json"
    path = path if path.is_file() else Path(name)
    try:
        return parse(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.json")))
        raise ModelError(f"no usable training config '{name}' ({error}); known: {known}") from error


def run_tokenizer(
    config: str,
    data: Path,
    metrics: Path,
    out: Path,
    minutes: float,
    init: Path | None = None,
    device: str = "cpu",
    lr: float = LR,
    batch: int = 1,
) -> None:
    """Train a tokenizer; checkpoints and log.jsonl go to `out`, averaged weights to out/ema.safetensors.

    `init`: a ProGIC network whose encoder and decoder to start from, which codebooks need, or for signs a tokenizer
    instead of the linear codec. `batch`: times as many crops in a step.
    """
    sizes = load_config(config)
    torch.manual_seed(0)
    photos, setup = _photos(data), TokenizerTraining()
    setup = replace(setup, crops=_larger(setup.crops, batch), lr=lr)
    if sizes.tokenizer.codebooks:
        model = _from_progic(sizes, init)
        if not (out / STATE).is_file():
            make_codebooks(model, photos[0], setup)
    elif init is not None:
        model = _tokenizer(sizes, init)
    else:
        model = Tokenizer(sizes.tokenizer)
        init_linear(model, photos[0].at_least(LINEAR_SIDE))
    train_tokenizer(model.to(device), photos, metrics, out, minutes, setup)


def run_prior(
    config: str,
    data: Path,
    tokenizer: Path,
    out: Path,
    minutes: float,
    init: Path | None = None,
    device: str = "cpu",
    lr: float = PriorTraining.lr,
) -> None:
    """Train a prior on the tokens of the tokenizer weights in file `tokenizer`.

    `init`: weights to start from, as far as they fit.
    """
    sizes = load_config(config)
    torch.manual_seed(0)
    prior = Prior(sizes.prior, sizes.context_width, sizes.context_hidden)
    place, setup = torch.device(device), PriorTraining(lr=lr)
    train, held = _photos(data)
    pixels = _tokenizer(sizes, tokenizer).to(place)
    draw = crop_batches(train, setup.crops, pixels, place)
    even_inputs(prior, pixels, draw(np.random.default_rng(0)))
    if init is not None:
        own = prior.state_dict()
        given = load_state(init)
        prior.load_state_dict(own | {k: v for k, v in given.items() if k in own and v.shape == own[k].shape})
    train_prior(prior.to(place), pixels, draw, lambda: held_photos(held, pixels, place), out, minutes, setup)


def run_decoder(
    config: str,
    data: Path,
    metrics: Path,
    tokenizer: Path,
    prior: Path,
    out: Path,
    minutes: float,
    device: str = "cpu",
    lr: float = LR,
    adversary: float = 0.0,
    blend: Path | None = None,
    discriminators: Path | None = None,
) -> None:
    """Fine-tune the decoder of a tokenizer on latents that the prior fills in.

    `tokenizer` may have been trained without noise: then its decoder starts with random weights for that. `blend`: a
    ProGIC network, to start from the mean of both decoders. `discriminators`: those of another run, which go on.
    """
    sizes = load_config(config)
    torch.manual_seed(0)
    model = Tokenizer(sizes.tokenizer)
    weights = add_noise(load_state(tokenizer), model)
    model.load_state_dict(weights if blend is None else blended(weights, load_state(blend)))
    setup = DecoderTraining(lr=lr, adversary=adversary)
    judges = None if discriminators is None else load_file(discriminators)
    prior_network = load_prior(sizes, prior).to(device)
    train_decoder(model.to(device), prior_network, _photos(data), metrics, out, minutes, setup, judges)


def run_progic(
    config: str,
    data: Path,
    metrics: Path,
    out: Path,
    minutes: float,
    init: Path | None = None,
    device: str = "cpu",
    lr: float = LR,
    batch: int = 1,
) -> list[str]:
    """Train a ProGIC network; checkpoints and log.jsonl go to `out`, averaged weights to out/ema.safetensors.

    `init`: weights to start from, as far as they fit, of a ProGIC network or of a tokenizer; returns the names of those
    that were not in it. `batch`: times as many crops in a step.
    """
    sizes = load_progic_config(config)
    torch.manual_seed(0)
    model, photos = Progic(sizes), _photos(data)
    missing = sorted(model.state_dict())
    if init is not None:
        missing = take_weights(model, load_state(init))
    if "quantizer.codebooks" in missing and not (out / STATE).is_file():
        start_progic(model, photos[0].at_least(LINEAR_SIDE), fresh=init is None, side=LINEAR_SIDE)
    # With a device for it, every step decodes all prefixes, as the paper does.
    others = ProgicTraining.others if device == "cpu" else sizes.stages - 1
    setup = ProgicTraining(crops=_larger(ProgicTraining.crops, batch), others=others, lr=lr)
    train_progic(model.to(device), photos, metrics, out, minutes, setup)
    return missing


def run_progic_decoder(
    config: str,
    data: Path,
    metrics: Path,
    progic: Path,
    out: Path,
    minutes: float,
    decoder: Path | None = None,
    device: str = "cpu",
    lr: float = LR,
    adversary: float = 0.0,
) -> None:
    """Fine-tune the decoder of a ProGIC network whose files stay as they are.

    `decoder`: a tokenizer with these networks, whose decoder to start from instead.
    """
    torch.manual_seed(0)
    model = _progic(load_progic_config(config), progic)
    if decoder is not None:
        model.load_state_dict(model.state_dict() | take_decoder(model, load_state(decoder)))
    # What a tokenizer's decoder needs on smooth surfaces, the first stages need, too.
    losses = DecoderTraining().losses
    setup = ProgicTraining(crops=DecoderTraining.crops, fixed=True, lr=lr, adversary=adversary, losses=losses)
    train_progic(model.to(device), _photos(data), metrics, out, minutes, setup)


def run_progic_prior(config: str, data: Path, progic: Path, out: Path, minutes: float) -> None:
    """Train a prior of the indices of a ProGIC network's weights; averaged weights go to out/ema.safetensors.

    Raises ModelError when codebooks have no power of two of entries.
    """
    network = _progic(load_progic_config(config), progic)
    torch.manual_seed(0)
    train_indices(network, _photos(data), out, minutes, IndexTraining())


def run_export(config: str, tokenizer: Path, prior: Path, out: Path, model_id: int, name: str, licence: str) -> str:
    """Write a model folder from trained weights; returns its fingerprint."""
    sizes = load_config(config)
    state = export_prior(load_prior(sizes, prior))
    weights = _tokenizer(sizes, tokenizer).state_dict()
    return save_bundle(out, model_id, name, licence, (sizes.tokenizer, weights), (sizes.prior, state))


def run_export_progic(
    config: str, weights: Path, out: Path, model_id: int, name: str, licence: str, prior: Path | None = None
) -> str:
    """Write a ProGIC model folder from trained weights, with a prior of its indices if there is one.

    Returns the fingerprint. Raises ModelError for the prior of another network.
    """
    sizes = load_progic_config(config)
    state, own = _progic(sizes, weights).state_dict(), None
    if prior is not None:
        found = load_index_prior(sizes, prior)
        books = "quantizer.codebooks"
        pairs = zip(found.codebooks, state[books].half().float(), strict=True)
        if not all(torch.equal(one.unique(dim=0), other.unique(dim=0)) for one, other in pairs):
            raise ModelError(f"{prior}: the prior of another network: its codebooks are not those of {weights}")
        state[books], own = found.codebooks, (found.config, export_indices(found))
    return save_progic(out, model_id, name, licence, sizes, state, own)


def _larger(crops: CropMix, batch: int) -> CropMix:
    return tuple((height, width, count * batch, share) for height, width, count, share in crops)


def _from_progic(sizes: TrainingConfig, weights: Path | None) -> Tokenizer:
    """A tokenizer with the networks of a ProGIC model. Raises ModelError without its weights."""
    if weights is None:
        raise ModelError("a tokenizer with codebooks starts from a ProGIC network: --init FILE")
    model = Tokenizer(sizes.tokenizer)
    codebooks = {k: v for k, v in model.state_dict().items() if k.startswith("quantizer.")}
    model.load_state_dict(add_noise(from_progic(load_state(weights)) | codebooks, model))
    return model


def _photos(data: Path) -> tuple[Photos, Photos]:
    # The small captioned web pictures carry watermarks and upscaling: nothing to learn texture from.
    return load_photos(data, keep=lambda row: row["tier"] != "cap")


def _tokenizer(sizes: TrainingConfig, weights: Path) -> Tokenizer:
    model = Tokenizer(sizes.tokenizer)
    model.load_state_dict(load_state(weights))
    return model


def _progic(sizes: ProgicConfig, weights: Path) -> Progic:
    """A network from a run or a model folder, which lacks what only training needs."""
    model = Progic(sizes)
    kept = {f"quantizer.{name}": getattr(model.quantizer, name) for name in TRAINING_BUFFERS}
    model.load_state_dict(kept | add_noise(load_state(weights), model))
    return model


def load_index_prior(sizes: ProgicConfig, weights: Path) -> IndexPrior:
    """A float prior of indices from weights. Raises ModelError when there are none."""
    state = load_state(weights)
    model = IndexPrior(IndexConfig(sizes.channels, sizes.stages, sizes.entries), state["codebooks"])
    model.load_state_dict(state)
    return model


def load_prior(sizes: TrainingConfig, weights: Path) -> Prior:
    """A float prior from weights. Raises ModelError when there are none."""
    model = Prior(sizes.prior, sizes.context_width, sizes.context_hidden)
    model.load_state_dict(load_state(weights))
    return model


def load_state(weights: Path) -> dict[str, torch.Tensor]:
    try:
        return {name: tensor.float() for name, tensor in load_file(weights).items()}
    except (OSError, ValueError) as error:
        raise ModelError(f"{weights}: no weights ({error})") from error
