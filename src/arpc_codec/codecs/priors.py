"""Which prior codes a file and generates what it lacks: the model's, with the caption or without, or none."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from arpc_codec.codecs.filling import Filling
from arpc_codec.codecs.layout import Layout
from arpc_codec.codecs.tokens import Walk, fill_scales
from arpc_codec.container import Header
from arpc_codec.errors import ModelError
from arpc_codec.exact.prior import ExactPrior
from arpc_codec.prior.coding import CodingPrior, FloatPrior, NoPrior, text_condition
from arpc_codec.prior.precision import plain_float32
from arpc_codec.zoo.bundle import Bundle


class Priors:
    """The priors of one model; text_encoder: caption -> features [T, text_channels], where the model has one."""

    def __init__(self, bundle: Bundle, device: torch.device, text_encoder: Callable[[str], Tensor] | None) -> None:
        self.bundle, self.device, self.text_encoder = bundle, device, text_encoder
        self.takes_text = text_encoder is not None and bundle.prior.config.text_channels > 0

    def own(self, plan: Layout, caption: str = "") -> CodingPrior:
        """The model's prior for pictures of one layout; caption: what conditions it, if anything.

        Raises ModelError for a caption without a text encoder, or of more tokens than the model takes.
        """
        own = self.bundle.prior
        if isinstance(own, ExactPrior):
            return own
        if not caption:
            return FloatPrior(own, self.bundle.context, text_condition(own, None), plan.grid)
        if self.text_encoder is None:
            name = self.bundle.entry.name
            raise ModelError(f"the caption conditions model '{name}', whose text encoder is not on this machine")
        with plain_float32(self.device):
            features_tc = self.text_encoder(caption)
        if len(features_tc) > own.config.text_maxlen:
            raise ModelError(f"a caption of {len(features_tc)} tokens: the model takes {own.config.text_maxlen}")
        return FloatPrior(own, self.bundle.context, text_condition(own, features_tc), plan.grid)

    def of(self, header: Header, plan: Layout) -> CodingPrior:
        """The prior that codes the scales of a file. Raises as `own`."""
        if header.portable:
            return NoPrior(self.bundle.tokenizer.quantizer, self.device)
        return self.own(plan, header.caption if header.conditioned else "")

    def fill(self, walk: Walk, header: Header, plan: Layout, filling: Filling) -> None:
        """Generate what was not sent, as far as `filling` says."""
        end = self.filled(plan, filling)
        if walk.scale < end:
            self.join(walk, header, plan, filling)
            fill_scales(walk, end, filling.fill, filling.seed)

    def join(self, walk: Walk, header: Header, plan: Layout, filling: Filling) -> None:
        """Let the prior that fills predict from here on; the caption of a portable file conditions it where it can."""
        conditioned = self.conditions_fill(header)
        if header.portable:
            try:
                walk.follow(self.own(plan, header.caption if conditioned else ""))
            except ModelError:
                # No bit depends on the caption, so a text encoder that cannot be used matters to who asks for it only.
                if filling.guidance not in (None, 1):
                    raise
                conditioned = False
                walk.follow(self.own(plan))
        if conditioned and filling.strength != 1:
            assert isinstance(walk.prior, FloatPrior)
            walk.guide(walk.prior.unconditional(), filling.strength)

    def filled(self, plan: Layout, filling: Filling) -> int:
        """Leading scales that are generated where they were not sent."""
        if filling.fill == "none":
            return 0
        return self.bundle.tokenizer.quantizer.guessed(plan.schedule) if filling.fill == "mean" else len(plan.schedule)

    def conditions_fill(self, header: Header) -> bool:
        """Whether a caption has a say in what is generated."""
        return header.conditioned or (header.portable and bool(header.caption) and self.takes_text)
