"""What `arpc train progic`, `progic-decoder`, `progic-prior` and `export-progic` run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from arpc_codec.errors import ModelError
from arpc_codec.exact.indices import export_indices
from arpc_codec.prior.indices import IndexConfig
from arpc_codec.tokenizer.progic import Progic, ProgicConfig
from arpc_codec.train.data import larger, load_photos
from arpc_codec.train.folder import begin, note
from arpc_codec.train.indices import IndexTraining, train_indices
from arpc_codec.train.linear import SIDE as LINEAR_SIDE
from arpc_codec.train.losses import LossWeights
from arpc_codec.train.pictures import PictureTraining
from arpc_codec.train.progic import ProgicTraining, start, take_weights, train_progic
from arpc_codec.train.weights import (
    load_discriminators,
    load_index_prior,
    load_network,
    load_progic_config,
    load_state,
    model_of,
    unfit,
)
from arpc_codec.zoo.folder import Tensors, read_folder
from arpc_codec.zoo.placing import check_new, new_folder
from arpc_codec.zoo.progic import PRIOR, WEIGHTS, save_progic


def run_progic(
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
    """Train a ProGIC network; checkpoints and log.jsonl go to `out`, averaged weights to out/ema.safetensors.

    `init`: weights to start from, as far as they fit, of a ProGIC network or of a tokenizer. `batch`: times as many
    crops in a step. Raises ModelError when no weight or no photo fits, and for another run in `out`.
    """
    sizes = load_progic_config(config)
    torch.manual_seed(0)
    model = Progic(sizes)
    new, said = sorted(model.state_dict()), ""
    if init is not None:
        given = load_state(init)
        new = take_weights(model, given)
        said = unfit(model, new, given, init)
    goes_on = begin(out, "progic", asdict(sizes))
    if said and not goes_on:
        note(out, said)
    photos = load_photos(data)
    if "quantizer.codebooks" in new and not goes_on:
        start(model, photos[0].holding((LINEAR_SIDE, LINEAR_SIDE)), fresh=init is None, side=LINEAR_SIDE)
    # With a device for it, every step decodes all prefixes, as the paper does.
    others = ProgicTraining.others if device == "cpu" else sizes.stages - 1
    setup = ProgicTraining(crops=larger(ProgicTraining.crops, batch), others=others, lr=lr)
    train_progic(model.to(device), photos, metrics, out, minutes, setup)


def run_progic_decoder(
    config: str,
    data: Path,
    metrics: Path,
    progic: Path,
    out: Path,
    minutes: float,
    device: str = "cpu",
    lr: float = PictureTraining.lr,
    adversary: float = 0.0,
    discriminators: Path | None = None,
) -> None:
    """Fine-tune the decoder of a ProGIC network whose files stay as they are.

    `progic`: its weights, or those of a tokenizer, which becomes such a network: codebooks are fitted to its latents.
    `discriminators`: those of another run, which go on. Raises ModelError for weights of other sizes or without a photo
    that is large enough, and for another run in `out`.
    """
    torch.manual_seed(0)
    model = Progic(load_progic_config(config))
    missing = take_weights(model, load_state(progic))
    if strange := [name for name in missing if not name.startswith("quantizer.")]:
        raise ModelError(f"{progic}: weights of other sizes, {strange[0]} and {len(strange) - 1} others do not fit")
    judges = load_discriminators(discriminators, adversary)
    goes_on = begin(out, "progic-decoder", asdict(model.config), adversary > 0)
    photos = load_photos(data)
    if "quantizer.codebooks" in missing and not goes_on:
        start(model, photos[0].holding((LINEAR_SIDE, LINEAR_SIDE)), fresh=False, side=LINEAR_SIDE)
    # What is missing looks smooth, and a decoder draws its cells on smooth surfaces first.
    losses = LossWeights(alex=0.6, squeeze=0.5, grid=8.0, flat=20.0)
    setup = ProgicTraining(crops=PictureTraining.crops, fixed=True, lr=lr, adversary=adversary, losses=losses)
    train_progic(model.to(device), photos, metrics, out, minutes, setup, judges)


def run_progic_prior(config: str, data: Path, progic: Path, out: Path, minutes: float) -> None:
    """Train a prior of the indices of a ProGIC network's weights; averaged weights go to out/ema.safetensors.

    Raises ModelError when codebooks have no power of two of entries or photos do not fit, and for another run in `out`.
    """
    sizes = load_progic_config(config)
    try:
        IndexConfig(stages=sizes.stages, entries=sizes.entries)
    except ValueError as error:
        raise ModelError(f"{config}: {error}") from error
    torch.manual_seed(0)
    network = load_network(sizes, progic)
    begin(out, "progic-prior", asdict(sizes))
    train_indices(network, load_photos(data), out, minutes, IndexTraining())


def run_export_progic(
    config: str, weights: Path, out: Path, model_id: int, name: str, licence: str, prior: str | None = None
) -> str:
    """Write a ProGIC model folder from trained weights, with a prior of its indices if there is one.

    prior: trained weights, or a model whose prior it is. Returns the fingerprint. Raises ModelError for the prior of
    another network, else as `placing.check_new` and `placing.new_folder`.
    """
    check_new(out, model_id, name)
    sizes, books = load_progic_config(config), "quantizer.codebooks"
    state, own = load_network(sizes, weights).state_dict(), None
    if prior is not None:
        codebooks, order, integers = _index_prior(sizes, prior)
        pairs = zip(codebooks, state[books].half().float(), strict=False)
        if codebooks.shape != state[books].shape or not all(
            torch.equal(one.unique(dim=0), other.unique(dim=0)) for one, other in pairs
        ):
            raise ModelError(f"{prior}: the prior of another network: its codebooks are not those of {weights}")
        state[books], own = codebooks, (order, integers)
    with new_folder(out) as folder:
        return save_progic(folder, model_id, name, licence, sizes, state, own)


def _index_prior(sizes: ProgicConfig, prior: str) -> tuple[Tensor, IndexConfig, Tensors]:
    """Codebooks in its order, sizes and integers of a trained prior, or of that of a model."""
    if Path(prior).is_file():
        found = load_index_prior(sizes, Path(prior))
        return found.codebooks, found.config, export_indices(found)
    _, own, files = read_folder(model_of("progic", prior).path, ("indices",), (WEIGHTS, PRIOR), check=False)
    return files[WEIGHTS]["quantizer.codebooks"].float(), IndexConfig.from_json(own["indices"]), files[PRIOR]
