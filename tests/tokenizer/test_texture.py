"""Channels of texture: what they say of known pictures, where they stand, and that a step of their own leaves none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from arpc_codec.errors import ModelError
from arpc_codec.scales import STRIDE
from arpc_codec.tokenizer import MultiScalePlanes, Tokenizer, TokenizerConfig
from arpc_codec.tokenizer.progic import ProgicConfig
from arpc_codec.tokenizer.texture import CHANNELS, UNITS, texture
from arpc_codec.train.data import Photos, to_tensor
from arpc_codec.train.tokenizer import Rated, start

CONFIG = TokenizerConfig(
    channels=8 + CHANNELS,
    encoder_widths=(8, 8),
    encoder_depths=(1, 1),
    decoder_widths=(8, 8, 8, 8),
    decoder_depths=(0, 1, 1, 1),
    texture=True,
    steps=(UNITS / 2, UNITS, 5.0),
    active=(10, 10, 10),
    resting=(0, 0, 2),
    groups=(1, 2, 5, 10),
    repeats=3,
)


def stripes(period: int, strength: float = 0.1) -> torch.Tensor:
    """[1, 3, 64, 64]: stripes of half a period each."""
    columns = torch.arange(64) // (period // 2) % 2
    return (strength * (2.0 * columns - 1)).expand(1, 3, 64, 64)


def test_twice_the_contrast_is_a_factor_of_two() -> None:
    weak, strong = texture(stripes(2, 0.2)), texture(stripes(2, 0.4))
    # There is nothing coarse in stripes of two pixels; the floor is a little of the fine.
    assert torch.allclose((strong - weak)[:, 0], torch.tensor(np.log(2) / 2**0.5 * UNITS).float(), rtol=0.05)
    assert torch.equal(texture(stripes(2, 0.2), halves=True)[:, 0], (weak[:, 0] / UNITS * 2).round() * UNITS / 2)
    assert (strong[:, 0] > weak[:, 0]).all()
    assert (texture(torch.zeros(1, 3, 64, 64))[:, 0] < weak[:, 0]).all()


def test_coarse_stripes_are_told_from_fine_ones() -> None:
    assert (texture(stripes(8))[:, 1] > texture(stripes(2))[:, 1] + UNITS).all()


def test_it_is_that_of_the_cell() -> None:
    x = torch.zeros(1, 3, 64, 64)
    x[..., 32:48, 16:32] = stripes(2, 0.4)[..., :16, :16]
    found = texture(x)
    assert found.shape == (1, CHANNELS, 4, 4)
    # Borders of what is smooth and what is not are detail, too.
    assert found[0, 0].argmax() == 2 * 4 + 1


def test_values_are_half_steps_and_nothing_is_left_of_them(picture: Callable[..., np.ndarray]) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(CONFIG)
    y = tokenizer.encoder(to_tensor([picture(96, 112, 3)])).detach().contiguous()
    assert y.shape == (1, CONFIG.channels, 6, 7)
    assert torch.equal(y[:, :CHANNELS], texture(to_tensor([picture(96, 112, 3)]), halves=True))
    assert torch.equal((y[:, :CHANNELS] / UNITS * 2).round(), y[:, :CHANNELS] / UNITS * 2)
    assert isinstance(tokenizer.quantizer, MultiScalePlanes)
    sums = tokenizer.quantizer(y, tokenizer.schedule(6, 7)).prefixes
    assert not sums[-3][:, :CHANNELS].any()
    assert sums[-2][:, :CHANNELS].any()
    assert torch.equal(sums[-1][:, :CHANNELS], y[:, :CHANNELS])


def test_a_linear_codec_begins_with_it(picture: Callable[..., np.ndarray]) -> None:
    torch.manual_seed(0)
    model = Rated(Tokenizer(CONFIG))
    photos = Photos([str(n) for n in range(8)], [picture(128, 128, n) for n in range(8)])
    start(model, photos, pictures=24, side=96)
    x = to_tensor([photos.pictures[0][:96, :96]])
    x_hat, bits = model(x, torch.zeros(1, dtype=torch.long))
    assert (x_hat - x).square().mean() < 0.1 * (x - x.mean((2, 3), keepdim=True)).square().mean()
    assert bits.isfinite().all()
    assert x.shape[-1] // STRIDE == 6


def test_double_precision_agrees_and_is_finer() -> None:
    """ProGIC settles close choices in float64, which must not be float32 in disguise."""
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64) * 2 - 1
    fine = texture(x)
    assert fine.dtype == torch.float64
    assert torch.allclose(texture(x.float()).double(), fine, atol=1e-5)
    assert not torch.equal(texture(x.float()).double(), fine)


def test_sizes_that_cannot_have_it() -> None:
    with pytest.raises(ModelError, match="texture"):
        TokenizerConfig(texture=True)
    with pytest.raises(ValueError, match="texture"):
        ProgicConfig(channels=CHANNELS, texture=True)
    with pytest.raises(ValueError, match="texture"):
        ProgicConfig(
            channels=160,
            dense=False,
            encoder_widths=(64, 160),
            decoder_widths=(96, 160),
            decoder_depths=(4, 6),
            texture=True,
        )
