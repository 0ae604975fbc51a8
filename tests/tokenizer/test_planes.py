"""The quantizer of planes: integers as bits in groups, what they cost and mean, sums that approach the latent."""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.errors import ModelError
from arpc_codec.scales import halved_schedule
from arpc_codec.scales.resample import area, bilinear
from arpc_codec.tokenizer import MultiScalePlanes, Tokenizer, TokenizerConfig
from arpc_codec.tokenizer.planes import CHANCES, DEAD, SLOTS, SMOOTH, TOP, Planes, integers

ENDS = (2, 5, 6)
STEPS = (0.2, 0.4, 0.8, 1.2, 2.0, 0.7, 1.0)
ACTIVE = (6, 6, 6, 5, 5, 5, 2)
SCHEDULE = halved_schedule(10, 14, 5)
GRID = 4096


@pytest.fixture
def quantizer() -> MultiScalePlanes:
    return MultiScalePlanes(STEPS, ACTIVE, ENDS)


def latent(count: int = 2, seed: int = 0) -> torch.Tensor:
    """Smooth and rough parts, channels of very unequal size."""
    generator = torch.Generator().manual_seed(seed)
    smooth = bilinear(torch.randn(count, 6, 3, 4, generator=generator), (10, 14))
    size = torch.tensor([4.0, 2.0, 1.0, 0.7, 0.5, 0.4])[:, None, None]
    return size * (smooth + 0.4 * torch.randn(count, 6, 10, 14, generator=generator))


def every_integer() -> torch.Tensor:
    """[2 * TOP + 1, 1]."""
    return torch.arange(-TOP, TOP + 1, dtype=torch.int8)[:, None]


# -- integers and bits -------------------------------------------------------------------------------------------------


def test_schedule_halves_down_to_one_cell_and_repeats_the_last() -> None:
    assert halved_schedule(32, 48, 5) == ((1, 1), (1, 2), (2, 3), (4, 6), (8, 12), *[(32, 48)] * 5)
    assert halved_schedule(1, 1, 7) == ((1, 1),) * 7
    assert halved_schedule(1, 4, 1) == ((1, 1), (1, 4))
    assert halved_schedule(1, 5, 2) == ((1, 1), (1, 2), (1, 5), (1, 5))
    with pytest.raises(ValueError, match="at least one cell"):
        halved_schedule(0, 4, 5)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 2**31))
def test_bits_and_integers_are_each_other(widths: list[int], seed: int) -> None:
    planes = Planes([sum(widths[: i + 1]) for i in range(len(widths))])
    values = torch.randint(-TOP, TOP + 1, (3, 4, planes.channels), generator=torch.Generator().manual_seed(seed))
    bits = planes.of(values)
    assert bits.shape == (3, 4, planes.bits)
    assert torch.equal(planes.integers(bits), values.char())
    # Bits that say nothing are zeros.
    for group in planes.groups(slice(0, planes.bits)):
        assert not (bits[..., group] & ~planes.asked(bits[..., group])).any()


def test_bits_of_a_group_stand_together_slot_by_slot() -> None:
    planes = Planes(ENDS)
    assert planes.groups(slice(0, planes.bits)) == [slice(0, 10), slice(10, 25), slice(25, 30)]
    assert planes.groups(slice(0, SLOTS * 5)) == [slice(0, 10), slice(10, 25)]
    assert planes.groups(slice(10, 30)) == [slice(10, 25), slice(25, 30)]
    assert planes.groups(slice(0, 0)) == []
    assert planes.parts(slice(10, 25)) == [slice(first, first + 3) for first in (10, 13, 16, 19, 22)]
    bits = planes.of(torch.tensor([0, 0, 3, 0, -1, 0]))
    # Others than 0, negative ones, more than 1, 2, 3.
    assert bits[10:25].int().tolist() == [1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0]
    assert not bits[:10].any()
    assert not bits[25:].any()
    group = torch.tensor([[3, 0, -1]])
    assert torch.equal(planes.group_bits(group)[0], bits[10:25])


def test_only_what_is_open_is_asked() -> None:
    planes = Planes((1,))
    wanted = {0: "10000", 1: "11100", -1: "11100", 2: "11110", -3: "11111", 4: "11111"}
    for value, text in wanted.items():
        asked = planes.asked(planes.of(torch.tensor([value])))
        assert "".join(str(int(bit)) for bit in asked) == text


def test_costs_are_those_of_the_coded_bits() -> None:
    torch.manual_seed(0)
    planes, channels = Planes((3,)), 3
    chances = torch.rand(5, planes.bits, dtype=torch.float64).clamp(0.01, 0.99)
    costs = planes.costs(chances)
    assert costs.shape == (5, channels, 2 * TOP + 1)
    for index, value in enumerate(every_integer()):
        bits = planes.of(value.expand(5, channels))
        each = -torch.where(bits, chances, 1 - chances).log2() * planes.asked(bits)
        wanted = each.unflatten(1, (SLOTS, channels)).sum(1)
        torch.testing.assert_close(costs[..., index], wanted)
    # A code without gaps.
    torch.testing.assert_close((2.0**-costs).sum(-1), torch.ones(5, channels, dtype=torch.float64))


def test_a_dead_zone_and_no_other_integer_is_wider() -> None:
    edge = 0.5 + DEAD
    values = torch.tensor([0.0, edge - 1e-3, edge + 1e-3, 1.7, 1.8, -edge + 1e-3, -edge - 1e-3, -1.8])
    assert integers(values).tolist() == [0, 0, 1, 1, 2, 0, -1, -2]


def test_without_a_dead_zone_integers_are_the_nearest() -> None:
    values = torch.tensor([0.49, 0.51, -0.49, -0.51, 1.49, -1.51])
    assert integers(values, 0.0).tolist() == [0, 1, 0, -1, 1, -2]


# -- sums of scales ----------------------------------------------------------------------------------------------------


def test_every_scale_takes_the_integers_of_what_is_left(quantizer: MultiScalePlanes) -> None:
    h = latent()
    bits, prefixes = quantizer(h, SCHEDULE)
    z = torch.zeros_like(h)
    for scale, (size, tokens, prefix) in enumerate(zip(SCHEDULE, bits, prefixes, strict=True)):
        level = min(len(SCHEDULE) - 1 - scale, len(STEPS) - 1)
        step = round(STEPS[level] * GRID) / GRID
        assert quantizer.step(scale, SCHEDULE) == step
        # Small scales have no dead zone.
        wanted = integers(area(h - z, size) / step, DEAD * (size == SCHEDULE[-1])).clamp(-TOP, TOP)
        wanted[:, ACTIVE[level] :] = 0
        assert torch.equal(quantizer.symbols(tokens, scale, SCHEDULE), wanted)
        code = quantizer.code(tokens, scale, SCHEDULE)
        assert code.dtype == torch.float64
        assert torch.equal(code, wanted.double() * step)
        assert torch.equal(code * GRID, (code * GRID).round())
        z = z + bilinear(code.float(), SCHEDULE[-1])
        assert torch.allclose(z, prefix, atol=1e-5)


def test_means_of_smooth_cells_have_no_dead_zone() -> None:
    """From the scale on that tells which cells are smooth, and in that alone."""
    steps, active, resting = (3.5, 3.5, 7.0), (6, 6, 5), (0, 0, 2)
    ends, schedule = (1, 2, 5, 6), ((8, 8),) * 3
    h = 6 * torch.randn(1, 6, 8, 8, generator=torch.Generator().manual_seed(3))
    # Multiples of half a nat, as texture is, within what one token says.
    h[:, :1] = (h[:, :1] / 1.75).round().clamp(-7, 7) * 1.75
    plain = MultiScalePlanes(steps, active, ends, resting)
    even = MultiScalePlanes(steps, active, ends, resting, means=(2, 4))
    smooth = h[:, :1] < SMOOTH
    assert 0.1 < smooth.float().mean() < 0.4
    z = torch.zeros_like(h)
    for scale in range(3):
        chosen, usual = (q.symbols(q.choose(h - z, scale, schedule), scale, schedule) for q in (even, plain))
        nearest = ((h - z) / steps[2 - scale]).round().clamp(-TOP, TOP)
        assert torch.equal(chosen[:, [0, 1, 3, 5]], usual[:, [0, 1, 3, 5]])
        told = smooth if scale == 1 else torch.zeros_like(smooth)
        assert torch.equal(chosen[:, [2, 4]], torch.where(told, nearest[:, [2, 4]], usual[:, [2, 4]]))
        assert torch.equal(chosen, usual) == (scale != 1)
        z = z + even.code(even.choose(h - z, scale, schedule), scale, schedule).float()


def test_sums_approach_the_latent(quantizer: MultiScalePlanes) -> None:
    h = latent(8, seed=1)
    errors = [float((h - z).square().mean()) for z in quantizer(h, SCHEDULE).prefixes]
    assert all(after < before for before, after in pairwise(errors))
    # The last scale leaves what is nearest to 0, and nothing beyond its largest integer.
    left = (h - quantizer(h, SCHEDULE).prefixes[-1]).abs()
    assert left.max() <= (0.5 + DEAD) * STEPS[0] + 1e-5


def test_channels_take_part_from_their_scale_on(quantizer: MultiScalePlanes) -> None:
    assert ((1, 1), (2, 2), (3, 4), *[(10, 14)] * 5) == SCHEDULE
    ends = (10, 10, 25, 25, 25, 30, 30, 30)
    assert quantizer.coded(SCHEDULE) == tuple(slice(0, end) for end in ends)
    assert quantizer.coded(SCHEDULE[-2:]) == (slice(0, 30),) * 2
    resting = MultiScalePlanes(STEPS, ACTIVE, ENDS, (5, 0, 2, 0, 0, 0, 0))
    starts = (0, 0, 0, 0, 0, 10, 0, 25)
    assert resting.coded(SCHEDULE) == tuple(map(slice, starts, ends))
    for one in (quantizer, resting):
        for scale, tokens in enumerate(one(10 * latent(), SCHEDULE).bits):
            places = one.coded(SCHEDULE)[scale]
            assert not tokens[..., places.stop :].any()
            assert not tokens[..., : places.start].any()
            assert tokens[..., places].any()
            groups = one.groups(scale, SCHEDULE)
            assert (groups[0].start, groups[-1].stop) == (places.start, places.stop)
            assert all(a.stop == b.start for a, b in pairwise(groups))


def test_steps_that_channels_have_had() -> None:
    """Some levels refine a range of channels only."""
    quantizer = MultiScalePlanes((1.0, 1.0, 2.0, 4.0), (6, 2, 6, 5), ENDS, (2, 0, 0, 0))
    wanted = {0: [1] * 6, 1: [1, 1, 2, 2, 2, 2], 2: [2] * 6, 3: [4, 4, 4, 4, 4, torch.inf]}
    assert all(quantizer.settled(level, 4).tolist() == steps for level, steps in wanted.items())
    assert quantizer.settled(1, 2).tolist() == [1, 1, *[torch.inf] * 4]


def test_two_scales_of_one_step_make_the_sum_of_one() -> None:
    schedule, h = ((10, 14),) * 2, latent()
    split = MultiScalePlanes((0.4, 0.4), (6, 5), ENDS, (5, 0))(h, schedule)
    whole = MultiScalePlanes((0.4,), (6,), ENDS)(h, schedule[:1])
    assert torch.equal(split.prefixes[-1], whole.prefixes[-1])
    assert torch.equal(split.bits[0] | split.bits[1], whole.bits[0])


def test_errors_move_the_sums_and_leave_the_targets(quantizer: MultiScalePlanes) -> None:
    torch.manual_seed(0)
    h = latent()
    clean, noisy = quantizer(h, SCHEDULE), quantizer(h, SCHEDULE, [0.3] * len(SCHEDULE))
    assert torch.equal(clean.bits[0], noisy.bits[0])
    assert not torch.allclose(clean.prefixes[-1], noisy.prefixes[-1])
    tokens = clean.bits[-1]
    changed = quantizer.flipped(tokens, 0.3, len(SCHEDULE) - 1, SCHEDULE)
    known = quantizer.planes.integers(changed)
    assert torch.equal(quantizer.planes.of(known), changed)
    moved = (known - quantizer.planes.integers(tokens)).abs()
    assert moved.max() == 1
    assert 0.2 < moved.float().mean() < 0.4
    first = quantizer.flipped(clean.bits[0], 1.0, 0, SCHEDULE)
    assert not first[..., quantizer.coded(SCHEDULE)[0].stop :].any()


def test_expected_code_is_the_mean_over_all_integers(quantizer: MultiScalePlanes) -> None:
    """Of each channel, when every bit has its chance given that it is asked."""
    torch.manual_seed(0)
    scale = len(SCHEDULE) - 2
    chances = torch.rand(2, 3, quantizer.bits, dtype=torch.float64)
    wanted = torch.zeros(6, 2, 3, dtype=torch.float64)
    for channel, value in product(range(6), range(-TOP, TOP + 1)):
        token = torch.zeros(6, dtype=torch.int8)
        token[channel] = value
        bits = quantizer.planes.of(token)
        asked = torch.cat([quantizer.asked(bits[group]) for group in quantizer.planes.groups(slice(0, quantizer.bits))])
        places = quantizer.planes.places[:, channel]
        own = torch.where(bits, chances, 1 - chances)[..., places] ** asked[places]
        wanted[channel] += value * own.prod(-1)
    found = quantizer.expected(chances, scale, SCHEDULE)
    assert torch.allclose(found[0], wanted * quantizer.step(scale, SCHEDULE), atol=1 / GRID)
    assert torch.equal(found * GRID, (found * GRID).round())
    # What is sure is the code itself, and channels that take no part are expected to be 0.
    token = torch.tensor([2, 0, -1, 4, -3, 1], dtype=torch.int8).expand(2, 3, -1)
    sure = quantizer.planes.of(token).double()
    assert torch.equal(quantizer.expected(sure, scale, SCHEDULE), quantizer.code(sure[None] > 0, scale, SCHEDULE))
    assert not quantizer.expected(chances, 0, SCHEDULE)[:, ACTIVE[-1] :].any()


# -- what is usual -----------------------------------------------------------------------------------------------------


def test_what_is_usual_is_counted_where_it_is_asked(quantizer: MultiScalePlanes) -> None:
    assert torch.equal(quantizer.usual(0, SCHEDULE), torch.full((30,), 0.5, dtype=torch.float64))
    tokens = torch.zeros(1000, 6, dtype=torch.int8)
    # Channel 0: 0, 1, -1 or 2; channel 1: always 4; the others: always 0.
    tokens[:, 0] = torch.tensor([0, 1, -1, 2]).repeat(250)
    tokens[:, 1] = TOP
    bits = quantizer.planes.of(tokens)
    quantizer.count([bits[:300], bits[300:]], 1)
    usual = quantizer.usual(len(SCHEDULE) - 2, SCHEDULE)
    of_channel = usual[quantizer.planes.places]
    assert torch.allclose(of_channel[:, 0], torch.tensor([3 / 4, 1 / 3, 1 / 3, 0, 0.5]).double(), atol=2e-3)
    assert torch.allclose(of_channel[:, 1], torch.tensor([1, 0, 1, 1, 1]).double(), atol=2e-3)
    assert of_channel[0, 2] == 1 / CHANCES
    assert of_channel[1, 2] == 0.5
    parts = quantizer.chances * CHANCES
    assert torch.equal(parts, parts.round())
    assert parts.min() >= 1
    assert parts.max() <= CHANCES - 1
    assert torch.equal(quantizer.chances.half().float(), quantizer.chances)
    # Other levels are as they were, and scales beyond the last one share it.
    assert (quantizer.usual(len(SCHEDULE) - 1, SCHEDULE) == 0.5).all()
    quantizer.count([bits], len(STEPS) - 1)
    assert not (quantizer.usual(0, SCHEDULE) == 0.5).all()
    assert torch.equal(quantizer.usual(0, SCHEDULE), quantizer.usual(1, SCHEDULE))


def test_every_possible_chance_is_a_float16_number() -> None:
    parts = torch.arange(1, CHANCES) / CHANCES
    assert torch.equal(parts.half().float(), parts)
    # Counts of 65536 of the entropy coder are whole and in its range.
    counts = parts * 65536
    assert torch.equal(counts, counts.round())
    assert counts.min() >= 1


# -- configs -----------------------------------------------------------------------------------------------------------

FITTING: dict[str, Any] = {"channels": 6, "steps": STEPS, "active": ACTIVE, "groups": ENDS}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": STEPS[:-1]}, "active .* for each of 6 steps"),
        ({"steps": (*STEPS[:-1], 0.0)}, "steps .* above 0"),
        ({"active": (*ACTIVE[:-1], 3)}, "active .* end of a group"),
        ({"resting": (2,)}, "resting .* for each of the steps"),
        ({"resting": (1, *[0] * 6)}, "resting .* end of a group"),
        ({"resting": (6, *[0] * 6)}, "resting .* below active"),
        ({"repeats": 0}, "0 repeats"),
        ({"repeats": 8}, "8 repeats with 7 steps"),
        ({"groups": (2, 5)}, "groups .* do not rise to 6"),
        ({"groups": (2, 2, 5, 6)}, "groups"),
        ({"groups": (5, 2, 6)}, "groups"),
        ({"groups": (0, 2, 5, 6)}, "groups"),
        ({"groups": ()}, "groups"),
        ({"channels": 7}, "groups .* do not rise to 7"),
        ({"trade": -0.1}, "trade"),
        ({"means": (2,)}, "means"),
        ({"means": (1,), "texture": True}, "means"),
        ({"means": (6,), "texture": True}, "means"),
        ({"steps": (), "active": (), "groups": (), "trade": 0.1}, "trade"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, Any], named: str) -> None:
    TokenizerConfig(**FITTING, trade=0.1)
    with pytest.raises(ModelError, match=f"tokenizer config: .*{named}"):
        TokenizerConfig(**FITTING | change)


def test_the_published_network_has_signs() -> None:
    sizes = {"encoder_stem": 24, **dict.fromkeys(("encoder_widths", "decoder_widths"), (24,) * 5)}
    depths = dict.fromkeys(("encoder_depths", "decoder_depths"), (1,) * 5)
    TokenizerConfig(network="pyramid", **sizes, **depths)
    with pytest.raises(ModelError, match="has signs, no steps"):
        TokenizerConfig(network="pyramid", **sizes, **depths, **FITTING)


def test_a_tokenizer_of_planes() -> None:
    config = TokenizerConfig.from_json({name: list(v) if isinstance(v, tuple) else v for name, v in FITTING.items()})
    assert config == TokenizerConfig(**FITTING)
    tokenizer = Tokenizer(config)
    assert isinstance(tokenizer.quantizer, MultiScalePlanes)
    assert tokenizer.schedule(10, 14) == SCHEDULE
    assert tokenizer.reach is not None
    # Its networks see channels in units of their spread.
    tokenizer.encoder.spread[1] = 3.0
    torch.nn.init.normal_(tokenizer.encoder.out.weight)
    x = torch.rand(1, 3, 32, 48)
    y = tokenizer.encoder(x)
    tokenizer.encoder.spread[1] = 1.5
    other = tokenizer.encoder(x)
    linear = tokenizer.encoder.linear(torch.nn.functional.pixel_unshuffle(x, 16))
    assert torch.allclose(y[:, 1] - linear[:, 1], 2 * (other[:, 1] - linear[:, 1]), atol=1e-5)
    assert torch.equal(y[:, 0], other[:, 0])
    assert math.isclose(float(tokenizer.quantizer.step(0, SCHEDULE) or 0), 1.0)
