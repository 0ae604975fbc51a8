"""What `arpc train tokenizer`, `prior`, `decoder` and `export` run: photographs in, in the end a model folder out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from arpc_codec.errors import ModelError
from arpc_codec.exact.export import export_prior
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.model import Prior
from arpc_codec.tokenizer import Tokenizer
from arpc_codec.train import ranks
from arpc_codec.train.data import larger, load_photos
from arpc_codec.train.decoder import DecoderTraining, train_decoder
from arpc_codec.train.linear import SIDE as LINEAR_SIDE
from arpc_codec.train.loop import STATE
from arpc_codec.train.pictures import PictureTraining
from arpc_codec.train.prior import PriorTraining, crop_batches, even_inputs, held_photos, train_prior
from arpc_codec.train.tokenizer import Rated, TokenizerTraining, count_tokens, start, train_tokenizer
from arpc_codec.train.weights import TrainingConfig, deeper, load_config, load_prior, load_state, load_tokenizer
from arpc_codec.zoo.bundle import PRIOR, TOKENIZER, save_bundle
from arpc_codec.zoo.folder import Tensors, half, read_folder
from arpc_codec.zoo.placing import new_folder
from arpc_codec.zoo.registry import find_or_open

# What a run of the tokenizer leaves for the trainers that follow.
TRAINED = "tokenizer.safetensors"
# Matrices and kernels of a prior that Muon trains.
KERNELS = ("trunk.blocks", *(f"context.{part}" for part in ("seen", "known", "conv", "up")))


def run_tokenizer(
    config: str,
    data: Path,
    out: Path,
    minutes: float,
    init: Path | None = None,
    device: str = "cpu",
    lr: float = TokenizerTraining.lr,
    batch: int = 1,
) -> None:
    """Train a tokenizer on rate and squared error; checkpoints and log.jsonl go to `out`.

    The averaged weights, with what is usual of its tokens, are out/tokenizer.safetensors. `init`: weights of such a
    run, which may have fewer blocks, instead of the best linear codec. `batch`: times as many crops in a step.
    """
    sizes, given = load_config(config), None if init is None else load_state(init)
    torch.manual_seed(0)
    (train, held), setup = load_photos(data), TokenizerTraining(lr=lr)
    setup = replace(setup, crops=larger(setup.crops, batch))
    tokenizer = Tokenizer(sizes.tokenizer)
    model = Rated(tokenizer)
    if given is not None:
        model.load_state_dict(deeper(given, model))
    elif not (out / STATE).is_file():
        start(model, train.at_least(LINEAR_SIDE))
    averaged = train_tokenizer(model.to(device), (train, held), out, minutes, setup)
    if ranks.leads():
        model.load_state_dict(averaged)
        count_tokens(tokenizer, train)
        save_file({name: value.contiguous() for name, value in tokenizer.state_dict().items()}, out / TRAINED)


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
    # Integers that are wrong now and then teach little: their sums are as wrong as their neighbours.
    place, setup = torch.device(device), PriorTraining(lr=lr, shown=2, flip_share=0.0, muon=KERNELS)
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
    discriminators: Path | None = None,
) -> None:
    """Fine-tune the decoder of a tokenizer on true sums and on those that the prior fills in.

    `discriminators`: those of another run, which go on.
    """
    sizes = load_config(config)
    torch.manual_seed(0)
    model = load_tokenizer(sizes, tokenizer)
    setup = DecoderTraining(lr=lr, adversary=adversary)
    judges = None if discriminators is None else load_state(discriminators)
    prior_network = load_prior(sizes, prior).to(device)
    train_decoder(model.to(device), prior_network, load_photos(data), metrics, out, minutes, setup, judges)


def run_export(config: str, tokenizer: Path, prior: str, out: Path, model_id: int, name: str, licence: str) -> str:
    """Write a new model folder from trained weights; returns its fingerprint.

    prior: trained weights, or a model whose prior it is. Raises ModelError for that of another tokenizer.
    """
    sizes = load_config(config)
    weights = load_tokenizer(sizes, tokenizer).state_dict()
    trained = Path(prior)
    state = export_prior(load_prior(sizes, trained)) if trained.is_file() else _prior_of(prior, sizes, weights)
    with new_folder(out, successor=True) as folder:
        return save_bundle(folder, model_id, name, licence, (sizes.tokenizer, weights), (sizes.prior, state))


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
