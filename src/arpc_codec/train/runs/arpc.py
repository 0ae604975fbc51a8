"""What `arpc train tokenizer`, `prior`, `decoder` and `export` run: photographs in, in the end a model folder out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...errors import ModelError
from ...exact.export import export_prior
from ...prior.config import PriorConfig
from ...prior.model import Prior
from ...tokenizer import Tokenizer
from ...zoo.bundle import PRIOR, TOKENIZER, save_bundle
from ...zoo.folder import Tensors, half, read_folder
from ...zoo.registry import find_or_open
from ..data import larger, load_photos
from ..decoder import DecoderTraining, train_decoder
from ..linear import SIDE as LINEAR_SIDE
from ..linear import init_linear
from ..loop import STATE
from ..pictures import PictureTraining
from ..prior import PriorTraining, crop_batches, even_inputs, held_photos, train_prior
from ..tokenizer import TokenizerTraining, add_noise, blended, from_progic, make_codebooks, train_tokenizer
from ..weights import TrainingConfig, load_config, load_prior, load_state, load_tokenizer


def run_tokenizer(
    config: str,
    data: Path,
    metrics: Path,
    out: Path,
    minutes: float,
    init: Path | None = None,
    device: str = "cpu",
    lr: float = PictureTraining.lr,
    batch: int = 1,
) -> None:
    """Train a tokenizer; checkpoints and log.jsonl go to `out`, averaged weights to out/ema.safetensors.

    `init`: a ProGIC network whose encoder and decoder to start from, which codebooks need, or for signs a tokenizer
    instead of the linear codec. `batch`: times as many crops in a step.
    """
    sizes = load_config(config)
    torch.manual_seed(0)
    photos, setup = load_photos(data), TokenizerTraining()
    setup = replace(setup, crops=larger(setup.crops, batch), lr=lr)
    if sizes.tokenizer.codebooks:
        model = _from_progic(sizes, init)
        if not (out / STATE).is_file():
            make_codebooks(model, photos[0], setup)
    elif init is not None:
        model = load_tokenizer(sizes, init)
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
    train, held = load_photos(data)
    pixels = load_tokenizer(sizes, tokenizer).to(place)
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
    lr: float = PictureTraining.lr,
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
    judges = None if discriminators is None else load_state(discriminators)
    prior_network = load_prior(sizes, prior).to(device)
    train_decoder(model.to(device), prior_network, load_photos(data), metrics, out, minutes, setup, judges)


def run_export(config: str, tokenizer: Path, prior: str, out: Path, model_id: int, name: str, licence: str) -> str:
    """Write a model folder from trained weights; returns its fingerprint.

    prior: trained weights, or a model whose prior it is. Raises ModelError for that of another tokenizer.
    """
    sizes = load_config(config)
    weights = load_tokenizer(sizes, tokenizer).state_dict()
    trained = Path(prior)
    state = export_prior(load_prior(sizes, trained)) if trained.is_file() else _prior_of(prior, sizes, weights)
    return save_bundle(out, model_id, name, licence, (sizes.tokenizer, weights), (sizes.prior, state))


def _prior_of(model: str, sizes: TrainingConfig, weights: Tensors) -> Tensors:
    """The integers of a model's prior, if these tokenizer weights make its tokens."""
    entry = find_or_open(model)
    _, found, files = read_folder(entry.path, ("prior",), (TOKENIZER, PRIOR), check=False)
    own, its = (
        {name: tensor for name, tensor in state.items() if not name.startswith("decoder.")}
        for state in (half(weights), files[TOKENIZER])
    )
    same = own.keys() == its.keys() and all(torch.equal(own[name], its[name]) for name in own)
    if not same or PriorConfig(**found["prior"]) != sizes.prior:
        raise ModelError(f"model '{entry.name}': its prior is of other tokens")
    return files[PRIOR]


def _from_progic(sizes: TrainingConfig, weights: Path | None) -> Tokenizer:
    """A tokenizer with the networks of a ProGIC model. Raises ModelError without its weights."""
    if weights is None:
        raise ModelError("a tokenizer with codebooks starts from a ProGIC network: --init FILE")
    model = Tokenizer(sizes.tokenizer)
    codebooks = {k: v for k, v in model.state_dict().items() if k.startswith("quantizer.")}
    model.load_state_dict(add_noise(from_progic(load_state(weights)) | codebooks, model))
    return model
