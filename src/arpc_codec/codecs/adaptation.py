"""Adapt the lossless prior to a picture: rate plus description length, costliest patches first, then all (SARP-FT).

The one part of lossless coding that needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from arpc_codec.chance import private_random
from arpc_codec.exact.grid import State
from arpc_codec.exact.pixelstate import import_pixel
from arpc_codec.prior.adapter import Adapter, unit_bits
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.lowrank import attach, collect
from arpc_codec.prior.observed import observe
from arpc_codec.prior.pixel import coding_bits

PATCH = 64
# Pixels at the edges of a patch that see too little of its surroundings.
MARGIN = 4
BATCH = 4
LEARNING_RATE = 2e-2
# The run starts on this share of the patches, those with most bits.
FIRST_SHARE = 0.6
# Bits that an integer costs in the loss for each doubling of 1 + its magnitude: about twice what it takes in the file.
BITS_PER_DOUBLING = 4.0


def fit(
    config: PixelConfig,
    state: State,
    tiles_bhwc: np.ndarray,
    bits: int,
    samples: int,
    steps: int,
    progress: Callable[[int], None] = lambda steps_done: None,
) -> Adapter:
    """Adapter of a picture of `samples` samples from some of its tiles, in `steps` steps."""
    seen = observe(tiles_bhwc.astype(np.float64), bits).float()
    patches = seen.changed(_patches)
    chance = torch.Generator()
    with private_random():
        prior = import_pixel(config, state)
        # Threads that adapt at once must not draw from each other's numbers.
        chance.set_state(torch.get_rng_state())
    with torch.no_grad():
        rates = [coding_bits(prior, patches[i : i + 1], MARGIN).mean() for i in range(len(patches.samples))]
    order = torch.stack(rates).argsort(descending=True)
    added = attach(prior, chance)
    optimiser = torch.optim.Adam(added.values(), lr=LEARNING_RATE, betas=(0.9, 0.98))
    for step in range(steps):
        share = step / steps
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - share)
        pool = max(1, round(len(order) * min(1.0, FIRST_SHARE + share)))
        chosen = order[torch.randint(pool, (min(BATCH, pool),), generator=chance)]
        rate = coding_bits(prior, patches[chosen], MARGIN).mean()
        loss = rate + _description(added) / samples
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress(step + 1)
    return collect(added)


def _description(added: Mapping[str, Tensor]) -> Tensor:
    """About how many bits the integers of the changes take."""
    doublings = [torch.log2(1 + x.abs() * 2.0 ** unit_bits(part)).sum() for part, x in added.items()]
    return BITS_PER_DOUBLING * torch.stack(doublings).sum()


def _patches(x_bhwc: Tensor) -> Tensor:
    """[N, PATCH, PATCH, C] of all tiles; what is left at their right and bottom edges is not used."""
    side = min(PATCH, *x_bhwc.shape[1:3])
    parts = x_bhwc.unfold(1, side, side).unfold(2, side, side)
    return parts.permute(0, 1, 2, 4, 5, 3).flatten(0, 2).contiguous()
