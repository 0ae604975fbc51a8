"""The lossless prior: causal in the coding order, blind to brightness and contrast."""

from __future__ import annotations

import numpy as np
import torch

from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.observed import Observed
from arpc_codec.prior.pixel import PixelPrior, mixture_bits
from arpc_codec.prior.statistics import tile_statistics
from arpc_codec.prior.wavefront import rank


def prior(channels: int) -> PixelPrior:
    torch.manual_seed(0)
    model = PixelPrior(PixelConfig(channels, width=16, depth=2, head=8)).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    return model


def seen(x: torch.Tensor, mean: torch.Tensor, middle: float = 128.0) -> Observed:
    return Observed(x, x - mean, torch.from_numpy(tile_statistics((x - mean).numpy())), middle)


def test_a_distribution_sees_only_what_is_coded_before() -> None:
    model = prior(3)
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(256, (1, 12, 14, 3), generator=generator).double()
    mean = x + torch.randn(x.shape, generator=generator, dtype=torch.float64)
    row, column = 6, 7
    for place, channel in enumerate(model.order):
        changed = x.clone()
        changed[0, row, column, channel] += 9
        before, after = model(seen(x, mean)), model(seen(changed, mean))
        for other in range(3):
            same = torch.stack([(a == b).all(-1) for a, b in zip(before[other], after[other], strict=True)]).all(0)[0]
            for r in range(12):
                for c in range(14):
                    if rank((r - row, c - column)) < 0:
                        assert same[r, c]
            assert bool(same[row, column]) == (model.order.index(other) <= place)
            assert not same[row, column + 1]


def test_brightness_and_contrast_do_not_matter() -> None:
    """Lighter: the same, shifted. Twice the contrast: about twice as wide."""
    model = prior(1)
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(256, (1, 12, 14, 1), generator=generator).double()
    mean = x + 10 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    one, other = model(seen(x, mean))[0], model(seen(x + 50, mean + 50, 178.0))[0]
    for a, b, shift in zip(one, other, (0.0, 50.0, 0.0), strict=True):
        torch.testing.assert_close(a + shift, b)
    # Some inputs are not divided by how rough the neighbourhood is, so not exactly.
    wide = model(seen(2 * x, 2 * mean, 256.0))[0]
    assert abs(float((wide[2] - one[2]).detach().abs().mean()) - np.log(2)) < 0.1


def test_bits_sum_to_one() -> None:
    generator = torch.Generator().manual_seed(3)
    weight, mean, rate = torch.randn(3, 1, 4, generator=generator, dtype=torch.float64)
    x = torch.arange(-3000.0, 3000.0, dtype=torch.float64)[:, None]
    shape = (len(x), 1, 4)
    bits = mixture_bits(weight.expand(shape), 20 * mean.expand(shape), rate.expand(shape) - 2, x)
    assert abs(float((2**-bits - 2.0**-22).sum()) - 1) < 1e-3
