"""What `arpc train tokenizer`, `prior`, `decoder` and `export` run: photographs in, in the end a model folder out."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from arpc_codec.errors import ModelError
from arpc_codec.exact.export import export_prior
from arpc_codec.files import write_file
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.model import Prior
from arpc_codec.tokenizer import Tokenizer
from arpc_codec.train import ranks
from arpc_codec.train.data import larger, load_photos
from arpc_codec.train.decoder import DecoderTraining, train_decoder
from arpc_codec.train.folder import begin, note
from arpc_codec.train.linear import SIDE as LINEAR_SIDE
from arpc_codec.train.pictures import PictureTraining
from arpc_codec.train.prior import PriorTraining, crop_batches, even_inputs, held_photos, train_prior
from arpc_codec.train.tokenizer import Rated, TokenizerTraining, count_tokens, start, train_tokenizer
from arpc_codec.train.weights import (
    TrainingConfig,
    deeper,
    filled,
    load_config,
    load_discriminators,
    load_prior,
    load_state,
    load_tokenizer,
    model_of,
    take,
    unfit,
)
from arpc_codec.zoo.bundle import PRIOR, TOKENIZER, save_bundle
from arpc_codec.zoo.folder import Tensors, half, read_folder
from arpc_codec.zoo.placing import check_new, new_folder

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
    run, which may have fewer blocks, instead of the best linear codec. `batch`: times as many crops in a step. Raises
    ModelError when weights or photos do not fit, and for another run in `out`.
    """
    sizes = load_config(config)
    torch.manual_seed(0)
    setup = TokenizerTraining(lr=lr)
    setup = replace(setup, crops=larger(setup.crops, batch))
    tokenizer = Tokenizer(sizes.tokenizer)
    model = Rated(tokenizer)
    if init is not None:
        given = load_state(init)
        if not any(name.startswith("light.") for name in given):
            raise ModelError(f"{init} lacks the light network that estimates bits: take ema.safetensors beside it")
        filled(model, deeper(given, model), init)
    goes_on = begin(out, "tokenizer", asdict(sizes.tokenizer))
    train, held = load_photos(data)
    if init is None and not goes_on:
        start(model, train.holding((LINEAR_SIDE, LINEAR_SIDE)))
    averaged = train_tokenizer(model.to(device), (train, held), out, minutes, setup)
    if ranks.leads():
        model.load_state_dict(averaged)
        count_tokens(tokenizer, train)
        weights = {name: value.contiguous() for name, value in tokenizer.state_dict().items()}
        write_file(save(weights), out / TRAINED, force=True)


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

    `init`: weights to start from, as far as they fit. Raises ModelError when none does, and for another run in `out`.
    """
    sizes = load_config(config)
    torch.manual_seed(0)
    prior = Prior(sizes.prior, sizes.context_width, sizes.context_hidden)
    # Integers that are wrong now and then teach little: their sums are as wrong as their neighbours.
    place, setup = torch.device(device), PriorTraining(lr=lr, shown=2, flip_share=0.0, muon=KERNELS)
    pixels = load_tokenizer(sizes, tokenizer).to(place)
    new, said = sorted(prior.state_dict()), ""
    if init is not None:
        given = load_state(init)
        new = take(prior, given)
        said = unfit(prior, new, given, init)
    goes_on = begin(out, "prior", asdict(sizes.prior) | {"context_width": sizes.context_width})
    if said and not goes_on:
        note(out, said)
    train, held = load_photos(data)
    draw = crop_batches(train, setup.crops, pixels, place)
    if "trunk.word_embed.weight" in new and not goes_on:
        even_inputs(prior, pixels, draw(np.random.default_rng(0)))
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

    `discriminators`: those of another run, which go on. Raises ModelError when weights or photos do not fit, and for
    another run in `out`.
    """
    sizes = load_config(config)
    torch.manual_seed(0)
    model = load_tokenizer(sizes, tokenizer)
    setup = DecoderTraining(lr=lr, adversary=adversary)
    judges = load_discriminators(discriminators, adversary)
    prior_network = load_prior(sizes, prior).to(device)
    begin(out, "decoder", asdict(sizes.tokenizer), adversary > 0)
    train_decoder(model.to(device), prior_network, load_photos(data), metrics, out, minutes, setup, judges)


def run_export(config: str, tokenizer: Path, prior: str, out: Path, model_id: int, name: str, licence: str) -> str:
    """Write a new model folder from trained weights; returns its fingerprint.

    prior: trained weights, or a model whose prior it is. Raises ModelError for that of another tokenizer, else as
    `placing.check_new` and `placing.new_folder`.
    """
    check_new(out, model_id, name)
    sizes = load_config(config)
    weights = load_tokenizer(sizes, tokenizer).state_dict()
    trained = Path(prior)
    state = export_prior(load_prior(sizes, trained)) if trained.is_file() else _prior_of(prior, sizes, weights)
    with new_folder(out) as folder:
        return save_bundle(folder, model_id, name, licence, (sizes.tokenizer, weights), (sizes.prior, state))


def _prior_of(model: str, sizes: TrainingConfig, weights: Tensors) -> Tensors:
    """The integers of a model's prior, if these tokenizer weights make its tokens."""
    entry = model_of("arpc", model)
    _, found, files = read_folder(entry.path, ("prior",), (TOKENIZER, PRIOR), check=False)
    own, its = (
        {name: tensor for name, tensor in state.items() if not name.startswith("decoder.")}
        for state in (half(weights), files[TOKENIZER])
    )
    same = own.keys() == its.keys() and all(torch.equal(own[name], its[name]) for name in own)
    if not same or PriorConfig(**found["prior"]) != sizes.prior:
        raise ModelError(f"model '{entry.name}': its prior is of other tokens")
    return files[PRIOR]
