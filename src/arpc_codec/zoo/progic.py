"""A model of the codec progic: config.json and progic.safetensors (float16), codebooks included.

It may have a prior of its indices, as integers in indices.safetensors; without one they are packed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from arpc_codec.chance import private_random
from arpc_codec.container.header import MAX_STAGES
from arpc_codec.errors import ModelError
from arpc_codec.exact.indices import ExactIndexPrior
from arpc_codec.prior.indices import IndexConfig
from arpc_codec.tokenizer.progic import Progic, ProgicConfig
from arpc_codec.tokenizer.residual_vq import TRAINING_BUFFERS
from arpc_codec.zoo.folder import Tensors, half, naming, read_folder, write_folder
from arpc_codec.zoo.registry import ModelEntry

WEIGHTS, PRIOR = "progic.safetensors", "indices.safetensors"
# What only training needs.
_LEFT_OUT = {f"quantizer.{name}" for name in TRAINING_BUFFERS}


@dataclass(frozen=True)
class ProgicModel:
    """A loaded model. Its codebooks are float16 values in float32: the same sums everywhere."""

    entry: ModelEntry
    network: Progic
    prior: ExactIndexPrior | None = None

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that name exactly these weights and sizes."""
        return bytes.fromhex(self.entry.fingerprint)


def save_progic(
    folder: Path,
    model_id: int,
    name: str,
    licence: str,
    config: ProgicConfig,
    state: Mapping[str, Tensor],
    prior: tuple[IndexConfig, Tensors] | None = None,
) -> str:
    """Write a model folder; returns the fingerprint. Raises ModelError for more stages than a file can count.

    prior: of the indices; the network's codebooks must be in its order.
    """
    if config.stages > MAX_STAGES:
        raise ModelError(f"{config.stages} stages: a file counts at most {MAX_STAGES}")
    files = {WEIGHTS: half({key: value for key, value in state.items() if key not in _LEFT_OUT})}
    sizes = {"progic": asdict(config)}
    if prior is not None:
        sizes["indices"], files[PRIOR] = asdict(prior[0]), prior[1]
    return write_folder(folder, model_id, name, licence, "progic", sizes, files)


def load_progic(folder: Path, device: str = "cpu", *, check: bool = False) -> ProgicModel:
    """Load a model folder. Raises ModelError when it is missing, unreadable or (with `check`) altered."""
    entry, sizes, files = read_folder(folder, ("progic",), (WEIGHTS,), check=check, optional={"indices": PRIOR})
    with naming(entry), private_random():
        network = Progic(ProgicConfig.from_json(sizes["progic"]))
        weights = {key: value.float() for key, value in files[WEIGHTS].items()}
        missing, surplus = network.load_state_dict(weights, strict=False, assign=True)
        if surplus or set(missing) != _LEFT_OUT:
            raise ValueError(f"{len(surplus)} weights too many, {len(set(missing) - _LEFT_OUT)} missing")
        prior = None
        if "indices" in sizes:
            config = IndexConfig.from_json(sizes["indices"])
            prior = ExactIndexPrior(files[PRIOR], config, network.quantizer.codebooks)
    return ProgicModel(entry, network.requires_grad_(False).eval().to(device), prior)
