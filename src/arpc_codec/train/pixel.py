"""Train the lossless prior on clean photographs and the adaptive predictions of their samples."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import ModelError
from ..prior.adaptive import predict_tiles
from ..prior.pixel import PixelPrior, coding_bits
from .loop import LoopConfig, Metrics, run

SHARD = "train-clean.tar"
TOGETHER = 16
MIDDLE = 128.0


@dataclass(frozen=True)
class PixelTraining:
    """crop, batch: square crops of a step. margin: pixels at the edges, which see outside the crop and do not count."""

    crop: int = 64
    batch: int = 8
    margin: int = 4
    lr: float = 2e-3


@dataclass(frozen=True)
class Predicted:
    """Pictures of one size: samples uint8 and adaptive predictions float16 less samples, both [N, H, W, C]."""

    samples: Tensor
    errors: Tensor


def load_clean(root: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(training, validation) crops uint8 [H, W, 3] of the clean shard. Raises ModelError without it."""
    if not (root / SHARD).is_file():
        raise ModelError(f"no clean training data: {root / SHARD} is missing")
    sides: dict[str, list[np.ndarray]] = {"C": [], "V": []}
    with tarfile.open(root / SHARD) as archive:
        for member in archive:
            name = Path(member.name).name
            if name.endswith(".webp") and (data := archive.extractfile(member)) is not None:
                sides[name[0]].append(np.asarray(Image.open(io.BytesIO(data.read())).convert("RGB")))
    return sides["C"], sides["V"]


def predicted(pictures: list[np.ndarray], cache: Path) -> Predicted:
    """Predictions of equal pictures, made once and kept in `cache`: they do not change during training."""
    samples = torch.from_numpy(np.stack(pictures))
    if not cache.is_file():
        parts = []
        for first in range(0, len(samples), TOGETHER):
            x = samples[first : first + TOGETHER].double()
            parts.append((x - predict_tiles(x, 8)).to(torch.float16))
        cache.parent.mkdir(parents=True, exist_ok=True)
        save_file({"errors": torch.cat(parts)}, cache)
    return Predicted(samples, load_file(cache)["errors"])


def train_pixel(
    model: PixelPrior,
    photos: tuple[list[np.ndarray], list[np.ndarray]],
    folder: Path,
    minutes: float,
    setup: PixelTraining,
) -> dict[str, Tensor]:
    """Train within `minutes`; returns the averaged weights."""
    if model.config.channels == 1:
        photos = ([p[..., 1:2] for p in photos[0]], [p[..., 1:2] for p in photos[1]])
    train = predicted(photos[0], folder / "train-errors.safetensors")
    held = predicted(photos[1], folder / "held-errors.safetensors")

    def crops(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        parts = []
        for _ in range(setup.batch):
            n = int(rng.integers(len(train.samples)))
            top, left = (int(rng.integers(side - setup.crop + 1)) for side in train.samples.shape[1:3])
            window = (n, slice(top, top + setup.crop), slice(left, left + setup.crop))
            parts.append((train.samples[window].float(), train.errors[window].float()))
        x, errors = zip(*parts, strict=True)
        return torch.stack(x), torch.stack(errors)

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        x, errors = crops(np.random.default_rng((index, 4)))
        loss = coding_bits(model, x, errors, MIDDLE, setup.margin).mean()
        return loss, {"bits": loss.item()}

    @torch.no_grad()
    def validate(module: nn.Module) -> Metrics:
        assert isinstance(module, PixelPrior)
        bits = [
            coding_bits(module, held.samples[i : i + 1].float(), held.errors[i : i + 1].float(), MIDDLE).mean().item()
            for i in range(len(held.samples))
        ]
        return {"val_bits": float(np.mean(bits))}

    config = LoopConfig(minutes=minutes, lr=setup.lr, beta2=0.99, save_minutes=3.0, weight_decay=0.01)
    return run(model, step, folder, config, validate=validate).state
