"""Trainers count seconds. Here every look at the clock is a twentieth of one: any machine takes as many steps.

They train in float32, whatever pays on this machine, unless a test says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from arpc_codec.train import loop

if TYPE_CHECKING:
    from torch import Tensor

    from arpc_codec.zoo.registry import ModelEntry

SECONDS = 0.05
TEXT_CHANNELS = 128


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(ticks) * SECONDS))
    monkeypatch.setattr(loop, "bfloat16_pays", lambda device_type: False)


@pytest.fixture
def pixel_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of ReconstructionLoss, whose networks live outside the project.

    L1, and as both perceptual distances the squared error.
    """
    from torch import nn

    from arpc_codec.train import pictures

    class PixelLoss(nn.Module):
        def __init__(self, *_: object) -> None:
            super().__init__()

        def forward(self, x_hat: Tensor, x: Tensor) -> tuple[Tensor, dict[str, float]]:
            loss = (x_hat - x).abs().mean()
            return loss, {"l1": loss.item()}

        @staticmethod
        def alex(x_hat: Tensor, x: Tensor) -> Tensor:
            return (x_hat - x).square().mean()

        squeeze = alex

    monkeypatch.setattr(pictures, "ReconstructionLoss", PixelLoss)


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModelEntry]:
    """Function (name, d=16, **fields of the prior's config) -> a small model of random weights, as an import leaves it.

    It is in ARPC_HOME. Its positions are those of the picture itself unless `rope_grid` says otherwise.
    """
    import torch

    from arpc_codec.prior.config import PriorConfig
    from arpc_codec.prior.transformer import VAR
    from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
    from arpc_codec.zoo.bundle import save_imported
    from arpc_codec.zoo.registry import read_entry

    home = tmp_path / "models"
    monkeypatch.setenv("ARPC_HOME", str(home))

    def make(name: str, d: int = 16, **fields: Any) -> ModelEntry:
        torch.manual_seed(d)
        pixels = TokenizerConfig(
            channels=d,
            encoder_stem=24,
            encoder_widths=(24,) * 5,
            encoder_depths=(1,) * 5,
            decoder_widths=(24,) * 5,
            decoder_depths=(1,) * 5,
            learned_gains=False,
            fill=-1.0,
            grid_bits=24,
            network="pyramid",
        )
        sizes: dict[str, Any] = {"embed_dim": 64, "depth": 2, "num_heads": 2, "text_channels": TEXT_CHANNELS}
        tokens = PriorConfig(d=d, **sizes | {"text_maxlen": 8, "temperature": 0.5} | fields)
        tokenizer, trunk = Tokenizer(pixels), VAR(tokens)
        with torch.no_grad():
            # So that the first sums are of the size of the codes.
            tokenizer.encoder.out.weight.mul_(2)
        halves = (pixels, dict(tokenizer.state_dict())), (tokens, dict(trunk.state_dict()))
        save_imported(home / name, None, name, "own", *halves)
        (home / name / "LICENCE.txt").write_text("Made up.\n")
        return read_entry(home / name)

    return make


@pytest.fixture
def captions(tmp_path: Path, picture: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """Function (count, height=64, width=64) -> a captions.jsonl with as many pictures beside it."""

    def make(number: int, height: int = 64, width: int = 64) -> Path:
        (tmp_path / "pictures").mkdir()
        lines = []
        for i in range(number):
            Image.fromarray(picture(height, width, i)).save(tmp_path / "pictures" / f"{i}.png")
            lines.append({"image": f"pictures/{i}.png", "long": f"a long caption of picture {i}", "short": f"{i}"})
        path = tmp_path / "captions.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return make


@pytest.fixture
def encode() -> Callable[[str], Tensor]:
    """A text encoder: features [tokens, 128] that follow from the caption, as many as it has words, at most 8."""
    import zlib

    import torch

    def features(caption: str) -> Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(caption.encode()))
        return torch.randn(min(8, len(caption.split())), TEXT_CHANNELS, generator=generator)

    return features
