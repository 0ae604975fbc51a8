"""Train analysis and synthesis of a tokenizer of planes on rate and squared error.

At every level the latent is divided by the steps that its channels have when so many of the last scales are missing,
rounded with a dead zone, and decoded. What the tokens of the scales will cost is estimated by `LightContext`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from arpc_codec.errors import ModelError
from arpc_codec.tokenizer import MultiScalePlanes, Tokenizer, channels_last
from arpc_codec.tokenizer.planes import integers
from arpc_codec.tokenizer.progic import ProgicDecoder, ProgicEncoder
from arpc_codec.train.data import CropMix, CropSampler, Photos, random_crop, to_tensor
from arpc_codec.train.light import LightContext, logistic_bits
from arpc_codec.train.linear import SIDE, fit_components, fit_draft, refine_means
from arpc_codec.train.loop import LoopConfig, Metrics, run
from arpc_codec.train.muon import DECODER_KERNELS, ENCODER_KERNELS
from arpc_codec.train.validation import whole_photos

# Pixel values (0..255), in an orthonormal transform of 16x16 pixels, of one unit of the latent.
UNIT = 76.0
# A bit is worth a squared error of so many step^2. Of a uniform quantizer at high rates it would be 0.13; noise instead
# of rounding makes bits look dearer than they are, and latents shrank.
WORTH = 0.09
# What a bit more or less costs is seen beside noise of so many steps on both sides: what is rounded to 0 exactly would
# not be drawn to it, and latents grow without end (dev/LOG.md).
NOISE = 0.25
# Levels weigh as (step / finest)^this: distortion over step^2 alone would leave the low rates a tenth of the weight.
EVEN = 1.3
# Errors of colour differences weigh more than in red, green and blue: colour steps in skies and skin are seen first.
CHROMA = 1.25
# How much finer the steps of a cell's mean are, of its light and of its colours.
MEANS = (1.25, 2.0)
# Spreads are not told apart below this part of the finest step.
LEAST_SPREAD = 0.5

RATES = {"encoder.linear": 0.02, "encoder": 0.7, "decoder.linear": 0.02}
KERNELS = (*ENCODER_KERNELS, *DECODER_KERNELS, "light.around", "light.mix", "light.up")


@dataclass(frozen=True)
class TokenizerTraining:
    """lr: of kernels with Muon, and of everything else with AdamW."""

    crops: CropMix = ((192, 192, 6, 0.6), (256, 384, 2, 0.25), (512, 384, 1, 0.15))
    lr: float = 2e-3
    save_minutes: float = 4.0


class Rated(nn.Module):
    """A tokenizer's networks beside the one that estimates its rate, in one checkpoint.

    Raises ModelError for a tokenizer without steps.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        if not tokenizer.config.steps:
            raise ModelError("only a tokenizer whose tokens are integers is trained here: its config has no steps")
        assert isinstance(tokenizer.encoder, ProgicEncoder)
        assert isinstance(tokenizer.decoder, ProgicDecoder)
        assert isinstance(tokenizer.quantizer, MultiScalePlanes)
        # In a list, so that its weights have one name.
        self.encoder, self.decoder, self.tokenizer = tokenizer.encoder, tokenizer.decoder, [tokenizer]
        # [levels, C], and of each level the mean.
        repeats = tokenizer.config.repeats
        self.steps = torch.stack([tokenizer.quantizer.settled(level, repeats) for level in range(repeats)])
        had = self.steps.isfinite()
        self.means = (self.steps.where(had, 1.0).log().sum(1) / had.sum(1)).exp()
        self.light = LightContext(tokenizer.config.channels, len(self.steps))

    def forward(self, x: Tensor, level_b: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
        """(pictures decoded at a level each, bits a pixel [B])."""
        y = self.encoder(x).float()
        step = self.steps.to(x.device)[level_b][..., None, None]
        q = integers(y.detach() / step)
        # What a level leaves out must not be told how it would be wanted.
        z = torch.where(step.isfinite(), y, 0.0)
        z = z + (quantised(y, step) - z).detach()
        mean, width = self.light(q, level_b)
        bits = logistic_bits(q, mean, width)
        if self.training:
            # The light network learns from integers: beside noise it would take what is rounded to 0 for less sure.
            values = torch.where(step.isfinite(), y / step + NOISE * (2 * torch.rand_like(y) - 1), 0.0)
            beside = logistic_bits(values, mean.detach(), width.detach())
            bits = bits + beside - beside.detach()
        bits = bits / x[0, 0].numel()
        z = self.tokenizer[0].decoder_input(z, seed).contiguous(memory_format=torch.channels_last)
        return self.decoder(z, level_b).float(), bits


def quantised(y: Tensor, step: Tensor) -> Tensor:
    """Nearest multiples of steps; 0 of infinite ones."""
    return integers(y / step) * step.where(step.isfinite(), 0.0)


def colours() -> Tensor:
    """[3, 3] of red, green and blue: a rotation to a luma and two colour differences, which weigh CHROMA times."""
    axes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
    axes = axes / axes.norm(dim=1, keepdim=True)
    return axes * torch.tensor([1.0, CHROMA, CHROMA])[:, None]


@torch.no_grad()
def start(model: Rated, photos: Photos, pictures: int = 240, side: int = SIDE) -> None:
    """The best linear transform codec: components of the pictures, their spreads, least squares back to pixels."""
    rng = np.random.default_rng(0)
    x = to_tensor([random_crop(rng, photos, (side, side)) for _ in range(pictures)])
    encoder, decoder = model.encoder, model.decoder
    assert isinstance(encoder, ProgicEncoder)
    assert isinstance(decoder, ProgicDecoder)
    assert encoder.spread is not None
    assert decoder.spread is not None
    fit_components(encoder.linear, x, 127.5 / UNIT, colours())
    refine_means(encoder.linear, *MEANS)
    y = torch.cat([encoder(part) for part in x.split(24)]).contiguous()
    spread = y.std((0, 2, 3))
    for network in (encoder, decoder):
        assert network.spread is not None
        # Channels of texture come first, and no encoder's network makes them.
        network.spread.copy_(spread.clamp_min(LEAST_SPREAD)[-len(network.spread) :, None, None])

    fit_draft(decoder, (quantised(y, step[:, None, None]) for step in model.steps), x)
    for level, step in enumerate(model.steps):
        model.light.bias[level, :, 1] = torch.log(0.5 * (spread / step).clamp_min(0.08))


def train_tokenizer(
    model: Rated, photos: tuple[Photos, Photos], folder: Path, minutes: float, setup: TokenizerTraining
) -> dict[str, Tensor]:
    """Train within `minutes`; returns the averaged weights, those of the tokenizer under its own names."""
    train, held = photos
    channels_last(model)
    device = next(model.parameters()).device
    sampler, colour, steps = (
        CropSampler(train, setup.crops, device),
        colours().to(device),
        model.means,
    )

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 1))
        x = sampler.draw(rng)
        level_b = torch.from_numpy(rng.integers(len(steps), size=len(x)))
        x_hat, bits = model(x, level_b.to(device), seed=1 + index * len(x))
        with torch.autocast(device.type, enabled=False):
            error = torch.einsum("ij,bjhw->bihw", colour, (x_hat - x) * 127.5).square().sum(1).mean((1, 2))
            own = steps[level_b].to(device)
            loss = (error / (own * UNIT) ** 2 + WORTH * bits) * (own / steps.min()) ** EVEN
        return 10 * loss.mean(), {"error": error.mean().item(), "bpp": bits.mean().item()}

    config = LoopConfig(
        minutes=minutes,
        lr=setup.lr,
        muon=KERNELS,
        save_minutes=setup.save_minutes,
        ema_half_life=250,
    )
    return run(model, step, folder, config, validate=lambda m: validate(m, held), rates=RATES).state


@torch.no_grad()
def validate(model: nn.Module, held: Photos) -> Metrics:
    """Bits a pixel by the light network and PSNR of held-out photos at every level."""
    assert isinstance(model, Rated)
    photos, device = whole_photos(held), next(model.parameters()).device
    result: Metrics = {}
    for level in range(len(model.steps)):
        for photo in photos:
            x = to_tensor([photo], device)
            x_hat, bits = model(x, torch.tensor([level], device=device))
            psnr = -10 * float(torch.log10(((x_hat.clamp(-1, 1) - x) / 2).square().mean()))
            for name, value in (("bpp", bits.item()), ("psnr", psnr)):
                key = f"val_{name}{level}"
                result[key] = result.get(key, 0.0) + value / len(photos)
    return result


@torch.no_grad()
def count_tokens(tokenizer: Tokenizer, photos: Photos, pictures: int = 160, side: int = 384) -> None:
    """Tell the quantizer how often each bit is 1, from random crops. Raises ModelError when no photo holds one."""
    quantizer, rng, pool = tokenizer.quantizer, np.random.default_rng(0), photos.holding((side, side))
    device = next(tokenizer.parameters()).device
    assert isinstance(quantizer, MultiScalePlanes)
    found: list[list[Tensor]] = [[] for _ in quantizer.steps]
    for _ in range(pictures):
        x = to_tensor([random_crop(rng, pool, (side, side))], device)
        h = tokenizer.encoder(x).contiguous()
        schedule = tokenizer.schedule(h.shape[-2], h.shape[-1])
        for scale, bits in enumerate(quantizer(h, schedule).bits):
            found[min(len(schedule) - 1 - scale, len(found) - 1)].append(bits.flatten(0, 2).cpu())
    for level, bits in enumerate(found):
        if bits:
            quantizer.count(bits, level)
        elif level:
            # Only pictures larger than these crops have it.
            quantizer.chances[level] = quantizer.chances[level - 1]
