"""The first stage: a linear codec to begin with, rates that are told in order, and a trainer that runs and improves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.errors import ModelError
from arpc_codec.scales import halved_schedule
from arpc_codec.tokenizer import MultiScalePlanes, Tokenizer, TokenizerConfig
from arpc_codec.tokenizer.planes import CHANCES
from arpc_codec.train import loop
from arpc_codec.train import tokenizer as trainer
from arpc_codec.train.data import Photos, to_tensor
from arpc_codec.train.light import LightContext, logistic_bits
from arpc_codec.train.linear import fit_components, fit_draft, refine_means
from arpc_codec.train.tokenizer import (
    KERNELS,
    UNIT,
    WORTH,
    Rated,
    TokenizerTraining,
    colours,
    count_tokens,
    start,
    train_tokenizer,
)
from arpc_codec.train.weights import deeper

CHANNELS = 12
CONFIG = TokenizerConfig(
    channels=CHANNELS,
    encoder_widths=(8, 8),
    encoder_depths=(1, 1),
    decoder_widths=(8, 8, 8, 8),
    decoder_depths=(1, 1, 1, 1),
    noise=2,
    steps=(1.0, 1.6, 2.5, 5.0, 5.0, 2.4, 2.5),
    active=(12, 12, 12, 8, 5, 5, 2),
    resting=(0, 0, 0, 5, 0, 0, 0),
    groups=(2, 5, 8, 12),
    trade=0.13,
)
SETUP = TokenizerTraining(crops=((96, 96, 2, 1.0),))


@pytest.fixture(scope="module")
def photos(picture: Callable[..., np.ndarray]) -> tuple[Photos, Photos]:
    """Sixteen small pictures to train on, one of 512x384 held out."""
    train = [picture(128, 160, seed) for seed in range(16)]
    return Photos([str(i) for i in range(16)], train), Photos(["held"], [picture(384, 512, 99)])


def started(photos: tuple[Photos, Photos], config: TokenizerConfig = CONFIG) -> Rated:
    torch.manual_seed(0)
    model = Rated(Tokenizer(config))
    start(model, photos[0], pictures=24, side=96)
    return model


def crops(photos: tuple[Photos, Photos]) -> Tensor:
    return to_tensor([picture[:96, :96] for picture in photos[0].pictures[:6]])


@torch.no_grad()
def worths(model: Rated, x: Tensor) -> Tensor:
    """What is minimised, of every level, without the weights of colours."""
    found = []
    for level, step in enumerate(model.means):
        x_hat, bits = model(x, torch.full((len(x),), level))
        error = ((x_hat - x) * 127.5).square().sum(1).mean()
        found.append(error / (step * UNIT) ** 2 + WORTH * bits.mean())
    return torch.stack(found)


def log(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [line[name] for line in lines if name in line]


# -- the start ---------------------------------------------------------------------------------------------------------


def test_components_are_orthonormal_in_the_weighed_colours(photos: tuple[Photos, Photos]) -> None:
    x, linear = crops(photos), nn.Conv2d(3 * 256, CHANNELS, 1)
    assert torch.allclose(colours() @ colours().T, torch.diag(colours().square().sum(1)), atol=1e-6)
    fit_components(linear, x, 2.0, colours())
    y = linear(F.pixel_unshuffle(x, 16))
    assert y.mean((0, 2, 3)).abs().max() < 1e-3
    variances = y.var((0, 2, 3))
    assert (variances.diff() <= 1e-3 * variances[0]).all()
    rows = torch.einsum("ocp,cj->ojp", linear.weight.flatten(1).unflatten(1, (3, 256)), torch.linalg.inv(colours()))
    rows = rows.flatten(1)
    assert torch.allclose(rows @ rows.T, 4 * torch.eye(CHANNELS), atol=1e-3)


def test_means_of_a_cell_have_finer_steps() -> None:
    linear, (red, grey) = nn.Conv2d(768, 4, 1), torch.tensor([[1.0, 0.0, -1.0], [1.0, 1.0, 1.0]])
    with torch.no_grad():
        linear.weight[0] = grey.repeat_interleave(256)[:, None, None]
        linear.weight[1] = red.repeat_interleave(256)[:, None, None]
        # Neither a gradient of light nor one of colour is a mean.
        ramp = torch.linspace(-1, 1, 256).repeat(3)
        linear.weight[2] = ramp[:, None, None]
        linear.weight[3] = (ramp * red.repeat_interleave(256))[:, None, None]
    before, bias = linear.weight.clone(), linear.bias.clone()
    refine_means(linear, 1.25, 2.0)
    factors = torch.tensor([1.25, 2.0, 1.0, 1.0])
    assert torch.equal(linear.weight, before * factors[:, None, None, None])
    assert torch.equal(linear.bias, bias * factors)


def test_a_draft_is_the_best_linear_picture(photos: tuple[Photos, Photos]) -> None:
    """What is linear in a neighbourhood is found, at the size at which the path draws."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(CONFIG)
    z = torch.randn(24, CHANNELS, 6, 6)
    with torch.no_grad():
        wanted = F.pixel_shuffle(nn.Conv2d(CHANNELS, 3 * 256, 3, padding=1)(z), 16)
        fit_draft(tokenizer.decoder, [z], wanted)
        found = F.pixel_shuffle(tokenizer.decoder.linear(z), 16)
    assert tokenizer.decoder.linear_size == 1
    assert (found - wanted).square().mean() < 1e-3 * wanted.square().mean()


def test_linear_start_is_a_codec_already(photos: tuple[Photos, Photos]) -> None:
    model, x = started(photos), crops(photos)
    errors, rates = [], []
    with torch.no_grad():
        for level in range(len(model.steps)):
            x_hat, bits = model(x, torch.full((len(x),), level))
            errors.append(float((x_hat - x).square().mean()))
            rates.append(float(bits.mean()))
        y = model.encoder(x)
    assert errors == sorted(errors)
    assert rates == sorted(rates, reverse=True)
    assert errors[0] < 0.1 * float((x - x.mean()).square().mean())
    # Deep paths see every channel in units of its spread, those of next to none in half a step.
    spread = model.encoder.spread
    assert spread.shape == (CHANNELS, 1, 1)
    assert torch.equal(spread, model.decoder.spread)
    assert spread.min() >= 0.5
    assert torch.allclose(y.std((0, 2, 3)).clamp_min(0.5), spread.flatten(), rtol=0.5)


def test_signs_are_trained_elsewhere() -> None:
    with pytest.raises(ModelError, match="has no steps"):
        Rated(Tokenizer(TokenizerConfig()))


# -- rates -------------------------------------------------------------------------------------------------------------


def test_rates_are_told_in_raster_order() -> None:
    """What a value costs depends on the rows above, on cells to its left, and on earlier channels of its cell."""
    torch.manual_seed(0)
    light = LightContext(3, 2, width=8, units=4).double().requires_grad_(False)
    for parameter in light.parameters():
        nn.init.normal_(parameter, 0, 0.3)
    q, level = torch.randint(-2, 3, (1, 3, 5, 6)).double(), torch.tensor([1])
    channel, row, col = 1, 2, 3

    def price(shown: Tensor) -> Tensor:
        """Of the value in one place, up to what does not depend on what is shown."""
        values = q.clone()
        values[0, channel, row, col] += 1
        told = light(shown, level)
        return logistic_bits(q, *told) - logistic_bits(values, *told)

    before = price(q)
    for other in range(3):
        for r in range(5):
            for c in range(6):
                shown = q.clone()
                shown[0, other, r, c] += 1
                near = abs(c - col) <= 2 and (row - 2 <= r < row or (r == row and c < col))
                seen = near or ((r, c) == (row, col) and other < channel)
                # Beyond SHOWN and within one tie, a change may be no change: these values are small.
                assert (abs(price(shown) - before).item() > 1e-9) == seen, (other, r, c)


def test_chances_of_all_integers_are_one() -> None:
    torch.manual_seed(0)
    light = LightContext(1, 2)
    nn.init.normal_(light.bias)
    every = torch.arange(-60.0, 61).view(-1, 1, 1, 1)
    for level in range(2):
        bits = logistic_bits(every, *light(torch.zeros_like(every), torch.full((len(every),), level)))
        assert (2.0**-bits).sum().item() == pytest.approx(1, abs=1e-3)


def test_what_rates_are_said_to_be_is_what_integers_cost(photos: tuple[Photos, Photos]) -> None:
    """In training, too, where latents see rates beside noise."""
    model, x = started(photos), crops(photos)[:2]
    level = torch.tensor([0, 3])
    bits = model.train()(x, level)[1]
    assert torch.equal(bits, model.eval()(x, level)[1])


def test_rates_pull_latents_to_what_is_likely(photos: tuple[Photos, Photos]) -> None:
    """The gradient reaches the encoder, though integers have none; so does that of the decoded picture."""
    model, x = started(photos), crops(photos)[:2]
    for output in range(2):
        model.zero_grad()
        model(x, torch.tensor([0, 3]))[output].square().sum().backward()
        assert model.encoder.linear.weight.grad is not None
        assert model.encoder.linear.weight.grad.abs().sum() > 0


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("halved", [False, True])
def test_it_runs_resumes_and_improves(
    halved: bool, photos: tuple[Photos, Photos], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "bfloat16_pays", lambda device_type: halved)
    model, x = started(photos), crops(photos)
    before, linear = worths(model, x), model.encoder.linear.weight.clone()
    train_tokenizer(model, photos, tmp_path, 0.02, SETUP)
    first = json.loads((tmp_path / "state.json").read_text("utf-8"))
    # As after a kill: a network that was never started finds everything, spreads too, in the run folder.
    again = Rated(Tokenizer(CONFIG))
    state = train_tokenizer(again, photos, tmp_path, 0.05, SETUP)
    assert json.loads((tmp_path / "state.json").read_text("utf-8"))["step"] > first["step"] > 0
    assert torch.equal(again.encoder.spread, model.encoder.spread)
    again.load_state_dict(state)
    assert (worths(again, x) < before).all()
    assert log(tmp_path, "bpp")
    moved = (again.encoder.linear.weight - linear).norm() / linear.norm()
    assert 0 < moved < 0.1
    # Every level is judged on held-out pictures: the finer its step, the more bits for less error.
    bits, psnr = ([log(tmp_path, f"val_{name}{level}")[-1] for level in range(5)] for name in ("bpp", "psnr"))
    assert bits == sorted(bits, reverse=True)
    assert psnr == sorted(psnr, reverse=True)


def test_muon_moves_kernels_of_deep_paths_only() -> None:
    names = dict(Rated(Tokenizer(CONFIG)).named_parameters())
    chosen = {name for name in names if name.startswith(KERNELS) and name.endswith("weight")}
    assert all(any(name.startswith(prefix) for name in names) for prefix in KERNELS)
    assert not any("linear" in name or "modulation" in name or "level" in name for name in chosen)
    assert {"encoder.out.weight", "decoder.stem.weight", "light.around.weight"} <= chosen
    # What every output pixel shares is no kernel of a deep path.
    assert "decoder.out.weight" not in chosen


def test_counts_are_of_the_tokens_of_crops(photos: tuple[Photos, Photos], monkeypatch: pytest.MonkeyPatch) -> None:
    model = started(photos)
    tokenizer = model.tokenizer[0]
    quantizer = tokenizer.quantizer
    assert isinstance(quantizer, MultiScalePlanes)
    given = [picture[:96, :96] for picture in photos[0].pictures[:6]]
    remaining = iter(given)
    monkeypatch.setattr(trainer, "random_crop", lambda rng, pool, size: next(remaining))
    count_tokens(tokenizer, photos[0], pictures=6, side=96)
    assert (quantizer.chances * CHANCES).frac().abs().max() == 0
    schedule = halved_schedule(6, 6, 5)
    bits = quantizer(tokenizer.encoder(to_tensor(given)).contiguous().detach(), schedule).bits
    for after in range(5):
        # The first bits of each group are asked of every token.
        other = bits[-1 - after][..., :2].flatten(0, 2)
        wanted = (other.sum(0) + 0.4) / (len(other) + 0.8)
        assert torch.allclose(quantizer.chances[after, :2], wanted, atol=0.02)
    assert quantizer.chances[0, :2].min() > 0.05
    # Scales beyond the last level are counted with it.
    coarse = torch.cat([tokens[..., :2].flatten(0, 2) for tokens in bits[:-6]])
    wanted = (coarse.sum(0) + 0.4) / (len(coarse) + 0.8)
    assert torch.allclose(quantizer.usual(0, schedule)[:2].float(), wanted, atol=0.02)


@pytest.mark.parametrize("changed", [{"encoder_depths": (3, 2)}, {"decoder_depths": (2, 1, 3, 1)}])
def test_a_deeper_network_starts_as_the_one_that_it_grows_from(
    changed: dict[str, tuple[int, ...]], photos: tuple[Photos, Photos]
) -> None:
    small = started(photos)
    for name, parameter in small.named_parameters():
        if "conv2" in name or "modulation" in name:
            nn.init.normal_(parameter, std=0.3)
    large = Rated(Tokenizer(replace(CONFIG, **changed)))
    assert sum(p.numel() for p in large.parameters()) > sum(p.numel() for p in small.parameters())
    large.load_state_dict(deeper(small.state_dict(), large))
    x, level_b = crops(photos), torch.tensor([0, 1, 2, 3, 4, 4])
    with torch.no_grad():
        for found, expected in zip(large.eval()(x, level_b), small.eval()(x, level_b), strict=True):
            assert torch.equal(found, expected)


def test_what_is_no_block_is_not_made_up(photos: tuple[Photos, Photos]) -> None:
    model = started(photos)
    lacking = {name: value for name, value in model.state_dict().items() if name != "decoder.stem.weight"}
    with pytest.raises(RuntimeError, match=r"decoder\.stem\.weight"):
        model.load_state_dict(deeper(lacking, model))
