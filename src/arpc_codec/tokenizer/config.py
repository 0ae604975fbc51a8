"""Sizes of a tokenizer; everything a config file can choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from arpc_codec.errors import ModelError
from arpc_codec.scales.resample import WEIGHT_BITS
from arpc_codec.tokenizer.texture import CHANNELS as TEXTURE

# Groups of a GroupNorm, the first that divides the channels.
NORM_GROUPS = (32, 24)
# Resolutions of the pyramid, 1/1 to 1/16; it may have more levels at 1/16.
PYRAMID_LEVELS = 5


@dataclass(frozen=True)
class TokenizerConfig:
    """Shape of the f16 tokenizer. Widths and depths list one entry per resolution, finest first.

    network: `progic` (its dense networks), encoder_* of resolutions 1/8 and 1/16, decoder_* of 1/2, 1/4, 1/8 and 1/16;
    or `pyramid`, as published, both of 1/1 to 1/16.  encoder_stem: channels of the pyramid's first convolution.
    steps: of a unit of the latent, for each number of scales that follow, as in `MultiScalePlanes`, of the network
    `progic`; schedules are then halved, with the size of the latent `repeats` times. None: tokens are signs.
    active, resting: channels that take part end and begin with, as steps.  groups: ends of the groups of channels that
    are coded together.
    noise: channels of noise that the decoder of `progic` takes beside the latent.
    texture: the first two channels of `progic` tell how strong the detail of a cell is, as in texture.py.
    means: channels that are means of a cell, as in `MultiScalePlanes`; only with texture.
    trade: what a bit is worth when integers are chosen, in squared errors of one step.
    fill: value of a masked channel in units of the code magnitude (0, or -1 as published); masked: are there any.
    grid_bits: as in `MultiScaleBSQ`.  Raises ModelError when the sizes do not fit together or to the network.
    """

    channels: int = 16
    encoder_widths: tuple[int, ...] = (64, 128)
    encoder_depths: tuple[int, ...] = (1, 2)
    decoder_widths: tuple[int, ...] = (32, 64, 96, 160)
    decoder_depths: tuple[int, ...] = (1, 1, 2, 3)
    fill: float = 0.0
    learned_gains: bool = True
    masked: bool = True
    grid_bits: int = WEIGHT_BITS
    network: Literal["progic", "pyramid"] = "progic"
    encoder_stem: int = 0
    noise: int = 0
    texture: bool = False
    means: tuple[int, ...] = ()
    trade: float = 0.0
    steps: tuple[float, ...] = ()
    active: tuple[int, ...] = ()
    resting: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    repeats: int = 5

    def __post_init__(self) -> None:
        if self.steps and (problem := self._problem_of_steps()):
            raise ModelError(f"tokenizer config: {problem}")
        if self.trade < 0 or (self.trade and not self.steps):
            raise ModelError(f"tokenizer config: a trade of {self.trade} with {len(self.steps)} steps")
        if self.noise < 0 or (self.noise and self.network != "progic"):
            raise ModelError(f"tokenizer config: {self.noise} channels of noise for the network {self.network}")
        if self.texture and not (self.network == "progic" and self.steps and self.channels > TEXTURE):
            raise ModelError("tokenizer config: channels of texture without others or steps, or of another network")
        if self.means and not (self.texture and set(self.means) <= set(range(TEXTURE, self.channels))):
            raise ModelError(f"tokenizer config: means {self.means}, texture {self.texture}, {self.channels} channels")
        if self.network == "progic":
            for part, resolutions in (("encoder", 2), ("decoder", 4)):
                widths, depths = getattr(self, f"{part}_widths"), getattr(self, f"{part}_depths")
                if not len(widths) == len(depths) == resolutions or min(widths) < 1 or min(depths) < 0:
                    raise ModelError(
                        f"tokenizer config: widths {widths} and depths {depths} are not {resolutions} of the {part}"
                    )
            return
        if self.network != "pyramid":
            raise ModelError(f"tokenizer config: unknown network {self.network!r}")
        if self.steps:
            raise ModelError("tokenizer config: the network pyramid has signs, no steps")
        for widths, depths in ((self.encoder_widths, self.encoder_depths), (self.decoder_widths, self.decoder_depths)):
            if len(widths) != len(depths) or len(widths) < PYRAMID_LEVELS or min(depths) < 1:
                raise ModelError(f"tokenizer config: widths {widths} and depths {depths} do not make a pyramid")
        for width in (self.encoder_stem, *self.encoder_widths, *self.decoder_widths):
            norm_groups(width)

    def _problem_of_steps(self) -> str:
        """What is wrong with steps, channels that take part, or groups; nothing when they fit together."""
        edges = {0, *self.groups}
        rules = {
            f"steps {self.steps} are not all above 0": min(self.steps) > 0,
            f"{self.repeats} repeats with {len(self.steps)} steps": 1 <= self.repeats <= len(self.steps),
            f"groups {self.groups} do not rise to {self.channels}, the number of channels": (
                sorted(edges) == [0, *self.groups] and self.groups[-1:] == (self.channels,)
            ),
            f"active {self.active} are not one end of a group for each of {len(self.steps)} steps": (
                len(self.active) == len(self.steps) and set(self.active) <= edges
            ),
            f"resting {self.resting} are neither none nor one end of a group, or 0, for each of the steps": (
                len(self.resting) in (0, len(self.steps)) and set(self.resting) <= edges
            ),
            f"resting {self.resting} are not below active {self.active}": (
                all(first < last for first, last in zip(self.resting, self.active, strict=False))
            ),
        }
        return next((problem for problem, holds in rules.items() if not holds), "")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TokenizerConfig:
        """Config from parsed JSON. Raises TypeError for an unknown name."""
        sizes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**sizes)


def norm_groups(width: int) -> int:
    """Groups of a GroupNorm over `width` channels. Raises ModelError when no number of groups divides them."""
    for groups in NORM_GROUPS:
        if width > 0 and width % groups == 0:
            return groups
    raise ModelError(
        f"tokenizer config: {width} channels cannot be normalised in {' or '.join(map(str, NORM_GROUPS))} groups"
    )
