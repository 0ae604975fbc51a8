"""Captioned pictures: a .jsonl file beside them -> whole pictures at the sizes a model codes, with text features.

A line is {"image": path relative to the file, "long": caption, "short": caption}; either caption or both may be absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from arpc_codec.errors import ArpcError, ModelError
from arpc_codec.imageio import MAX_PIXELS, read, suffixes
from arpc_codec.imageio.opening import decoding, formats
from arpc_codec.imageio.orientation import orientation
from arpc_codec.prior.attention import Text
from arpc_codec.prior.config import PriorConfig
from arpc_codec.scales import STRIDE, scale_schedule
from arpc_codec.scales.published import Published, published
from arpc_codec.train.data import VALIDATION_EVERY, to_tensor
from arpc_codec.train.prior import VALIDATED, Batch

# Caption -> features [len, text_channels].
Encode = Callable[[str], Tensor]

_TURNED = range(5, 9)


@dataclass(frozen=True)
class Record:
    """A picture file, its captions (one is drawn each time), and the size, schedule and grid it is seen with."""

    image: Path
    captions: tuple[str, ...]
    layout: Published

    def pixels(self) -> np.ndarray:
        """uint8 [H, W, 3]: reduced or enlarged (Lanczos) to cover the layout's size, then its centre."""
        height, width = self.layout.size
        picture = Image.fromarray(read(self.image).pixels)
        return np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS))


def layout_for(config: PriorConfig, height: int, width: int) -> Published:
    """Layout of a picture of `height` x `width` pixels: a published one, or its own size in whole cells of the latent.

    Raises ModelError for a picture smaller than one cell.
    """
    if config.rope_grid == "published":
        return published(height, width)
    rows, cols = height // STRIDE, width // STRIDE
    if not rows or not cols:
        raise ModelError(f"a picture of {width}x{height} pixels is smaller than {STRIDE}x{STRIDE}")
    return Published(scale_schedule(rows, cols), (rows, cols), (rows * STRIDE, cols * STRIDE))


def load_records(data: Path, config: PriorConfig) -> tuple[list[Record], list[Record]]:
    """(training, validation) records of a .jsonl file, or of the pictures in a folder, which then have no captions.

    Every 32nd is for validation, the first among them. Only the pictures' headers are read. Raises ModelError when
    something is missing or malformed, or there are fewer than two pictures.
    """
    if data.is_dir():
        found = sorted(path for path in data.iterdir() if path.suffix.lower() in suffixes())
        records = [Record(path, (), _layout(config, path)) for path in found]
    else:
        try:
            lines = data.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ModelError(f"no training data: {data}: {error}") from error
        records = [_record(f"{data}:{i}", line, data.parent, config) for i, line in enumerate(lines, 1) if line.strip()]
    if len(records) < 2:
        raise ModelError(f"{data}: {len(records)} pictures; one is held out, so at least two are needed")
    held = records[::VALIDATION_EVERY]
    return [record for i, record in enumerate(records) if i % VALIDATION_EVERY], held


def _record(where: str, line: str, folder: Path, config: PriorConfig) -> Record:
    try:
        values = json.loads(line)
        image = folder / values["image"]
        captions = tuple(values[kind] for kind in ("long", "short") if values.get(kind))
        if not all(isinstance(caption, str) for caption in captions):
            raise ValueError("a caption is not a text")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f'{where}: not {{"image": ..., "long": ..., "short": ...}} ({error})') from error
    return Record(image, captions, _layout(config, image))


def _layout(config: PriorConfig, image: Path) -> Published:
    try:
        with decoding(MAX_PIXELS), Image.open(image, formats=formats()) as header:
            turned = orientation(header)[0] in _TURNED
            width, height = header.size
    except ArpcError as error:
        raise ModelError(f"{image}: {error}") from error
    return layout_for(config, *((width, height) if turned else (height, width)))


def batch_of(records: Sequence[Record], captions: Sequence[str], encode: Encode | None, device: torch.device) -> Batch:
    """A batch of records of one layout; the features of `captions`, one for each, come from `encode`."""
    layout = records[0].layout
    text = None
    if encode is not None:
        text = Text.pad([encode(caption).detach().float().to(device) for caption in captions])
    return Batch(to_tensor([record.pixels() for record in records], device), layout.schedule, text, layout.grid)


class CaptionSampler:
    """Batches of whole pictures of one layout. `encode` None: for a trunk without text.

    Raises ModelError when captions are needed and a record has none.
    """

    def __init__(
        self, records: Sequence[Record], encode: Encode | None, batch: int, device: torch.device | str = "cpu"
    ) -> None:
        bare = [record.image for record in records if not record.captions]
        if encode is not None and bare:
            raise ModelError(f"{bare[0]} has no caption (nor have {len(bare) - 1} others)")
        self.records, self.encode, self.batch, self.device = records, encode, batch, torch.device(device)
        self.alike: dict[Published, list[Record]] = {}
        for record in records:
            self.alike.setdefault(record.layout, []).append(record)

    def draw(self, rng: np.random.Generator) -> Batch:
        """A random record, others of its layout, and one caption of each; long and short ones are equally likely."""
        layout = self.records[int(rng.integers(len(self.records)))].layout
        pool = self.alike[layout]
        chosen = [pool[int(i)] for i in rng.integers(len(pool), size=self.batch)]
        captions = [r.captions[int(rng.integers(len(r.captions)))] if r.captions else "" for r in chosen]
        return batch_of(chosen, captions, self.encode, self.device)

    def held(self) -> Iterator[tuple[str, Batch]]:
        """The first few records of each layout, one by one, with their first captions, for `validate`."""
        for layout, pool in self.alike.items():
            for record in pool[:VALIDATED]:
                name = f"val_{layout.size[1]}x{layout.size[0]}"
                yield name, batch_of([record], record.captions[:1], self.encode, self.device)
