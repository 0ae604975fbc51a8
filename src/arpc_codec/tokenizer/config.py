"""Sizes of a tokenizer; everything a config file can choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TokenizerConfig:
    """Shape of the f16 tokenizer. Widths and depths list one entry per resolution, finest first.

    encoder_*: resolutions 1/8, 1/16.  decoder_*: resolutions 1/2, 1/4, 1/8, 1/16.
    fill: value of a masked channel in units of the code magnitude (0, or -1 as published).
    """

    channels: int = 16
    encoder_widths: tuple[int, ...] = (64, 128)
    encoder_depths: tuple[int, ...] = (1, 2)
    decoder_widths: tuple[int, ...] = (32, 64, 96, 160)
    decoder_depths: tuple[int, ...] = (1, 1, 2, 3)
    fill: float = 0.0
    learned_gains: bool = True

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TokenizerConfig:
        """Config from parsed JSON. Raises TypeError for an unknown name."""
        sizes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**sizes)
