"""One scale whose logits are given, read back through noise: never wrong below the guard, noticed above it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from arpc_codec.codecs.coded import segment
from arpc_codec.codecs.tokens import Walk, decode_scale, encode_scales
from arpc_codec.entropy.guard import grid_counts
from arpc_codec.errors import FormatError
from arpc_codec.prior.coding import NoPrior
from arpc_codec.tokenizer import MultiScaleBSQ


class Given(NoPrior):
    """A float prior whose logits are given, and may be off by some noise."""

    guarded = True

    def __init__(self, quantizer: MultiScaleBSQ, logits_hwd: Tensor) -> None:
        super().__init__(quantizer, torch.device("cpu"))
        object.__setattr__(self, "said", logits_hwd)

    def step(self, *args: object) -> tuple[Tensor, Tensor]:
        return self.said, torch.empty(0)  # type: ignore[attr-defined]

    def counts(self, logits: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(grid_counts(logits.numpy())))


def arrives(seed: int, guard: float, noise: float, phases: int) -> bool | None:
    """Whether one scale of 36 tokens comes back; None when the check byte caught that it did not."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2.5 * torch.randn(6, 6, 16, generator=generator, dtype=torch.float64)
    bits = torch.rand(6, 6, 16, generator=generator) < 0.5
    quantizer, schedule = MultiScaleBSQ(16, masked=False), ((6, 6),)
    scale = encode_scales(Walk(Given(quantizer, logits), quantizer, schedule), [bits])[0]
    moved = logits + noise * (2 * torch.rand(logits.shape, generator=generator, dtype=torch.float64) - 1)
    walk = Walk(Given(quantizer, moved), quantizer, schedule, bytes(32))
    try:
        found = decode_scale(walk, segment([scale], bytes(32), schedule, phases, guard), phases)
    except FormatError:
        return None
    sent = torch.zeros(6, 6, dtype=torch.bool)
    for row, col in ((0, 0), (1, 1), (0, 1), (1, 0))[:phases]:
        sent[row::2, col::2] = True
    return torch.equal(found[sent], bits[sent])


@settings(max_examples=150)
@given(st.integers(0, 2**32), st.floats(1e-9, 0.12), st.integers(1, 4))
def test_a_scale_arrives_through_noise_below_its_guard(seed: int, guard: float, phases: int) -> None:
    assert arrives(seed, guard, 0.999999 * guard, phases)


@pytest.mark.parametrize(("count", "most"), [(100, 4), pytest.param(400, 8, marks=pytest.mark.thorough)])
def test_noise_above_the_guard_is_noticed(count: int, most: int) -> None:
    """255 of 256 wrong scales, with fixed seeds: of about 400 wrong ones 1.6 are expected to pass."""
    outcomes = [arrives(seed, 1e-4, 0.02, 4) for seed in range(count)]
    caught, missed = outcomes.count(None), outcomes.count(False)
    assert caught + missed > 0.75 * count
    assert missed <= most
