"""Train the lossless prior on clean photographs and the adaptive predictions of their samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from arpc_codec.errors import ModelError
from arpc_codec.prior.observed import Observed, observe
from arpc_codec.prior.pixel import PixelPrior, coding_bits
from arpc_codec.train import ranks
from arpc_codec.train.data import read_shard
from arpc_codec.train.loop import LoopConfig, Metrics, run
from arpc_codec.train.regrade import regrade

SHARD = "train-clean.tar"


@dataclass(frozen=True)
class PixelTraining:
    """crop, batch: square crops of a step. margin: pixels at the edges, which see outside the crop and do not count.

    tile: side of what the crops are cut from, as large as the tiles of a file, which start without knowledge. pool:
    number of such tiles at hand; after every `renewal` steps another one takes the place of one of them.
    """

    crop: int = 64
    batch: int = 8
    margin: int = 4
    lr: float = 2e-3
    tile: int = 256
    pool: int = 96
    renewal: int = 2


def load_clean(root: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(training, validation) pictures uint8 [H, W, 3] of the clean shard.

    Raises ModelError without it, for a picture of odd sides or of another name, and when one of the two has none.
    """
    shard = root / SHARD
    if not shard.is_file():
        raise ModelError(f"no clean training data: {shard} is missing")
    sides: dict[str, list[np.ndarray]] = {"C": [], "V": []}
    for name, picture in read_shard(shard, lambda name: True):
        height, width = picture.shape[:2]
        if height % 2 or width % 2:
            raise ModelError(f"{shard}: {name}.webp is {width}x{height}: sides must be even")
        kind = Path(name).name[:1]
        if kind not in sides:
            raise ModelError(f"{shard}: {name}.webp begins neither with C, for training, nor with V, for validation")
        sides[kind].append(picture)
    for kind, use in (("C", "training"), ("V", "validation")):
        if not sides[kind]:
            raise ModelError(f"{shard}: no WebP picture for {use}, whose name begins with {kind}")
    return sides["C"], sides["V"]


def varied(picture_hwc: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A square of a picture, turned and mirrored, half of those with colours regraded before."""
    if picture_hwc.shape[2] == 3 and rng.random() < 0.5:
        picture_hwc = regrade(picture_hwc, rng)
    top, left = (int(rng.integers(length - side + 1)) for length in picture_hwc.shape[:2])
    square = np.rot90(picture_hwc[top : top + side, left : left + side], int(rng.integers(4)))
    return square[:, ::-1] if rng.random() < 0.5 else square


def shown(picture_hwc: np.ndarray) -> Observed:
    """A picture as the prior sees it, [1, H, W, ...] float16."""
    return observe(picture_hwc[None].astype(np.float64), 8).changed(Tensor.half)


class Pool:
    """Tiles that crops are cut from, renewed all the time: no picture is ever seen the same way again.

    Raises ModelError when a picture, or a tile, is smaller than a crop.
    """

    def __init__(self, pictures: list[np.ndarray], setup: PixelTraining) -> None:
        self.pictures, self.setup, self.steps = pictures, setup, 0
        self.side = min(setup.tile, *(min(picture.shape[:2]) for picture in pictures))
        if self.side < setup.crop:
            what = "tiles" if self.side == setup.tile else "pictures"
            raise ModelError(f"crops of {setup.crop}x{setup.crop} pixels cannot be cut from {what} of {self.side}")
        self.tiles: list[Observed] = []

    def _new(self, rng: np.random.Generator) -> Observed:
        return shown(varied(self.pictures[int(rng.integers(len(self.pictures)))], self.side, rng))[0]

    def crops(self, rng: np.random.Generator) -> Observed:
        """The crops of a step, float32."""
        if not self.tiles:
            self.tiles = [self._new(rng) for _ in range(self.setup.pool)]
        self.steps += 1
        if self.steps % self.setup.renewal == 0:
            self.tiles[int(rng.integers(len(self.tiles)))] = self._new(rng)
        parts = []
        for _ in range(self.setup.batch):
            tile = self.tiles[int(rng.integers(len(self.tiles)))]
            top, left = (int(rng.integers(self.side - self.setup.crop + 1)) for _ in range(2))
            parts.append(tile[top : top + self.setup.crop, left : left + self.setup.crop].float())
        return Observed.joined(torch.stack, parts)


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
    pool = Pool(photos[0], setup)
    # Pictures with colours count once as they are and once regraded, the same way in every run.
    held = {"plain": photos[1]}
    if model.config.channels == 3:
        held["regraded"] = [regrade(picture, np.random.default_rng(i)) for i, picture in enumerate(photos[1])]
    seen = {half: [shown(picture) for picture in own if ranks.leads()] for half, own in held.items()}

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        loss = coding_bits(model, pool.crops(np.random.default_rng((index, 4))), setup.margin).mean()
        return loss, {"bits": loss.item()}

    @torch.no_grad()
    def validate(module: nn.Module) -> Metrics:
        assert isinstance(module, PixelPrior)
        halves = {
            half: np.mean([coding_bits(module, x.float()).mean().item() for x in own]) for half, own in seen.items()
        }
        means = {f"val_{half}": float(mean) for half, mean in halves.items()}
        return {"val_bits": float(np.mean([*means.values()]))} | means

    # Validating takes a minute or more, and is not counted.
    config = LoopConfig(minutes=minutes, lr=setup.lr, beta2=0.99, save_minutes=10.0, weight_decay=0.01)
    return run(model, step, folder, config, validate=validate).state
