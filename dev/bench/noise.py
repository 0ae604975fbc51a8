"""`python -m dev.bench.noise MODEL PICTURE...`: how far apart a float prior's logits come out on one machine.

The same bits, coded in different ways: other thread counts, other kernels, float64, all scales at once. Then what guard
lists cost. `--random WIDTH,DEPTH` takes random weights instead of the model's transformer: their rates mean nothing,
their rounding and the share of listed bits do. `--caption TEXT` conditions the prior; its features are computed anew by
every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.coded import CodedScale
from arpc_codec.codecs.tokens import Walk, encode_scales
from arpc_codec.codecs.verification import computing
from arpc_codec.entropy import BitDecoder, BitEncoder
from arpc_codec.entropy.guard import GuardList, encode_list
from arpc_codec.imageio import read
from arpc_codec.prior.attention import Text
from arpc_codec.prior.coding import FloatPrior
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.transformer import VAR

GUARDS = (1e-5, 1e-4, 3e-4, 1e-3)
QUANTILES = (50.0, 99.0, 99.9)
# Like that of a trained prior (of the bundled one: 2.9).
LOGIT_DEVIATION = 2.5


def random_transformer(config: PriorConfig, seed: int = 0) -> VAR:
    """A transformer whose blocks all matter, with attention as sharp and logits as large as trained ones have."""
    torch.manual_seed(seed)
    trunk = VAR(config)
    with torch.no_grad():
        for module in trunk.modules():
            if isinstance(module, nn.Linear) and not module.weight.any():
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        for block in trunk.stack:
            block.sa.log_scale.uniform_(math.log(4), math.log(100))
        assert isinstance(trunk.head, nn.Linear)
        nn.init.normal_(trunk.head.weight, std=LOGIT_DEVIATION * config.temperature / math.sqrt(2 * config.embed_dim))
        if config.text_channels:
            nn.init.normal_(trunk.text.uncond)
    return trunk.requires_grad_(False).eval()


def tokens(codec: ArpcCodec, pixels_hw3: np.ndarray) -> list[Tensor]:
    """Bits [h, w, d] of every scale of a picture of one tile."""
    bits = codec.tokenizer.quantizer(codec.analyse(pixels_hw3), codec.layout(*pixels_hw3.shape[:2]).schedule).bits
    return [b[0] for b in bits]


def flat_logits(coded: list[CodedScale]) -> np.ndarray:
    """Logits of all coded bits, float64."""
    return np.concatenate([scale.values for scale in coded]).astype(np.float64)


def all_at_once(codec: ArpcCodec, prior: FloatPrior, coded: list[CodedScale], pixels_hw3: np.ndarray) -> np.ndarray:
    """[bits] trunk logits minus the cached ones, from one teacher-forced call; the context head plays no part."""
    plan, quantizer = codec.layout(*pixels_hw3.shape[:2]), codec.tokenizer.quantizer
    trunk_only = replace(prior, context=None)
    walk, stepped = Walk(trunk_only, quantizer, plan.schedule), list[Tensor]()
    for scale in coded:
        stepped.append(walk.predict()[0].flatten(0, 1))
        walk.advance(walk.code(torch.from_numpy(scale.tokens_hwd).to(prior.device)))
    inputs = [x_nd.float()[None] for x_nd in walk.inputs if x_nd is not None]
    forced = prior.trunk(inputs, plan.schedule, None, prior.text, prior.grid)
    pairs = (torch.cat(forced, 1)[0] / prior.trunk.config.temperature).unflatten(-1, (-1, 2))
    return (pairs[..., 1] - pairs[..., 0] - torch.cat(stepped)).flatten().double().numpy()


def list_bytes(coded: list[CodedScale], guard: float) -> tuple[int, float]:
    """(listed bits, bytes that the lists of all scales take)."""
    items, size = 0, 0
    for scale in coded:
        encoder = BitEncoder()
        logits = scale.values.astype(np.float64)
        encode_list(encoder, logits, guard)
        written = encoder.seal()
        size += len(written)
        items += int(GuardList(BitDecoder(written), len(logits)).listed.sum())
    return items, size


@click.command()
@click.argument("model")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--random", "sizes", metavar="W,D", help="Random weights of this width and depth, heads of 64.")
@click.option("--caption", default="", metavar="TEXT", help="Condition the prior on this text.")
@torch.inference_mode()
def main(model: str, pictures: tuple[Path, ...], sizes: str | None, caption: str) -> None:
    """Print tables of differences to the run with one thread, over all coded bits of all pictures."""
    codec = ArpcCodec.load(model)
    trunk = codec.bundle.prior
    if not isinstance(trunk, VAR):
        raise click.UsageError(f"model {model} has an exact prior")
    if sizes is not None:
        width, depth = (int(size) for size in sizes.split(","))
        trunk = random_transformer(replace(trunk.config, embed_dim=width, depth=depth, num_heads=width // 64))
        codec.bundle = replace(codec.bundle, prior=trunk, context=None)
    double = deepcopy(trunk).double()
    runs: dict[str, tuple[Callable[[], AbstractContextManager[None]], bool]] = {
        "2 threads": (lambda: computing(2), False),
        "without oneDNN": (lambda: computing(1, onednn=False), False),
        "2 threads, without oneDNN": (lambda: computing(2, onednn=False), False),
        "float64": (nullcontext, True),
    }
    found: dict[str, list[np.ndarray]] = {}
    bits, costs = 0, dict.fromkeys(GUARDS, np.zeros(2))
    for path in pictures:
        pixels = read(path).pixels
        plan = codec.layout(*pixels.shape[:2])
        schedule = plan.schedule
        with computing(1):
            prior = codec.priors.own(plan, caption)
            assert isinstance(prior, FloatPrior)
            chosen = tokens(codec, pixels)
            reference = encode_scales(Walk(prior, codec.tokenizer.quantizer, schedule), chosen)
            logits = flat_logits(reference)
            found.setdefault("all scales at once", []).append(all_at_once(codec, prior, reference, pixels))
        for name, (context, wide) in runs.items():
            if wide and prior.context is not None:
                continue
            with computing(1), context():
                other = codec.priors.own(plan, caption)
                assert isinstance(other, FloatPrior)
                if wide:
                    text = other.text and Text(other.text.features_btc.double())
                    other = replace(other, trunk=double, text=text)
                again = encode_scales(Walk(other, codec.tokenizer.quantizer, schedule), chosen)
            found.setdefault(name, []).append(flat_logits(again) - logits)
        bits += len(logits)
        for guard in GUARDS:
            costs[guard] = costs[guard] + list_bytes(reference, guard)
    parameters = sum(parameter.numel() for parameter in trunk.parameters())
    click.echo(f"{parameters / 1e6:.1f} M parameters, {bits} bits, logits deviate by {logits.std():.2f}\n")
    click.echo("| run | " + " | ".join(f"p{q:g}" for q in QUANTILES) + " | largest |")
    click.echo("|---|" + "---|" * (len(QUANTILES) + 1))
    for name, parts in found.items():
        apart = np.abs(np.concatenate(parts))
        shown = [*np.percentile(apart, QUANTILES), apart.max()]
        click.echo(f"| {name} | " + " | ".join(f"{value:.1e}" for value in shown) + " |")
    click.echo("\n| guard | listed | bytes of lists | bits a coded bit |\n|---|---|---|---|")
    for guard, (items, size) in costs.items():
        click.echo(f"| {guard:g} | {items:.0f} | {size:.0f} | {8 * size / bits:.5f} |")


if __name__ == "__main__":
    main()
