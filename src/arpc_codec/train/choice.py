"""Tokens as an encoder chooses them, for what learns from the sums that a decoder will see."""

from __future__ import annotations

import torch
from torch import Tensor

from ..prior.context import PHASES, TreeContext, known_symbols, phase_mask
from ..prior.model import Prior
from ..prior.tree import path_costs
from ..scales import Schedule
from ..tokenizer import MultiScaleVQ, Tokenizer
from ..tokenizer.multiscale import Choice

# Chances are kept this far from 0 and 1, as those of the exact prior are.
LEAST = 2.0**-16


@torch.no_grad()
def chosen_by_cost(prior: Prior, tokenizer: Tokenizer, batch: int, schedule: Schedule) -> Choice:
    """What `codecs.tokens.encode_latent` does, for so many pictures together, in floating point."""
    quantizer, context, trade = tokenizer.quantizer, prior.context, tokenizer.config.trade
    assert isinstance(quantizer, MultiScaleVQ)
    assert isinstance(context, TreeContext)
    tree = prior.tree
    assert tree is not None
    walked = len(schedule) - prior.config.repeats
    state = prior.trunk.start(schedule[:walked], batch=batch)
    last: list[Tensor] = []

    @torch.no_grad()
    def choose(residual_bchw: Tensor, scale: int, z_bchw: Tensor) -> Tensor:
        size, after = schedule[scale], len(schedule) - 1 - scale
        seen = quantizer.resample(z_bchw, size)
        x = seen.flatten(2).mT if scale else None
        if scale < walked:
            last[:] = prior.trunk.step(x, state)
        bits = quantizer.choose(residual_bchw, scale, schedule)
        if size != schedule[-1]:
            return bits
        outputs, hidden = last
        said = prior.said(outputs, x, after)
        projected = context.projected(hidden.unflatten(1, size), seen, after)
        squares = quantizer.squares(residual_bchw, scale, schedule)
        worth, squares = quantizer.worth(squares, trade).flatten(1, 2), squares.flatten(1, 2)
        level = quantizer.level(scale, schedule)
        for phase in range(len(PHASES)):
            positions = phase_mask(*size, phase, bits.device).flatten().nonzero()[:, 0]
            if len(positions):
                symbols = quantizer.symbols(bits, scale, schedule).to(projected)
                around = context.neighbourhood(projected, known_symbols(symbols, phase))
                asked = said[:, positions] + context.out(around.flatten(2).mT[:, positions])
                chances = tree.every(asked, after).sigmoid().clamp(LEAST, 1 - LEAST)
                index = (squares[:, positions] + worth[:, positions] * path_costs(chances)).argmin(2)
                bits.view(len(bits), -1, quantizer.bits)[:, positions] = quantizer.path(index, level)
        return bits

    return choose
