"""Configs and trained weights, from files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from arpc_codec.errors import ModelError, UsageError
from arpc_codec.prior.config import PriorConfig, check_tokens
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.indices import IndexConfig, IndexPrior
from arpc_codec.prior.model import Prior
from arpc_codec.prior.pixel import PixelPrior
from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
from arpc_codec.tokenizer.progic import Progic, ProgicConfig
from arpc_codec.tokenizer.residual_vq import TRAINING_BUFFERS
from arpc_codec.train.adversary import Adversary
from arpc_codec.zoo.checkpoint import named
from arpc_codec.zoo.folder import Tensors
from arpc_codec.zoo.lossless import GROUPS
from arpc_codec.zoo.registry import ModelEntry, find_or_open

Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)
# Which axis of the weights of these layers runs over hidden units.
HIDDEN = {"up": 0, "inner": 0, "down": 1, "outer": 1}
# Residual blocks of a tokenizer's networks by resolution, and what its decoder knows of each.
BLOCK = re.compile(r"(encoder\.(fine|coarse)|decoder\.stages\.\d+)\.\d+\.")
NUMBER = re.compile(r"\d+")
MODULATION = "decoder.modulation.weight"
CONFIGS = Path(__file__).resolve().parent.parent / "zoo" / "configs"


@dataclass(frozen=True)
class TrainingConfig:
    """Sizes of one rung of the ladder, read from a JSON file."""

    tokenizer: TokenizerConfig
    prior: PriorConfig
    context_width: int
    context_hidden: int = 8


@dataclass(frozen=True)
class LosslessConfig:
    """priors: by name of the group. tile: side of the tiles that a model's files have, in samples."""

    priors: dict[str, PixelConfig]
    tile: int


def load_config(name: str) -> TrainingConfig:
    """A bundled config by name, or a JSON file by path. Raises ModelError when it is missing or does not fit."""

    def parse(values: dict[str, Any]) -> TrainingConfig:
        tokenizer, prior = TokenizerConfig.from_json(values["tokenizer"]), PriorConfig(**values["prior"])
        check_tokens(tokenizer, prior)
        # Only a head of sign bits has hidden units for each.
        context = values["context"]
        return TrainingConfig(tokenizer, prior, context["width"], context.get("hidden", TrainingConfig.context_hidden))

    return _read_config(name, parse)


def load_progic_config(name: str) -> ProgicConfig:
    """As `load_config`, for a ProGIC network."""
    return _read_config(name, lambda values: ProgicConfig.from_json(values["progic"]))


def load_lossless_config(name: str) -> LosslessConfig:
    """As `load_config`, for the lossless priors."""

    def parse(values: dict[str, Any]) -> LosslessConfig:
        own = values["hpac"]
        return LosslessConfig({group: PixelConfig(**own[group]) for group in GROUPS.values()}, int(own["tile"]))

    return _read_config(name, parse)


def _read_config(name: str, parse: Callable[[dict[str, Any]], Config]) -> Config:
    path = CONFIGS / f"{name}.json"
    path = path if path.is_file() else Path(name)
    try:
        return parse(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.json")))
        problem = f"'{name}' is not for this network: it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"no usable training config: {problem}; there are {known}") from error


def load_state(weights: Path) -> Tensors:
    """Weights in float32. Raises ModelError when there are none."""
    try:
        return {name: tensor.float() for name, tensor in load_file(weights).items()}
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{weights}: no weights ({error})") from error


def load_tokenizer(sizes: TrainingConfig, weights: Path) -> Tokenizer:
    """A tokenizer from weights, which may have fewer blocks (`deeper`). Raises ModelError when they do not fit."""
    model = Tokenizer(sizes.tokenizer)
    return filled(model, deeper(load_state(weights), model), weights)


def load_prior(sizes: TrainingConfig, weights: Path) -> Prior:
    """A float prior from weights. Raises ModelError when they do not fit."""
    return filled(Prior(sizes.prior, sizes.context_width, sizes.context_hidden), load_state(weights), weights)


def load_network(sizes: ProgicConfig, weights: Path) -> Progic:
    """A network from a run or a model folder, which lacks what only training needs. Raises ModelError as above."""
    model = Progic(sizes)
    kept = {f"quantizer.{name}": getattr(model.quantizer, name) for name in TRAINING_BUFFERS}
    return filled(model, kept | add_noise(load_state(weights), model), weights)


def load_index_prior(sizes: ProgicConfig, weights: Path) -> IndexPrior:
    """A float prior of indices from weights. Raises ModelError when they do not fit."""
    state = load_state(weights)
    if not {"scale", "codebooks"} <= state.keys():
        raise ModelError(f"{weights}: no prior of indices")
    model = IndexPrior(IndexConfig(len(state["scale"]), sizes.stages, sizes.entries), state["codebooks"])
    return filled(model, state, weights)


def model_of(codec: str, model: str) -> ModelEntry:
    """A model of this codec, by name, id or folder. Raises ModelError when it is not here, or of another codec."""
    return find_or_open(model).of(codec)


def load_discriminators(weights: Path | None, adversary: float) -> Tensors | None:
    """The state of an `Adversary` of this share from weights, if there are any.

    Raises ModelError when they are of something else, UsageError when they would have no share.
    """
    if weights is None:
        return None
    if not adversary:
        raise UsageError("--discriminators have no share without --adversary")
    state = load_state(weights)
    filled(Adversary(adversary), state, weights)
    return state


def filled(model: Network, state: Mapping[str, Tensor], weights: Path) -> Network:
    """`model` with the weights that were read from a file. Raises ModelError when they do not fit."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        # The first line only says that what follows is wrong; lists of names have no end.
        first = shorten(str(error).partition("\n")[2].partition("\n")[0], 160, placeholder=" ...")
        raise ModelError(f"{weights}: weights of another network, or of other sizes ({first})") from error
    return model


def take(model: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Take every weight whose name and shape fit; returns the names that keep their start."""
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(own | fitting)
    return sorted(own.keys() - fitting.keys())


def unfit(model: nn.Module, new: Sequence[str], given: Mapping[str, Tensor], weights: Path) -> str:
    """What to say when a `model` took weights, `given` of a file, and these names keep their start; else nothing.

    Raises ModelError when no weight was taken.
    """
    own = model.state_dict().keys()
    if len(new) == len(own):
        raise ModelError(f"{weights}: none of its weights fits this network")
    unused = given.keys() - (own - set(new))
    parts = (unused, "of its weights do not fit and are left out"), (new, "weights of the network start anew")
    said = "; ".join(f"{len(names)} {what} ({named(names)})" for names, what in parts if names)
    return said and f"{weights}: {said}"


def grown(weights: Mapping[str, Tensor], model: PixelPrior) -> dict[str, Tensor]:
    """Weights of a lossless prior for `model`, which may have more blocks and more hidden units.

    What is new does nothing yet: blocks are identities, and what units say counts for nothing. Raises ModelError when
    something else differs.
    """
    state = model.state_dict()
    for name, small in weights.items():
        large = state.get(name)
        grows = next((axis for part, axis in HIDDEN.items() if part in name.split(".")), None)
        sides = () if large is None else enumerate(zip(small.shape, large.shape, strict=True))
        if large is None or any(new < old or (new > old and axis != grows) for axis, (old, new) in sides):
            raise ModelError(f"the prior to start from has another size in {name}")
        if grows == 1 and small.ndim == 2:
            large[:, small.shape[1] :] = 0
        large[tuple(map(slice, small.shape))] = small
    return state


def deeper(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Weights of a tokenizer for a `model` with more residual blocks at some resolutions; all others stay as they are.

    New blocks follow those that are there and add nothing yet.
    """
    own, state = model.state_dict(), dict(weights)
    state |= {name: own[name] for name in own.keys() - weights.keys() if BLOCK.match(name)}
    if MODULATION in state:
        rows, parts, first = state[MODULATION], [], 0
        # Scale and bias of each channel that a block adds to, in the order of the blocks.
        for name in own:
            if BLOCK.match(name) and name.startswith("decoder") and name.endswith("conv2.bias"):
                size, known = 2 * len(own[name]), name in weights
                parts.append(rows[:, first : first + size] if known else rows.new_zeros(len(rows), size))
                first += size * known
        state[MODULATION] = torch.cat(parts, 1)
    return state


def fewer_blocks(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Weights for a `model` that lacks some residual blocks: its decoder's modulation loses what it says of them."""
    own, state = model.state_dict(), dict(weights)
    parts, first = [], 0
    # In the order of the blocks, whatever that of the names is.
    names = (name for name in weights if BLOCK.match(name) and name.startswith("decoder"))
    for name in sorted((n for n in names if n.endswith("conv2.bias")), key=lambda n: [*map(int, NUMBER.findall(n))]):
        size = 2 * len(weights[name])
        if name in own:
            parts.append(slice(first, first + size))
        first += size
    if MODULATION in state and first == state[MODULATION].shape[1]:
        state[MODULATION] = torch.cat([state[MODULATION][:, part] for part in parts], 1)
    return state


def add_noise(weights: Mapping[str, Tensor], model: Tokenizer | Progic) -> dict[str, Tensor]:
    """Weights of a decoder without noise for `model`, which may have it; all others stay as they are."""
    stem, state = "decoder.stem.weight", dict(weights)
    first, own = state.get(stem), model.state_dict().get(stem)
    if first is not None and own is not None and first[:, :0].shape == own[:, :0].shape:
        noise = own[:, first.shape[1] :]
        # Not zeros: noise that does nothing yet has no gradient on average.
        if noise.shape[1] == model.config.noise:
            state[stem] = torch.cat([first, noise], 1)
    return state
