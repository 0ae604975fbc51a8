"""The multi-scale quantizer against the reference vectors and its own rules."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from arpc_codec.scales import scale_schedule
from arpc_codec.scales.resample import bilinear
from arpc_codec.tokenizer import MultiScaleBSQ, Tokenizer, TokenizerConfig


def latent(rows: int, cols: int) -> torch.Tensor:
    return 0.4 * torch.randn(2, 16, rows, cols, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("group", ["sq256", "r150", "sq512", "r125h"])
def test_published_quantizer_bits(shared_dir: Path, group: str) -> None:
    folder = shared_dir / "reference" / "infinity-tiny"
    vectors = load_file(folder / "vectors.safetensors")
    sizes = json.loads((folder / "config.json").read_text("utf-8"))["groups"][group]["scale_schedule"]
    schedule = tuple((h, w) for _, h, w in sizes)
    quantizer = MultiScaleBSQ(16, fill=-1.0, learned_gains=False, masked=False)
    bits, prefixes = quantizer(vectors[f"{group}.h"], schedule)
    for index, found in enumerate(bits):
        assert torch.equal(found, vectors[f"{group}.bits.{index:02}"].bool()), index
    # Interpolation weights on the 2^-12 grid instead of float32.
    assert torch.allclose(prefixes[-1], vectors[f"{group}.z_encode"], atol=2e-3)


def test_accumulated_bits_give_the_encoder_sum() -> None:
    quantizer = MultiScaleBSQ(16)
    h = latent(10, 14)
    schedule = scale_schedule(10, 14)
    bits, prefixes = quantizer(h, schedule)
    z = torch.zeros(h.shape, dtype=torch.float64)
    for scale, (b, prefix) in enumerate(zip(bits, prefixes, strict=True)):
        z += bilinear(quantizer.code(b, scale, schedule).detach(), schedule[-1])
        assert torch.allclose(z.float(), prefix, atol=1e-5)


def test_masked_channels_take_the_fill_value() -> None:
    for fill in (0.0, -1.0):
        quantizer = MultiScaleBSQ(16, fill=fill)
        schedule = scale_schedule(8, 8)
        _, prefixes = quantizer(latent(8, 8), schedule)
        magnitude = float(quantizer.magnitude(schedule[0], schedule[-1]).detach())
        assert torch.allclose(prefixes[0][:, 8:], torch.full((), fill * magnitude), atol=1e-6)


def test_more_scales_never_hurt_much_and_help_in_the_end() -> None:
    quantizer = MultiScaleBSQ(16)
    h = latent(16, 16)
    _, prefixes = quantizer(h, scale_schedule(16, 16))
    errors = [float((h - z).square().mean()) for z in prefixes]
    assert all(after < 1.1 * before for before, after in pairwise(errors))
    assert errors[-1] < 0.5 * errors[0]


def test_flips_change_sums_but_not_targets() -> None:
    quantizer = MultiScaleBSQ(16)
    h, schedule = latent(8, 8), scale_schedule(8, 8)
    clean = quantizer(h, schedule)
    torch.manual_seed(0)
    noisy = quantizer(h, schedule, [0.3] * len(schedule))
    assert torch.equal(clean.bits[0], noisy.bits[0])
    assert not torch.equal(clean.prefixes[0], noisy.prefixes[0])


def test_flips_touch_active_bits_only_and_all_pictures() -> None:
    quantizer = MultiScaleBSQ(16, fill=-1.0)
    schedule = scale_schedule(16, 16)
    h = latent(16, 16)
    torch.manual_seed(0)
    bits, prefixes = quantizer(h, schedule, [1.0] + [0.0] * (len(schedule) - 1))
    clean = quantizer(h, schedule)
    active = quantizer.active(len(schedule))[0]
    assert torch.equal(prefixes[0][:, active:], clean.prefixes[0][:, active:])
    assert torch.equal(prefixes[0][:, :active], -clean.prefixes[0][:, :active])
    # Later residuals are those of the corrupted sum.
    assert not torch.equal(bits[1], clean.bits[1])
    share = []
    for rate in (0.1, 0.3):
        _, noisy = quantizer(h, schedule, [0.0] * (len(schedule) - 1) + [rate])
        changed = noisy[-1] != clean.prefixes[-1]
        share.append(changed.flatten(1).float().mean(1))
        assert (abs(share[-1] - rate) < 0.03).all()


def test_magnitudes_are_on_the_grid_and_gains_get_gradients() -> None:
    quantizer = MultiScaleBSQ(16)
    for size in ((1, 1), (3, 5), (20, 29), (32, 48)):
        value = quantizer.magnitude(size, (32, 48)).detach()
        assert float(value) * 4096 == round(float(value) * 4096)
    _, prefixes = quantizer(latent(8, 8), scale_schedule(8, 8))
    prefixes[-1].square().mean().backward()
    assert quantizer.gain_knots.grad is not None
    assert quantizer.gain_knots.grad.abs().sum() > 0


def test_networks_keep_shapes_and_know_missing_scales() -> None:
    config = TokenizerConfig(
        encoder_widths=(8, 8), encoder_depths=(1, 1), decoder_widths=(4, 4, 8, 8), decoder_depths=(1, 1, 1, 1)
    )
    model = Tokenizer(config)
    torch.nn.init.normal_(model.decoder.modulation.weight)
    torch.nn.init.normal_(model.decoder.out.weight)
    h = model.encoder(torch.zeros(1, 3, 48, 80))
    assert h.shape == (1, 16, 3, 5)
    pictures = [
        model.decoder(h, model.state(missing, filled)) for missing, filled in ((0, False), (3, False), (3, True))
    ]
    assert pictures[0].shape == (1, 3, 48, 80)
    assert not torch.equal(pictures[1], pictures[2])
    assert int(model.state(0, True)) == int(model.state(0, False))
