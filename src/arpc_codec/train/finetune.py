"""ARPC's second stage (ICLR 2026): the transformer of an imported model, fine-tuned on captioned pictures."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch

from arpc_codec.errors import ModelError
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.model import Prior
from arpc_codec.prior.transformer import VAR
from arpc_codec.tokenizer import Tokenizer
from arpc_codec.train.captions import CaptionSampler, Encode, load_records
from arpc_codec.train.folder import begin, note
from arpc_codec.train.prior import FINETUNING, PriorTraining, train_prior
from arpc_codec.train.weights import load_state, model_of
from arpc_codec.zoo import infinity_tokenizer
from arpc_codec.zoo.bundle import load_folder
from arpc_codec.zoo.checkpoint import read_weights
from arpc_codec.zoo.derived import save_derived
from arpc_codec.zoo.folder import Tensors
from arpc_codec.zoo.importing import PRESETS
from arpc_codec.zoo.infinity import rounded
from arpc_codec.zoo.placing import check_new
from arpc_codec.zoo.registry import ModelEntry

# What depends on the number of bits a token.
BIT_LAYERS = ("word_embed.", "head.")


def float_parts(model: ModelEntry) -> tuple[VAR, Tokenizer]:
    """(transformer, tokenizer) of an imported model. Raises ModelError for one whose prior is in integers."""
    bundle = load_folder(model.path)
    if not isinstance(bundle.prior, VAR):
        raise ModelError(f"model '{model.name}' has no float transformer: only imported models have one")
    return bundle.prior, bundle.tokenizer


def other_tokenizer(source: str) -> Tokenizer:
    """The tokenizer of a model (name or folder), or a published file, which is given the group masks of ARPC.

    Raises ModelError when there is none.
    """
    path = Path(source)
    if not path.is_file():
        return load_folder(model_of("arpc", source).path).tokenizer
    config, weights = infinity_tokenizer.tokenizer_state(read_weights(path, infinity_tokenizer.NESTINGS))
    tokenizer = Tokenizer(replace(config, **PRESETS["arpc"].tokenizer))
    tokenizer.load_state_dict(weights)
    return tokenizer


def with_bits(trunk: VAR, d: int) -> Prior:
    """A prior of a float32 copy of this trunk for tokens of `d` bits, to be trained, without context head.

    bfloat16 would lose most steps of a small rate: it has three digits. If the trunk has another number of bits, its
    bit embedding and head are those of a new one.
    """
    weights = {name: tensor.to(torch.float32, copy=True) for name, tensor in trunk.state_dict().items()}
    if d != trunk.config.d:
        new = VAR(replace(trunk.config, d=d, depth=1)).state_dict()
        weights |= {name: tensor for name, tensor in new.items() if name.startswith(BIT_LAYERS)}
    return _prior(replace(trunk.config, d=d), {f"trunk.{name}": tensor for name, tensor in weights.items()})


def _prior(config: PriorConfig, weights: Tensors) -> Prior:
    # On the meta device: initialising billions of weights takes minutes.
    with torch.device("meta"):
        prior = Prior(config, context_width=0)
    prior.load_state_dict(weights, assign=True)
    return prior


def finetune(
    model: ModelEntry,
    data: Path,
    out: Path,
    minutes: float,
    encode: Encode | None,
    *,
    tokenizer: str | None = None,
    batch: int = 8,
    device: str = "cpu",
    setup: PriorTraining = FINETUNING,
) -> None:
    """Fine-tune a model's transformer on the records of `data`; averaged weights go to out/ema.safetensors.

    encode: caption -> features [len, text_channels]; None for a model without text. tokenizer: another than the model's
    own, as in `other_tokenizer`. batch: pictures in a step. Raises ModelError for a model or data that do not serve,
    and for another run in `out`.
    """
    trunk, pixels = float_parts(model)
    if trunk.config.text_channels == 0:
        encode = None
    elif encode is None:
        raise ModelError(f"model '{model.name}' has no text encoder: import it with --text")
    if tokenizer is not None:
        pixels = other_tokenizer(tokenizer)
    torch.manual_seed(0)
    prior = with_bits(trunk, pixels.config.channels)
    train, held = (CaptionSampler(records, encode, batch, device) for records in load_records(data, trunk.config))
    goes_on = begin(out, "prior --init MODEL", {"model": model.fingerprint[:12]} | asdict(prior.config))
    if prior.config.d != trunk.config.d and not goes_on:
        note(out, f"bit embedding and head start anew: {prior.config.d} bits a token, not {trunk.config.d}")
    train_prior(prior.to(device), pixels.to(device), train.draw, held.held, out, minutes, setup)


def export_finetuned(
    model: ModelEntry,
    weights: Path,
    out: Path,
    *,
    tokenizer: str | None = None,
    temperature: float | None = None,
    model_id: int | None = None,
    name: str | None = None,
    licence: str | None = None,
) -> ModelEntry:
    """Write the model folder `out`: `model` with the transformer of a run, and with the `tokenizer` it was trained for.

    temperature: that coding divides logits by, None for the model's; a run sees them as they are. Matrices are rounded
    to bfloat16 if those of `model` are. A context head of `model` is left out: it belongs to the old transformer.
    Raises ModelError for weights of another model or number of bits; else as `save_derived`.
    """
    check_new(out, model_id, name)
    trunk, _ = float_parts(model)
    pixels = None if tokenizer is None else other_tokenizer(tokenizer)
    config = trunk.config if pixels is None else replace(trunk.config, d=pixels.config.channels)
    if temperature is not None:
        config = replace(config, temperature=temperature)
    try:
        prior = _prior(config, load_state(weights))
    except RuntimeError as error:
        raise ModelError(f"{weights}: not the weights of a run from '{model.name}' ({error})") from error
    trained = dict(prior.trunk.state_dict())
    if trunk.head.weight.dtype == torch.bfloat16:
        trained = rounded(config, trained)
    return save_derived(
        model,
        out,
        tokenizer=None if pixels is None else (pixels.config, dict(pixels.state_dict())),
        transformer=(config, trained),
        model_id=model_id,
        name=name,
        licence=licence,
    )
