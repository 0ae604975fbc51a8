"""Integers chosen by their distance and by what they cost: fewer bits for little distance, files as any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from arpc_codec.codecs import tokens
from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.codecs.coded import CodedScale
from arpc_codec.codecs.filling import Filling
from arpc_codec.codecs.tokens import Walk, cheaper
from arpc_codec.container import read, truncate
from arpc_codec.entropy import bits_cost
from arpc_codec.scales.resample import area
from arpc_codec.tokenizer import MultiScalePlanes
from arpc_codec.tokenizer.planes import SLOTS, TOP

Picture = Callable[..., np.ndarray]


def with_trade(codec: ArpcCodec, trade: float, monkeypatch: pytest.MonkeyPatch) -> ArpcCodec:
    """The same codec, its encoder paying so much for a bit."""
    monkeypatch.setattr(codec.tokenizer, "config", replace(codec.tokenizer.config, trade=trade))
    return codec


def planes(codec: ArpcCodec) -> MultiScalePlanes:
    assert isinstance(codec.tokenizer.quantizer, MultiScalePlanes)
    return codec.tokenizer.quantizer


def scales_of(codec: ArpcCodec, pixels: np.ndarray) -> list[CodedScale]:
    """All scales of a picture of one tile."""
    plan = codec.layout(*pixels.shape[:2])
    with torch.inference_mode():
        h = codec.analyse(pixels)
        return codec.encode_tile(h, plan.tiles[0], plan, codec.priors.own(plan), len(plan.schedule))


def sums(codec: ArpcCodec, pixels: np.ndarray, scales: list[CodedScale]) -> Iterator[Tensor]:
    """The sum before each scale, and that of all."""
    schedule, quantizer = codec.layout(*pixels.shape[:2]).schedule, planes(codec)
    z = torch.zeros(1, quantizer.channels, *schedule[-1], dtype=torch.float64)
    for scale in scales:
        yield z
        code = quantizer.code(torch.from_numpy(scale.tokens_hwd)[None], scale.scale, schedule)
        z = z + quantizer.resample(code, schedule[-1])
    yield z


def rate(scales: list[CodedScale]) -> float:
    return sum(bits_cost(scale.bits.astype(np.int32), scale.values) for scale in scales)


# -- what is chosen ----------------------------------------------------------------------------------------------------


def test_the_more_a_bit_is_worth_the_fewer_there_are(
    micro_planes: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = picture(200, 240)
    h = micro_planes.analyse(pixels)
    bits, errors = [], []
    for trade in (1e-9, 0.05, 0.13, 0.4):
        scales = scales_of(with_trade(micro_planes, trade, monkeypatch), pixels)
        bits.append(rate(scales))
        errors.append(float((h - list(sums(micro_planes, pixels, scales))[-1]).square().mean()))
    assert all(more > less for more, less in pairwise(bits))
    # What a scale leaves is the next one's, so that next to nothing costs no error.
    assert max(errors[:2]) < errors[2] < errors[3]
    assert bits[-1] < 0.8 * bits[0]


def test_bits_that_are_worth_nothing_leave_the_nearest_integers(
    micro_planes: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a dead zone, which a trade makes needless."""
    pixels, quantizer = picture(90, 70), planes(micro_planes)
    schedule = micro_planes.layout(90, 70).schedule
    h = micro_planes.analyse(pixels)
    scales = scales_of(with_trade(micro_planes, 1e-9, monkeypatch), pixels)
    for scale, before in zip(scales, sums(micro_planes, pixels, scales), strict=False):
        size, step = schedule[scale.scale], quantizer.step(scale.scale, schedule)
        wanted = (area(h - before.to(h), size).double() / step).clamp(-TOP, TOP)
        places = quantizer.coded(schedule)[scale.scale]
        wanted[:, : places.start // SLOTS] = wanted[:, places.stop // SLOTS :] = 0
        found = quantizer.symbols(torch.from_numpy(scale.tokens_hwd)[None], scale.scale, schedule)
        assert (found - wanted).abs().max() < 0.5 + 1e-6
    # Without any trade there is the dead zone of the quantizer.
    plain = scales_of(with_trade(micro_planes, 0.0, monkeypatch), pixels)
    for scale, bits in zip(plain, quantizer(h, schedule).bits, strict=True):
        assert np.array_equal(scale.tokens_hwd, bits[0].numpy())
    assert rate(plain) < rate(scales)


def test_the_choice_is_the_best_of_all_integers(micro_planes: ArpcCodec) -> None:
    torch.manual_seed(0)
    quantizer, schedule, trade = planes(micro_planes), micro_planes.layout(64, 80).schedule, 0.2
    prior = micro_planes.bundle.prior
    walk = Walk(prior, quantizer, schedule)  # type: ignore[arg-type]
    walk.scale = scale = len(schedule) - 1
    residual = quantizer.step(scale, schedule) * 2 * torch.randn(1, quantizer.channels, *schedule[scale])
    bits = torch.zeros(*schedule[scale], quantizer.bits, dtype=torch.bool)
    revise = cheaper(walk, residual, bits, trade)
    positions, group = torch.tensor([0, 7, 13]), quantizer.groups(scale, schedule)[1]
    logits = 2 * torch.randn(3, group.stop - group.start).double()
    revise(logits, positions, group)
    rows, chances = bits.flatten(0, 1), prior.probability(logits)  # type: ignore[union-attr]
    assert not rows[1:7].any()
    wanted = (residual[0] / quantizer.step(scale, schedule)).flatten(1).T
    first, last = group.start // SLOTS, group.stop // SLOTS
    chosen = quantizer.planes.integers(rows)[positions]
    assert not torch.cat([chosen[:, :first], chosen[:, last:]], 1).any()
    for row, place in enumerate(positions.tolist()):
        for channel in range(first, last):
            worths = []
            for value in range(-TOP, TOP + 1):
                own = quantizer.planes.group_bits(torch.full((last - first,), value))
                asked = quantizer.asked(own).view(SLOTS, -1)[:, channel - first]
                chance = torch.where(own, chances[row], 1 - chances[row]).view(SLOTS, -1)[:, channel - first]
                cost = -float(chance.log2()[asked].sum())
                worths.append(float(wanted[place, channel] - value) ** 2 + trade * cost)
            assert int(chosen[row, channel]) == int(np.argmin(worths)) - TOP


def test_costs_are_those_of_the_coded_bits(
    micro_planes: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantizer, prior = planes(micro_planes), micro_planes.bundle.prior
    spent: list[float] = []

    def counted(walk: Walk, residual: Tensor, bits_hwd: Tensor, trade: float) -> tokens.Revision:
        revise = cheaper(walk, residual, bits_hwd, trade)
        spent.append(0.0)

        def counting(logits: Tensor, positions: Tensor, group: slice) -> None:
            revise(logits, positions, group)
            costs = quantizer.planes.costs(prior.probability(logits))  # type: ignore[union-attr]
            channels = slice(group.start // SLOTS, group.stop // SLOTS)
            rows = bits_hwd.flatten(0, 1)[positions]
            chosen = quantizer.planes.integers(rows)[:, channels].long() + TOP
            spent[-1] += float(costs.gather(2, chosen[..., None]).sum())

        return counting

    monkeypatch.setattr(tokens, "cheaper", counted)
    scales = scales_of(micro_planes, picture(100, 120))
    assert len(spent) == len(scales)
    for scale, cost in zip(scales, spent, strict=True):
        assert cost == pytest.approx(bits_cost(scale.bits.astype(np.int32), scale.values), rel=1e-6)
        # Integers of one group foretell those of the next, so not all bits are asked.
        assert len(scale.bits) < scale.tokens_hwd.size


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_decode_and_their_prefixes_are_files(
    micro_planes: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, pixels = with_trade(micro_planes, 0.2, monkeypatch), picture(96, 130)
    whole = codec.encode(pixels, verify=True)
    sent = list(sums(codec, pixels, scales_of(codec, pixels)))
    for scales in (1, 3, whole.scales - 1, whole.scales):
        data = codec.encode(pixels, scales=scales).data
        assert data == truncate(whole.data, scales=scales)
        z = codec.latent(read(data), scales, Filling("none"))
        assert torch.equal(z, sent[scales].float())
        assert codec.decode(read(data)).pixels.shape == pixels.shape


def test_portable_files_ask_no_prior_and_have_the_nearest_integers(
    micro_planes: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is usual of a channel is no reason to send other integers."""
    codec, pixels = with_trade(micro_planes, 0.2, monkeypatch), picture(96, 130)
    portable = codec.encode(pixels, portable=True, verify=True)
    with_trade(codec, 0.0, monkeypatch)
    assert codec.encode(pixels, portable=True).data == portable.data
    plain = read(codec.encode(pixels).data)
    container = read(portable.data)
    clean = codec.latent(plain, portable.scales, Filling("none"))
    with monkeypatch.context() as patch:
        patch.delattr(type(codec.bundle.prior), "step")
        assert torch.equal(codec.latent(container, portable.scales, Filling("none")), clean)
    # Usual bits are shorter than half a bit each, and a prior fills what is missing from either file.
    asked = sum(len(scale.bits) for scale in scales_of(codec, pixels))
    assert 8 * len(portable.data) < asked
    for fill in ("mean", "argmax", "sample"):
        short = [codec.decode(file, scales=5, filling=Filling(fill)).pixels for file in (container, plain)]
        assert np.array_equal(*short)


def test_a_target_ends_within_a_scale(micro_planes: ArpcCodec, picture: Picture) -> None:
    pixels = picture(160, 130)
    whole = micro_planes.encode(pixels)
    sizes = [len(truncate(whole.data, scales=scales)) for scales in (whole.scales - 1, whole.scales)]
    complete = micro_planes.latent(read(whole.data), whole.scales, Filling("none"))
    phases = set()
    for target in np.linspace(*sizes, 6, dtype=int).tolist()[1:-1]:
        part = micro_planes.encode(pixels, target_bytes=target, verify=True)
        assert sizes[0] <= len(part.data) <= target
        container = read(part.data)
        if part.scales < whole.scales:
            # Not even the first phase fits.
            assert part.data == truncate(whole.data, scales=part.scales)
            continue
        phases.add(container.header.phases)
        decoded = micro_planes.decode(container)
        assert (decoded.scales, decoded.damaged) == (whole.scales, ())
        # Tokens of the first phase are there, whatever is made of the others.
        z = micro_planes.latent(container, whole.scales, Filling("none"))
        assert torch.equal(z[..., ::2, ::2], complete[..., ::2, ::2])
        assert not torch.equal(z, complete)
    assert phases <= {1, 2, 3}
    assert len(phases) > 1


def test_threads_change_no_file(micro_planes: ArpcCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same latent the same bytes, and of these the same latent."""
    pixels = picture(200, 240)
    h = micro_planes.analyse(pixels)
    monkeypatch.setattr(ArpcCodec, "analyse", lambda self, pixels_hw3: h)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            data = [micro_planes.encode(pixels, portable=portable).data for portable in (False, True)]
            z = [micro_planes.latent(read(one), 6, Filling("argmax")) for one in data]
            found.append((data, [one.numpy().tobytes() for one in z]))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
