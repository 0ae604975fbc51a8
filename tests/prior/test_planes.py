"""The context head of integers: what sees what, and that a scale that was not sent is told as one of zeros is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from arpc_codec.errors import ModelError
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.context import PHASES, known_symbols, phase_mask
from arpc_codec.prior.model import Prior, in_steps
from arpc_codec.prior.planes import KNOWN, SEEN, SHOWN, PlaneContext, own_sums, own_tokens
from arpc_codec.scales import halved_schedule
from arpc_codec.tokenizer.planes import SLOTS

ENDS = (1, 3, 4)
CHANNELS, LEVELS = ENDS[-1], 3
SIZES = PriorConfig(
    d=SLOTS * CHANNELS, embed_dim=16, depth=1, num_heads=2, groups=ENDS, levels=LEVELS, units=3, repeats=4
)


def filled(module: torch.nn.Module) -> None:
    """No layer without effect."""
    for parameter in module.parameters():
        if parameter.ndim and not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.3)


@pytest.fixture
def context() -> PlaneContext:
    torch.manual_seed(0)
    made = PlaneContext(16, ENDS, LEVELS, 16, 12).double().requires_grad_(False)
    filled(made)
    for part in (made.own, made.earlier, made.out):
        part.mul_(5)
    return made


def made_up(rows: int = 6, cols: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Features, a sum so far in steps, integers."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, rows, cols, 16, generator=generator)
    v = 2 * torch.randn(1, CHANNELS, rows, cols, generator=generator)
    tokens = torch.randint(-2, 3, (1, CHANNELS, rows, cols), generator=generator)
    return features.double(), v.double(), tokens.double()


def changed(before: Tensor, after: Tensor) -> Tensor:
    """[h, w, C] bool: whether any bit of a channel is told otherwise."""
    planes = PlaneContext(16, ENDS, 1, 4, 1).planes
    return ((before - after).abs() > 1e-9)[0][..., planes.places].any(-2)


@pytest.mark.parametrize("place", [(2, 4), (3, 3), (2, 3), (3, 2)])
@pytest.mark.parametrize("channel", range(CHANNELS))
def test_an_integer_tells_only_of_what_comes_later(context: PlaneContext, place: tuple[int, int], channel: int) -> None:
    """Of later groups of its own token, and of tokens around it in later phases."""
    features, v, tokens = made_up()
    phases = torch.zeros(tokens.shape[-2:], dtype=torch.int64)
    for number in range(len(PHASES)):
        phases[phase_mask(*tokens.shape[-2:], number)] = number
    other = tokens.clone()
    row, col = place
    other[0, channel, row, col] += 1
    differs = changed(context(features, v, tokens, 1), context(features, v, other, 1))
    own = differs[place]
    group = next(n for n, end in enumerate(ENDS) if channel < end)
    assert own.tolist() == [c >= ENDS[group] for c in range(CHANNELS)]
    later, near = phases > phases[place], torch.zeros_like(phases, dtype=torch.bool)
    near[row - 1 : row + 2, col - 1 : col + 2] = True
    differs[place] = False
    assert not differs[~later].any()
    assert differs[near & later].all()


def test_what_came_before_tells_of_every_token(context: PlaneContext) -> None:
    """The trunk, the sum so far, and how many scales follow."""
    features, v, tokens = made_up()
    before = context(features, v, tokens, 1)
    for other in (
        context(features + 1, v, tokens, 1),
        context(features, v + 1, tokens, 1),
        context(features, v, tokens, 0),
    ):
        assert changed(before, other).all()
    # Rows are of up to so many scales that follow.
    assert torch.equal(context(features, v, tokens, LEVELS - 1), context(features, v, tokens, 9))
    # Another channel's sum reaches a token through the convolution, with what is around, and in its own cell directly.
    one = v.clone()
    one[0, 2, 3, 3] += 1
    assert changed(before, context(features, one, tokens, 1))[2:5, 2:5].all()
    with torch.no_grad():
        context.seen.weight.zero_()
    differs = changed(context(features, v, tokens, 1), context(features, one, tokens, 1))
    assert differs[3, 3].all()
    others = [channel for channel in range(CHANNELS) if channel != 2]
    differs[3, 3] = False
    assert not differs[..., others].any()


def test_pictures_of_a_batch_do_not_see_each_other(context: PlaneContext) -> None:
    features, v, tokens = made_up()
    pair = [torch.cat([part, part.flip(1)]) for part in (features, v, tokens)]
    both = context(*pair, 1)
    for index in range(2):
        alone = context(*(part[index : index + 1] for part in pair), 1)
        assert torch.allclose(both[index : index + 1], alone, atol=1e-9)


def test_a_scale_that_was_not_sent_is_one_of_zeros(context: PlaneContext) -> None:
    """`before` is what the tokens of the first phase are told when all earlier ones are 0."""
    features, v, tokens = made_up()
    nothing = context(features, v, torch.zeros_like(tokens), 2)
    before = context.before(features, v, 2)
    assert before.shape == nothing.shape
    first = phase_mask(*tokens.shape[-2:], 0)
    assert torch.allclose(before[0, first], nothing[0, first], atol=1e-9)
    assert not torch.allclose(before[0, ~first], nothing[0, ~first], atol=1e-2)


def test_own_units_see_their_channel_and_its_neighbours() -> None:
    x = torch.zeros(1, 2, 3, 4)
    x[0, 0] = torch.tensor([[1.0, -2, 0, 0], [0, 3, 0, -1], [0, 0, -4, 0]])
    sums, tokens = own_sums(x), own_tokens(x)
    assert sums.shape == (1, SEEN, 2, 3, 4)
    assert tokens.shape == (1, KNOWN, 2, 3, 4)
    assert not sums[:, :, 1].any()
    # Itself, its size, sizes at its sides and corners, what is left and right of it, above and below; sizes beyond.
    assert sums[0, :, 0, 1, 1].tolist() == [3, 3, 2, 5, 0, -2, 1]
    assert sums[0, :, 0, 1, 2].tolist() == [0, 0, 8, 2, 2, -4, 1]
    assert sums[0, :, 0, 0, 0].tolist() == [1, 1, 2, 3, -2, 0, 4]
    assert torch.equal(tokens, sums[:, 2:-1])


def test_sums_are_shown_in_steps_within_limits() -> None:
    like = torch.zeros(1, 2, 2, 3)
    assert torch.equal(in_steps(None, like, 0.5), like)
    x = torch.arange(12.0).view(1, 6, 2) - 6
    shown = in_steps(x, like, 0.5)
    assert shown.shape == like.shape
    assert shown[0, 1, 1, 0] == (x[0, 3, 1] / 0.5)
    assert (shown.min(), shown.max()) == (-SHOWN, SHOWN)


def test_the_prior_walks_to_the_first_scale_of_full_size() -> None:
    """Scales behind are told by its features of that, by the sum so far and by their own tokens."""
    torch.manual_seed(0)
    prior = Prior(SIZES, 8)
    filled(prior)
    schedule = halved_schedule(8, 8, 5)
    symbols = [torch.randint(-1, 2, (1, CHANNELS, *size)).float() for size in schedule]
    inputs = [torch.randn(1, h * w, CHANNELS) for h, w in schedule[1:]]
    steps = [0.5 + scale for scale in range(len(schedule))]

    def logits(seen: list[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            trunk, full = prior(seen, [], symbols, schedule, steps=steps)
        assert not trunk
        return full

    before = logits(inputs)
    with torch.no_grad():
        some = prior(inputs, [], symbols, schedule, steps=steps, only=[1, 5]).full
    assert all(torch.equal(told, before[scale]) for told, scale in zip(some, (1, 5), strict=True))
    assert [told.shape for told in before] == [(1, *size, SLOTS * CHANNELS) for size in schedule]
    for scale in range(len(inputs)):
        other = list(inputs)
        other[scale] = other[scale] + 0.3
        moved = [not torch.equal(a, b) for a, b in zip(before, logits(other), strict=True)]
        assert not any(moved[: scale + 1])
        # The sum so far of one of the last scales is shown to that scale alone.
        assert all(moved[scale + 1 :]) if scale + 1 < 3 else moved[scale + 1 :] == [True] + [False] * (5 - scale)


def test_known_symbols_are_those_of_earlier_phases() -> None:
    symbols = torch.ones(1, 2, 3, 3)
    assert not known_symbols(symbols, 0).any()
    known = known_symbols(symbols, 2)
    assert known[0, 2].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert torch.equal(known[0, 0], known[0, 2])


def test_config_is_checked() -> None:
    assert (SIZES.inputs, SIZES.outputs) == (CHANNELS, 0)
    assert PriorConfig(d=10, groups=[1, 2]).groups == (1, 2)  # type: ignore[arg-type]
    for wrong in ({"d": 19}, {"groups": (1, 1, 4)}, {"groups": (3, 1, 4)}, {"groups": (0, 4)}):
        with pytest.raises(ModelError, match="do not make tokens"):
            replace(SIZES, **wrong)
    for wrong in ({"levels": 0}, {"units": 0}):
        with pytest.raises(ModelError, match="levels and"):
            replace(SIZES, **wrong)
    with pytest.raises(ModelError, match="only scales of integers"):
        PriorConfig(repeats=3)
    with pytest.raises(ModelError, match="at most 14"):
        replace(SIZES, repeats=15)
