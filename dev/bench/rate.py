"""`python -m dev.bench.rate DIR`: bytes of each scale, against those by a static model of every channel."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from arpc_codec.bench.run import pictures
from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.coded import CodedScale, segment
from arpc_codec.codecs.tiles import TILE
from arpc_codec.codecs.tokens import Walk, encode_scales
from arpc_codec.entropy import bits_cost
from arpc_codec.exact.prior import ExactPrior
from arpc_codec.imageio import read
from arpc_codec.prior.coding import NoPrior
from arpc_codec.prior.model import Prior
from arpc_codec.scales import raw_bits
from arpc_codec.tokenizer import STRIDE
from arpc_codec.train.data import to_tensor
from arpc_codec.train.prior import Batch, scale_losses
from arpc_codec.train.weights import load_config, load_prior


@torch.inference_mode()
def coded_scales(codec: ArpcCodec, pixels_hw3: np.ndarray) -> list[CodedScale]:
    """All scales of one untiled picture."""
    plan = codec.layout(*pixels_hw3.shape[:2])
    h, prior = codec.analyse(pixels_hw3), codec.priors.own(plan)
    return codec.encode_tile(h, plan.tiles[0], plan, prior, len(plan.schedule))


@torch.inference_mode()
def rate_per_scale(codec: ArpcCodec, pixels_hw3: np.ndarray, coded: list[CodedScale]) -> np.ndarray:
    """[K, 3] bits of one untiled picture: sealed streams, ideal, ideal by what is usual of a channel and scale."""
    quantizer = codec.tokenizer.quantizer
    schedule = codec.layout(*pixels_hw3.shape[:2]).schedule
    static = Walk(NoPrior(quantizer, codec.device), quantizer, schedule)
    usual = encode_scales(static, [torch.from_numpy(scale.tokens_hwd).to(codec.device) for scale in coded])
    rows = [
        (
            8 * len(segment(coded[: scale.scale + 1], codec.bundle.fingerprint, schedule)),
            *(bits_cost(o.bits.astype(np.int32), o.values) for o in pair),
        )
        for scale, pair in ((pair[0], pair) for pair in zip(coded, usual, strict=True))
    ]
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
    raw = raw_bits(batch.schedule, codec.tokenizer.quantizer.coded(batch.schedule))
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
            ratios.append(rows[:, 1].sum() / float_bits(codec, prior, pixels, coded))
        sums[len(rows)] = sums.get(len(rows), np.zeros_like(rows)) + rows
        count[len(rows)] = count.get(len(rows), 0) + 1
    for total, rows in sorted(sums.items()):
        click.echo(f"{total} scales, {count[total]} pictures\n")
        click.echo("| scale | bytes | ideal / static | up to here: bytes | ideal / static |")
        click.echo("|---|---|---|---|---|")
        running = np.cumsum(rows, 0)
        for i, (own, upto) in enumerate(zip(rows, running, strict=True), 1):
            parts = (f"{sealed / 8 / count[total]:.0f} | {ideal / usual:.3f}" for sealed, ideal, usual in (own, upto))
            click.echo(f"| {i} | {' | '.join(parts)} |")
    if ratios:
        click.echo(f"\nideal bits, exact / float: mean {np.mean(ratios):.6f}, {min(ratios):.6f} to {max(ratios):.6f}")
    if target is not None:
        target.write_text(json.dumps({str(k): v.tolist() for k, v in sums.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
