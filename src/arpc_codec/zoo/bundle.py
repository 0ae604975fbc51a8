"""A model of the codec arpc: config.json, tokenizer.safetensors (float16) and prior.safetensors (integers)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ..exact.prior import ExactPrior
from ..prior.config import PriorConfig
from ..tokenizer import Tokenizer, TokenizerConfig
from .folder import Tensors, half, naming, read_folder, write_folder
from .registry import ModelEntry, find

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


def load_bundle(model: str | int, device: str = "cpu", *, check: bool = False) -> Bundle:
    """Load a model by name or id; as `load_folder`."""
    return load_folder(find(model).path, device, check=check)


def load_folder(folder: Path, device: str = "cpu", *, check: bool = False) -> Bundle:
    """Load a model folder. Raises ModelError when it is missing, unreadable or (with `check`) altered."""
    entry, sizes, files = read_folder(folder, ("tokenizer", "prior"), (TOKENIZER, PRIOR), check=check)
    with naming(entry):
        # Not on the meta device: initialising there imports a second of torch's compiler.
        tokenizer = Tokenizer(TokenizerConfig.from_json(sizes["tokenizer"]))
        tokenizer.load_state_dict({k: v.float() for k, v in files[TOKENIZER].items()}, assign=True)
        prior = ExactPrior(files[PRIOR], PriorConfig(**sizes["prior"]), device)
    tokenizer.requires_grad_(False).eval().to(device)
    return Bundle(entry, tokenizer, prior)
