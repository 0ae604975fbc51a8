"""A model of the codec arpc: config.json, tokenizer.safetensors and its prior.

Models trained here: a float16 tokenizer, and a prior in integers (prior.safetensors). Imported ones: a transformer
(transformer.safetensors), it and the tokenizer as the checkpoints have them, and where one was trained for it a float
context head (context.safetensors).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

import torch

from arpc_codec.chance import private_random
from arpc_codec.exact.planes import ExactPlanePrior, exact_prior
from arpc_codec.exact.prior import ExactBitPrior
from arpc_codec.prior.config import PriorConfig, check_tokens
from arpc_codec.prior.context import ContextHead
from arpc_codec.prior.linear import matrices
from arpc_codec.prior.transformer import VAR
from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
from arpc_codec.zoo.folder import Tensors, half, naming, read_folder, write_folder
from arpc_codec.zoo.registry import ModelEntry, find

TOKENIZER, PRIOR, TRANSFORMER = "tokenizer.safetensors", "prior.safetensors", "transformer.safetensors"
CONTEXT = "context.safetensors"


class ContextSizes(TypedDict):
    """Sizes of a context head that do not follow from its transformer."""

    width: int
    hidden: int


@dataclass(frozen=True)
class Bundle:
    """A loaded model; its prior is exact, or the float transformer of an imported one, perhaps with a context head."""

    entry: ModelEntry
    tokenizer: Tokenizer
    prior: ExactBitPrior | ExactPlanePrior | VAR
    context: ContextHead | None = None

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that name exactly these weights and sizes."""
        return bytes.fromhex(self.entry.fingerprint)


def save_bundle(
    folder: Path,
    model_id: int,
    name: str,
    licence: str,
    tokenizer: tuple[TokenizerConfig, Tensors],
    prior: tuple[PriorConfig, Tensors],
) -> str:
    """Write a model folder; tokenizer weights become float16. Returns the fingerprint."""
    sizes = {"tokenizer": asdict(tokenizer[0]), "prior": asdict(prior[0])}
    files = {TOKENIZER: half(tokenizer[1]), PRIOR: prior[1]}
    return write_folder(folder, model_id, name, licence, "arpc", sizes, files)


def save_imported(
    folder: Path,
    model_id: int | None,
    name: str,
    licence: str,
    tokenizer: tuple[TokenizerConfig, Tensors],
    transformer: tuple[PriorConfig, Tensors],
    context: tuple[ContextSizes, Tensors] | None = None,
    *,
    linked: Mapping[str, Path] = MappingProxyType({}),
) -> str:
    """Write a model folder with a float transformer, all weights as they are; as `write_folder`.

    context: sizes and state dict of a `ContextHead` for the logits of that transformer over its temperature.
    """
    sizes = {"tokenizer": asdict(tokenizer[0]), "transformer": asdict(transformer[0])}
    files = {TOKENIZER: _separate(tokenizer[1]), TRANSFORMER: _separate(transformer[1])}
    if context is not None:
        sizes["context"], files[CONTEXT] = dict(context[0]), _separate(context[1])
    return write_folder(folder, model_id, name, licence, "arpc", sizes, files, linked)


def _separate(weights: Tensors) -> Tensors:
    """Contiguous weights that do not share their memory, as safetensors wants them."""
    separate: Tensors = {}
    taken: set[int] = set()
    for name, tensor in weights.items():
        tensor = tensor.contiguous()
        separate[name] = tensor.clone() if tensor.data_ptr() in taken else tensor
        taken.add(tensor.data_ptr())
    return separate


def load_bundle(model: str | int | ModelEntry, device: str = "cpu", *, check: bool = False) -> Bundle:
    """Load a model by name or id; as `load_folder`."""
    return load_folder(find(model).path, device, check=check)


def load_folder(folder: Path, device: str = "cpu", *, check: bool = False) -> Bundle:
    """Load a model folder. Raises ModelError when it is missing, unreadable or (with `check`) altered."""
    priors = {"prior": PRIOR, "transformer": TRANSFORMER, "context": CONTEXT}
    entry, sizes, files = read_folder(folder, ("tokenizer",), (TOKENIZER,), check=check, optional=priors)
    # Not on the meta device: initialising there imports a second of torch's compiler. The caller's random numbers stay.
    with naming(entry), private_random():
        tokenizer = Tokenizer(TokenizerConfig.from_json(sizes["tokenizer"]))
        tokenizer.load_state_dict({k: v.float() for k, v in files[TOKENIZER].items()}, assign=True)
        prior: ExactBitPrior | ExactPlanePrior | VAR
        context = None
        if "transformer" in sizes:
            config = PriorConfig(**sizes["transformer"])
            prior = _transformer(config, files[TRANSFORMER]).to(device)
            if "context" in sizes:
                context = _context(config, sizes["context"], files[CONTEXT]).to(device)
        else:
            config = PriorConfig(**sizes["prior"])
            prior = exact_prior(files[PRIOR], config, device)
        check_tokens(tokenizer.config, config)
    tokenizer.requires_grad_(False).eval().to(device)
    return Bundle(entry, tokenizer, prior, context)


def _transformer(config: PriorConfig, weights: Tensors) -> VAR:
    """The float transformer of an imported model; weights stay mapped from disk until they are used.

    Matrices keep the type of the file, and are widened one by one in use; everything else becomes float32.
    """
    with torch.device("meta"):
        model = VAR(config)
    kept = matrices(model)
    model.load_state_dict({key: value if key in kept else value.float() for key, value in weights.items()}, assign=True)
    return model.requires_grad_(False).eval()


def _context(config: PriorConfig, sizes: ContextSizes, weights: Tensors) -> ContextHead:
    """The context head of an imported model."""
    head = ContextHead(config.embed_dim, config.d, **sizes)
    head.load_state_dict({key: value.float() for key, value in weights.items()})
    return head.requires_grad_(False).eval()
