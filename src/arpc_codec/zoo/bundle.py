"""A model folder: config.json, tokenizer.safetensors (float16) and prior.safetensors (integers)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import ModelError
from ..exact.prior import ExactPrior
from ..prior.config import PriorConfig
from ..tokenizer import Tokenizer, TokenizerConfig
from .registry import CONFIG, ModelEntry, find, read_entry

TOKENIZER, PRIOR = "tokenizer.safetensors", "prior.safetensors"


@dataclass(frozen=True)
class Bundle:
    """A loaded model."""

    entry: ModelEntry
    tokenizer: Tokenizer
    prior: ExactPrior

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that name exactly these weights and sizes."""
        return bytes.fromhex(self.entry.fingerprint)


def fingerprint(sizes: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 (hex) of the sizes as canonical JSON and of every tensor's name, type, shape and bytes, by name."""
    digest = hashlib.sha256(json.dumps(sizes, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_bundle(
    folder: Path,
    model_id: int,
    name: str,
    licence: str,
    tokenizer: tuple[TokenizerConfig, dict[str, Tensor]],
    prior: tuple[PriorConfig, dict[str, Tensor]],
) -> str:
    """Write a model folder; tokenizer weights become float16. Returns the fingerprint."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {k: v.half().contiguous() for k, v in tokenizer[1].items()}
    sizes = {"tokenizer": asdict(tokenizer[0]), "prior": asdict(prior[0])}
    sizes = json.loads(json.dumps(sizes))
    mark = fingerprint(sizes, _joined(half, prior[1]))
    save_file(half, folder / TOKENIZER)
    save_file(prior[1], folder / PRIOR)
    values = {"id": model_id, "name": name, "fingerprint": mark, "licence": licence, **sizes}
    (folder / CONFIG).write_text(json.dumps(values, indent=1) + "\n")
    return mark


def load_bundle(model: str | int, device: str = "cpu", *, check: bool = False) -> Bundle:
    """Load a model by name or id; as `load_folder`."""
    return load_folder(find(model).path, device, check=check)


def load_folder(folder: Path, device: str = "cpu", *, check: bool = False) -> Bundle:
    """Load a model folder. Raises ModelError when it is missing, unreadable or (with `check`) altered."""
    entry = read_entry(folder)
    values = json.loads((entry.path / CONFIG).read_text())
    try:
        half, integers = load_file(entry.path / TOKENIZER), load_file(entry.path / PRIOR)
        sizes = {"tokenizer": values["tokenizer"], "prior": values["prior"]}
        if check and fingerprint(sizes, _joined(half, integers)) != entry.fingerprint:
            raise ModelError(f"model '{entry.name}': weights do not match their fingerprint")
        config = TokenizerConfig.from_json(values["tokenizer"])
        # Not on the meta device: initialising there imports a second of torch's compiler.
        tokenizer = Tokenizer(config)
        tokenizer.load_state_dict({k: v.float() for k, v in half.items()}, assign=True)
        prior = ExactPrior(integers, PriorConfig(**values["prior"]), device)
    except (OSError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"model '{entry.name}': {error}") from error
    tokenizer.requires_grad_(False).eval().to(device)
    return Bundle(entry, tokenizer, prior)


def _joined(tokenizer: dict[str, Tensor], prior: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"tokenizer.{k}": v for k, v in tokenizer.items()} | {f"prior.{k}": v for k, v in prior.items()}
