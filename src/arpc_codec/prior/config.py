"""Every hyper-parameter of the VAR prior; nothing in the network assumes a size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arpc_codec.errors import ModelError
from arpc_codec.scales import MAX_SCALES
from arpc_codec.tokenizer.config import TokenizerConfig
from arpc_codec.tokenizer.planes import SLOTS


@dataclass(frozen=True)
class PriorConfig:
    """Shape of one Infinity-family transformer. Raises ModelError when the sizes do not fit together."""

    d: int = 16
    """Bits per token."""
    embed_dim: int = 256
    depth: int = 6
    num_heads: int = 8
    mlp_ratio: float = 4.0
    text_channels: int = 0
    """Width of the text features; 0 = no text: the condition is a learned vector, no cross-attention."""
    text_maxlen: int = 512
    scale_embed: Literal["index", "index+end"] = "index"
    """`index`: one row per scale number. `index+end`: plus one per distance from the last scale."""
    rope_grid: Literal["published", "final"] = "final"
    """Grid that positions are scaled to: given by the caller, or the picture's own last scale."""
    key_tokens: int = 0
    """Scales with more tokens than this look at coarser scales but are seen by none; 0 = no limit, as published."""
    max_levels: int = 15
    """Rows of each scale embedding, so the longest schedule."""
    groups: tuple[int, ...] = ()
    """Tokens are integers: ends of the groups of channels that are coded together (planes.py). None: sign bits."""
    levels: int = 1
    """How many numbers of scales that follow the context head of integers tells apart."""
    units: int = 8
    """Units that each channel of integers has in the context head."""
    repeats: int = 0
    """Last scales that the trunk does not walk: they have the size of the one before and are told by its features."""
    temperature: float = 1.0
    """Divides the logits of `VAR.step`, which code and generate; training (`VAR.forward`) sees them as they are."""

    def __post_init__(self) -> None:
        for name in ("d", "embed_dim", "depth", "num_heads", "max_levels"):
            if getattr(self, name) < 1:
                raise ModelError(f"prior config: {name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.temperature < float("inf"):
            raise ModelError(f"prior config: temperature must be positive, not {self.temperature}")
        # Lists in a config file.
        object.__setattr__(self, "groups", tuple(self.groups))
        if self.groups and (sorted({0, *self.groups}) != [0, *self.groups] or SLOTS * self.groups[-1] != self.d):
            raise ModelError(f"prior config: groups that end at {self.groups} do not make tokens of {self.d} bits")
        if self.groups and min(self.levels, self.units) < 1:
            raise ModelError(f"prior config: {self.levels} levels and {self.units} units of each channel")
        if self.repeats and not self.groups:
            raise ModelError("prior config: only scales of integers are told by the features of the one before")
        if not 0 <= self.repeats < MAX_SCALES:
            raise ModelError(f"prior config: {self.repeats} scales repeat the one before, at most {MAX_SCALES - 1} do")
        if self.scale_embed not in ("index", "index+end"):
            raise ModelError(f"prior config: unknown scale_embed {self.scale_embed!r}")
        if self.rope_grid not in ("published", "final"):
            raise ModelError(f"prior config: unknown rope_grid {self.rope_grid!r}")
        if self.embed_dim % self.num_heads or self.head_dim % 4:
            raise ModelError(
                f"prior config: embed_dim {self.embed_dim} is no multiple of 4 * num_heads {self.num_heads}"
            )
        if self.text_channels and (self.text_maxlen < 1 or self.embed_dim % self.text_pool_heads):
            raise ModelError(
                f"prior config: embed_dim {self.embed_dim} does not split into {self.text_pool_heads} heads"
            )

    @property
    def inputs(self) -> int:
        """Channels of a code, which the trunk sees."""
        return self.groups[-1] if self.groups else self.d

    @property
    def outputs(self) -> int:
        """Numbers that the trunk says of a token: two logits a bit, or for integers none, but for its features."""
        return 0 if self.groups else 2 * self.d

    @property
    def head_dim(self) -> int:
        """Channels of one self-attention head."""
        return self.embed_dim // self.num_heads

    @property
    def mlp_hidden(self) -> int:
        """Inner width of the feed-forward layers: mlp_ratio * embed_dim to the nearest multiple of 256."""
        return 256 * max(1, round(self.mlp_ratio * self.embed_dim / 256))

    @property
    def text_pool_heads(self) -> int:
        """Heads of the attention that pools the text; independent of num_heads, as published."""
        return max(1, self.text_channels // (64 if self.embed_dim > 4096 else 128))


def check_tokens(tokenizer: TokenizerConfig, prior: PriorConfig) -> None:
    """ValueError when the tokens that a tokenizer makes are not those that a prior foretells."""
    bits = tokenizer.channels * (SLOTS if tokenizer.steps else 1)
    ours, theirs = (bits, tokenizer.channels, tokenizer.groups), (prior.d, prior.inputs, prior.groups)
    if ours != theirs:
        named = zip(("bits", "channels", "groups"), ours, theirs, strict=True)
        which = ", ".join(f"{name} {own} and {other}" for name, own, other in named if own != other)
        raise ValueError(f"tokens of the tokenizer and those of the prior differ: {which}")
    if prior.repeats and prior.repeats >= tokenizer.repeats:
        raise ValueError(f"the prior repeats {prior.repeats} of {tokenizer.repeats} scales of one size, not fewer")
