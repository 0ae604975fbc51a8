"""`python -m arpc_codec.bench.rate DIR`: coded against raw active bits per scale, with and without context head."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from ..codecs.arpc import ArpcCodec
from ..codecs.coded import CodedScale
from ..codecs.tiles import TILE
from ..codecs.tokens import Walk
from ..entropy import bits_cost
from ..exact.prior import ExactPrior
from ..imageio import read
from ..prior.context import PHASES
from ..prior.model import Prior
from ..scales import raw_bits
from ..tokenizer import STRIDE
from ..train.data import to_tensor
from ..train.prior import Batch, scale_losses
from ..train.weights import load_config, load_prior
from .codewords import published_bits
from .run import pictures


@torch.inference_mode()
def coded_scales(codec: ArpcCodec, pixels_hw3: np.ndarray) -> list[CodedScale]:
    """All scales of one untiled picture."""
    plan = codec.layout(*pixels_hw3.shape[:2])
    h, prior = codec.analyse(pixels_hw3), codec.priors.own(plan)
    return codec.encode_tile(h, plan.tiles[0], plan, prior, len(plan.schedule))


@torch.inference_mode()
def rate_per_scale(codec: ArpcCodec, pixels_hw3: np.ndarray, coded: list[CodedScale]) -> np.ndarray:
    """[K, 6] bits of one untiled picture: raw, sealed stream, ideal; of the trunk alone sealed, ideal, as published."""
    plan = codec.layout(*pixels_hw3.shape[:2])
    schedule, prior = plan.schedule, codec.priors.own(plan)
    trunk_walk = Walk(prior, codec.tokenizer.quantizer, schedule)
    rows = []
    for scale, raw in zip(coded, raw_bits(schedule, trunk_walk.active), strict=True):
        ideal = bits_cost(scale.bits.astype(np.int32), scale.values)
        trunk, _ = trunk_walk.predict()
        tokens_hwd = torch.from_numpy(scale.tokens_hwd).to(prior.device)
        active, known = trunk_walk.active[scale.scale], tokens_hwd.flatten(0, 1)
        said = [prior.bit_logit(trunk.flatten(0, 1), None, known, bit, trunk_walk.after) for bit in range(active)]
        counts = prior.counts(torch.stack(said, 1)).cpu().numpy()
        tokens = known[:, :active].cpu().numpy()
        drawn, counted = tokens.flatten(), counts.flatten().astype(np.uint16)
        # Everything in one phase: without a context head nothing waits for anything.
        alone = replace(scale, bits=drawn, values=counted, ends=(len(drawn),) * len(PHASES))
        trunk_walk.advance(trunk_walk.code(tokens_hwd))
        sealed = [8 * len(one.segment(codec.bundle.fingerprint)) for one in (scale, alone)]
        of_trunk = (sealed[1], bits_cost(drawn.astype(np.int32), counted), published_bits(tokens, counts))
        rows.append((raw, sealed[0], ideal, *of_trunk))
    return np.array(rows, dtype=float)


@torch.inference_mode()
def float_bits(codec: ArpcCodec, prior: Prior, pixels_hw3: np.ndarray, coded: list[CodedScale]) -> float:
    """Ideal bits of the same tokens by the float prior that the exact one was made from."""
    height, width = (-(-side // STRIDE) * STRIDE for side in pixels_hw3.shape[:2])
    pad = ((0, height - pixels_hw3.shape[0]), (0, width - pixels_hw3.shape[1]), (0, 0))
    x = to_tensor([np.pad(pixels_hw3, pad, mode="edge")])
    batch = Batch.plain(x, codec.tokenizer)
    tokens = [torch.from_numpy(scale.tokens_hwd)[None] for scale in coded]
    nats, _ = scale_losses(prior, codec.tokenizer, batch, choose=lambda _residual, scale, _z: tokens[scale])
    raw = raw_bits(batch.schedule, codec.tokenizer.quantizer.active(len(batch.schedule)))
    return sum(r * n.item() for r, n in zip(raw, nats, strict=True)) / math.log(2)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="tiny", show_default=True)
@click.option("--float-prior", type=click.Path(dir_okay=False, path_type=Path), help="Also: what exactness costs.")
@click.option("--config", default="tiny", show_default=True, help="Training config of the float prior.")
@click.option("--json", "target", type=click.Path(dir_okay=False, path_type=Path), help="Also write the sums here.")
def main(folder: Path, model: str, float_prior: Path | None, config: str, target: Path | None) -> None:
    """Print the table for pictures that share one schedule (others are counted with those of as many scales)."""
    codec = ArpcCodec.load(model)
    if not isinstance(codec.bundle.prior, ExactPrior):
        raise click.UsageError(f"model {model} has a float prior, and this table is of integer probabilities")
    prior = None if float_prior is None else load_prior(load_config(config), float_prior)
    ratios = []
    sums: dict[int, np.ndarray] = {}
    count: dict[int, int] = {}
    for path in track(pictures(folder), console=Console(stderr=True), description="coding"):
        pixels = read(path).pixels
        if max(pixels.shape) > TILE * STRIDE:
            raise click.UsageError(f"{path} is larger than one tile of {TILE * STRIDE} pixels")
        coded = coded_scales(codec, pixels)
        rows = rate_per_scale(codec, pixels, coded)
        if prior is not None:
            ratios.append(rows[:, 2].sum() / float_bits(codec, prior, pixels, coded))
        sums[len(rows)] = sums.get(len(rows), np.zeros_like(rows)) + rows
        count[len(rows)] = count.get(len(rows), 0) + 1
    for total, rows in sorted(sums.items()):
        click.echo(f"{total} scales, {count[total]} pictures\n")
        click.echo("| scale | raw bits | sealed / raw | ideal / raw | trunk alone / raw | up to here: sealed / raw |")
        click.echo("|---|---|---|---|---|---|")
        running = np.cumsum(rows, 0)
        for i, (raw, sealed, ideal, _, alone, _) in enumerate(rows):
            share = f"{sealed / raw:.3f} | {ideal / raw:.3f} | {alone / raw:.3f}"
            click.echo(f"| {i + 1} | {raw / count[total]:.0f} | {share} | {running[i, 1] / running[i, 0]:.3f} |")
        published, whole, trunk = rows[:, 5].sum(), rows[:, 1].sum(), rows[:, 3].sum()
        click.echo(
            f"\nthe same tokens coded as published, by the trunk alone: {published / count[total]:.0f} bits a picture"
        )
        click.echo(
            f"one stream a scale {trunk / published - 1:+.1%}, with the context head {whole / published - 1:+.1%}"
        )
    if ratios:
        click.echo(f"\nideal bits, exact / float: mean {np.mean(ratios):.6f}, {min(ratios):.6f} to {max(ratios):.6f}")
    if target is not None:
        target.write_text(json.dumps({str(k): v.tolist() for k, v in sums.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
