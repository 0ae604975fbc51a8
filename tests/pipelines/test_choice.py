"""Entries chosen by their distance and by what they cost: fewer bits for little distance, files as any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from arpc_codec.train.choice import chosen_by_cost

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.container import read, truncate
from arpc_codec.entropy import bits_cost
from arpc_codec.exact.export import export_prior
from arpc_codec.exact.prior import ExactTreePrior, exact_prior
from arpc_codec.prior.model import Prior
from arpc_codec.scales import halved_schedule
from arpc_codec.tokenizer import MultiScaleVQ

Picture = Callable[..., np.ndarray]


def with_trade(codec: ArpcCodec, trade: float, monkeypatch: pytest.MonkeyPatch) -> ArpcCodec:
    """The same codec, its encoder paying so much for a bit."""
    monkeypatch.setattr(codec.tokenizer, "config", replace(codec.tokenizer.config, trade=trade))
    return codec


def coded(codec: ArpcCodec, pixels: np.ndarray) -> tuple[float, float, list[np.ndarray]]:
    """(bits of all scales, squared error of the sum, tokens of each scale)."""
    h, plan = codec.analyse(pixels), codec.layout(*pixels.shape[:2])
    with torch.inference_mode():
        scales = codec.encode_tile(h, plan.tiles[0], plan, codec.priors.own(plan), len(plan.schedule))
        z, quantizer = torch.zeros_like(h, dtype=torch.float64), codec.tokenizer.quantizer
        for scale in scales:
            code = quantizer.code(torch.from_numpy(scale.tokens_hwd)[None], scale.scale, plan.schedule)
            z += quantizer.resample(code, plan.schedule[-1])
    bits = sum(bits_cost(scale.bits.astype(np.int32), scale.values) for scale in scales)
    return bits, float((h - z).square().mean()), [scale.tokens_hwd for scale in scales]


def test_the_more_a_bit_is_worth_the_fewer_there_are(
    micro_trees: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = picture(200, 240)
    found = [coded(with_trade(micro_trees, trade, monkeypatch), pixels) for trade in (0.0, 0.1, 0.4)]
    assert found[0][0] > found[1][0] > found[2][0]
    # The sum of several scales, so that it need not grow with each of them.
    assert found[2][1] > found[0][1]
    pyramid = sum(size != (13, 15) for size in micro_trees.layout(200, 240).schedule)
    assert pyramid > 2
    for nearest, cheap in zip(found[0][2][:pyramid], found[2][2][:pyramid], strict=True):
        assert np.array_equal(nearest, cheap)


def test_nearest_entries_are_the_quantizers(
    micro_trees: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worth of almost nothing changes nothing, so both ways through the scales are one."""
    pixels = picture(90, 70)
    _, _, plain = coded(with_trade(micro_trees, 0.0, monkeypatch), pixels)
    _, _, chosen = coded(with_trade(micro_trees, 1e-9, monkeypatch), pixels)
    assert all(np.array_equal(a, b) for a, b in zip(plain, chosen, strict=True))


def test_files_decode_and_their_prefixes_are_files(
    micro_trees: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, pixels = with_trade(micro_trees, 0.2, monkeypatch), picture(96, 130)
    whole = codec.encode(pixels, verify=True)
    for scales in (3, whole.scales - 1):
        assert codec.encode(pixels, scales=scales).data == truncate(whole.data, scales=scales)
    assert codec.decode(read(whole.data)).scales == whole.scales
    # Without a prior nothing is cheaper than anything else.
    portable = codec.encode(pixels, portable=True)
    nearest = with_trade(codec, 0.0, monkeypatch).encode(pixels, portable=True)
    assert portable.data == nearest.data


def test_costs_are_those_of_the_coded_bits(micro_trees: ArpcCodec) -> None:
    prior = micro_trees.bundle.prior
    assert isinstance(prior, ExactTreePrior)
    torch.manual_seed(0)
    rank = prior.config.rank
    said, units = torch.randn(7, rank).double().mul(64).round() / 64, torch.randn(7, rank).double().mul(64).round() / 64
    for after, bits in ((0, 5), (1, 6), (4, 4), (9, 4)):
        costs = prior.costs(said, units, after)
        assert costs.shape == (7, 2**bits)
        for index in (0, 5, 2**bits - 1):
            path = torch.tensor([index >> shift & 1 for shift in range(bits - 1, -1, -1)]).bool()
            tokens = torch.nn.functional.pad(path, (0, 6 - bits)).expand(7, -1)
            counts = [prior.counts(prior.bit_logit(said, units, tokens, bit, after)).double() for bit in range(bits)]
            wanted = -sum(torch.log2((c if turn else 65536 - c) / 65536) for c, turn in zip(counts, path, strict=True))
            torch.testing.assert_close(costs[:, index].double(), wanted, atol=1e-3, rtol=1e-4)


def test_training_sees_the_tokens_of_the_encoder(micro_trees: ArpcCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The float prior's choice is the exact one's, but for a few close ones; each picture of a batch by itself."""
    with_trade(micro_trees, 0.1, monkeypatch)
    torch.manual_seed(1)
    tokenizer, quantizer = micro_trees.tokenizer, micro_trees.tokenizer.quantizer
    assert isinstance(quantizer, MultiScaleVQ)
    prior = Prior(micro_trees.bundle.prior.config, 16)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    schedule = halved_schedule(12, 14)
    h = 0.3 * torch.randn(2, 8, 12, 14)
    with torch.no_grad():
        together = quantizer(h, schedule, choose=chosen_by_cost(prior, tokenizer, 2, schedule)).bits
        single = quantizer(h[1:], schedule, choose=chosen_by_cost(prior, tokenizer, 1, schedule)).bits
        nearest = quantizer(h, schedule).bits
    exact = exact_prior(export_prior(prior), prior.config)
    codec = ArpcCodec(replace(micro_trees.bundle, prior=exact))
    plan = codec.layout(12 * 16, 14 * 16)
    with torch.inference_mode():
        scales = codec.encode_tile(h[:1], plan.tiles[0], plan, exact, len(schedule))
    assert sum(int((a != b).any(-1).sum()) for a, b in zip(together, nearest, strict=True)) > 20
    for own, alone, scale in zip(together, single, scales, strict=True):
        assert (own[0] == torch.from_numpy(scale.tokens_hwd)).all(-1).float().mean() > 0.95
        assert (own[1:] == alone).all(-1).float().mean() > 0.99
