"""Train the lossless prior on clean photographs and the adaptive predictions of their samples."""

from __future__ import annotations

import inspect
import io
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import ModelError
from ..prior import adaptive
from ..prior.adaptive import predict_tiles
from ..prior.observed import Observed
from ..prior.pixel import PixelPrior, coding_bits
from ..prior.statistics import tile_statistics
from . import ranks
from .loop import LoopConfig, Metrics, run
from .regrade import regrade

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


def observed(pictures: list[np.ndarray], folder: Path, name: str) -> Observed:
    """Equal pictures as the prior sees them, uint8 and float16. Their predictions, slow to make, stay in `folder`."""
    samples = torch.from_numpy(np.stack(pictures))
    parts = samples.split(TOGETHER)
    # Other pictures or another predictor make another file.
    made_from = zlib.crc32(samples.numpy().tobytes(), zlib.crc32(inspect.getsource(adaptive).encode()))
    cache = folder / f"{name}-errors-{made_from:08x}.safetensors"
    with ranks.in_turn():
        if not cache.is_file():
            cache.parent.mkdir(parents=True, exist_ok=True)
            doubles = (x.double().numpy() for x in parts)
            made = [torch.from_numpy(x - predict_tiles(x, 8)).to(torch.float16) for x in doubles]
            save_file({"errors": torch.cat(made)}, cache)
    errors = load_file(cache)["errors"]
    statistics = [torch.from_numpy(tile_statistics(part.double().numpy())) for part in errors.split(TOGETHER)]
    return Observed(samples, errors, torch.cat([part.to(torch.float16) for part in statistics]), MIDDLE)


def both_gradings(pictures: list[np.ndarray], folder: Path, name: str) -> Observed:
    """The pictures, and behind them, when they have colours, each once regraded."""
    plain = observed(pictures, folder, name)
    if pictures[0].shape[2] == 1:
        return plain
    graded = [regrade(picture, np.random.default_rng(index)) for index, picture in enumerate(pictures)]
    other = observed(graded, folder, f"{name}-regraded")
    return Observed.joined(torch.cat, [plain, other])


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
    train, held = (both_gradings(part, folder, name) for part, name in zip(photos, ("train", "held"), strict=True))

    def crops(rng: np.random.Generator) -> Observed:
        parts = []
        for _ in range(setup.batch):
            n = int(rng.integers(len(train.samples)))
            top, left = (int(rng.integers(side - setup.crop + 1)) for side in train.samples.shape[1:3])
            parts.append(train[n, top : top + setup.crop, left : left + setup.crop].float())
        return Observed.joined(torch.stack, parts)

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        loss = coding_bits(model, crops(np.random.default_rng((index, 4))), setup.margin).mean()
        return loss, {"bits": loss.item()}

    @torch.no_grad()
    def validate(module: nn.Module) -> Metrics:
        assert isinstance(module, PixelPrior)
        bits = [coding_bits(module, held[i : i + 1].float()).mean().item() for i in range(len(held.samples))]
        halves = {"plain": bits[: len(photos[1])], "regraded": bits[len(photos[1]) :]}
        return {"val_bits": float(np.mean(bits))} | {f"val_{k}": float(np.mean(v)) for k, v in halves.items() if v}

    config = LoopConfig(minutes=minutes, lr=setup.lr, beta2=0.99, save_minutes=3.0, weight_decay=0.01)
    return run(model, step, folder, config, validate=validate).state
