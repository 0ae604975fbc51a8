"""Exact layers against integers, and the exact prior against the float prior it came from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.errors import ModelError
from arpc_codec.exact.export import export_prior
from arpc_codec.exact.fixed import ExactConv3x3, ExactLinear, layer_norm, look_up, quantize_bias, quantize_rows, snap
from arpc_codec.exact.planes import ExactPlanePrior, exact_prior
from arpc_codec.exact.tables import exp_table, gelu_table, probability_table
from arpc_codec.prior.coding import Phase
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.context import known_symbols, phase_mask
from arpc_codec.prior.model import Prior, in_steps
from arpc_codec.prior.planes import PlaneContext
from arpc_codec.scales import Schedule, halved_schedule, scale_schedule
from arpc_codec.scales.resample import bilinear
from arpc_codec.tokenizer import MultiScaleBSQ, MultiScalePlanes, MultiScaleQuantizer

SIGNS = PriorConfig(embed_dim=48, depth=2, num_heads=2, scale_embed="index+end", key_tokens=60)
GROUPS = (3, 8, 16)
PLANES = replace(SIGNS, d=80, groups=GROUPS, levels=6, units=4, repeats=4)


def made_up(config: PriorConfig) -> Prior:
    """A prior of random weights, no layer without effect."""
    torch.manual_seed(3)
    model = Prior(config, 24, 4)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0.0, 0.1)
    return model.requires_grad_(False)


@pytest.fixture(scope="module", params=[SIGNS, PLANES], ids=["signs", "planes"])
def prior(request: pytest.FixtureRequest) -> Prior:
    return made_up(request.param)


def linear_state(weight: torch.Tensor, bias: torch.Tensor) -> dict[str, torch.Tensor]:
    matrix, exponent = quantize_rows(weight)
    return {"l.weight": matrix, "l.exponent": exponent, "l.bias": quantize_bias(bias)}


@settings(max_examples=25)
@given(st.integers(1, 64), st.integers(1, 40), st.integers(0, 2**31))
def test_linear_equals_integer_arithmetic(inputs: int, outputs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    state = linear_state(torch.randn(outputs, inputs, generator=generator), torch.randn(outputs, generator=generator))
    x = snap(20 * torch.randn(3, inputs, generator=generator).double())
    y = ExactLinear(state, "l", torch.device("cpu"))(x)
    x_int = (x * 2**12).to(torch.int64).tolist()
    for row in range(outputs):
        exponent, bias = int(state["l.exponent"][row]), int(state["l.bias"][row])
        for sample in range(3):
            total = sum(a * int(w) for a, w in zip(x_int[sample], state["l.weight"][row], strict=True))
            # In units of 2^-(12 + exponent); the bias is in units of 2^-20.
            value = total * 2.0 ** -(12 + exponent) + bias * 2.0**-20
            expected = max(-128.0, min(128.0, round(value * 4096) / 4096))
            assert float(y[sample, row]) == expected


def test_order_of_summation_does_not_matter() -> None:
    torch.manual_seed(0)
    state = linear_state(torch.randn(64, 512), torch.randn(64))
    layer, x = ExactLinear(state, "l", torch.device("cpu")), snap(60 * torch.randn(9, 512).double())
    order = torch.randperm(512)
    shuffled = {**state, "l.weight": state["l.weight"][:, order]}
    assert torch.equal(layer(x), ExactLinear(shuffled, "l", torch.device("cpu"))(x[:, order]))


def test_convolution_is_the_ordinary_one() -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(5, 7, 3, padding=1)
    state = linear_state(conv.weight.detach().flatten(1), conv.bias.detach())
    x = snap(torch.randn(1, 5, 6, 9).double())
    exact = ExactConv3x3(state, "l", torch.device("cpu"))(x)
    assert torch.allclose(exact, conv.double()(x), atol=2e-3)
    some = torch.tensor([0, 7, 53])
    assert torch.equal(ExactConv3x3(state, "l", torch.device("cpu")).at(x, some), exact[0].flatten(1)[:, some].T)


def test_layer_norm_and_tables_are_close_to_the_float_functions() -> None:
    torch.manual_seed(0)
    x = snap(4 * torch.randn(40, 64).double())
    assert torch.allclose(layer_norm(x, 1e-6), torch.nn.functional.layer_norm(x, (64,), eps=1e-6), atol=1e-3)
    gelu = x.clamp_min(0) + look_up(gelu_table().double() / 4096, x, 9)
    assert torch.allclose(gelu, torch.nn.functional.gelu(x, approximate="tanh"), atol=2e-3)
    assert exp_table()[0] == 65536
    counts = probability_table()
    assert counts.min() >= 1
    assert counts.max() <= 65535
    assert counts[len(counts) // 2] == 32768
    assert torch.equal(counts, 65536 - counts.flip(0))


def ladder(prior: Prior) -> tuple[MultiScaleQuantizer, Schedule]:
    """The quantizer of a prior's tokens, and a schedule."""
    if not prior.config.groups:
        return MultiScaleBSQ(16), scale_schedule(12, 16)
    steps, active = (0.1, 0.16, 0.25, 0.4, 0.6, 0.25, 0.3), (16, 16, 16, 8, 8, 8, 3)
    return MultiScalePlanes(steps, active, GROUPS, (8, 0, 0, 0, 3, 0, 0)), halved_schedule(12, 16, 5)


def test_exact_prior_follows_the_float_prior(prior: Prior) -> None:
    """Same logits up to the grid, scale by scale and phase by phase, and less than 1 % more bits."""
    quantizer, schedule = ladder(prior)
    torch.manual_seed(4)
    bits, prefixes = quantizer(0.4 * torch.randn(1, 16, 12, 16), schedule)
    inputs = [bilinear(z, size).flatten(2).transpose(1, 2) for z, size in zip(prefixes[:-1], schedule[1:], strict=True)]
    symbols = [quantizer.symbols(b, scale, schedule) for scale, b in enumerate(bits)]
    steps = [quantizer.step(scale, schedule) for scale in range(len(schedule))]
    trunk, full = prior(inputs, bits, symbols, schedule, steps=[step or 0.0 for step in steps])
    assert bool(trunk) != bool(prior.config.groups)
    exact = exact_prior(export_prior(prior), prior.config)
    assert isinstance(exact, ExactPlanePrior) == bool(prior.config.groups)
    prior.float()
    caches = exact.begin(schedule)
    costs, decisions = np.zeros(2), 0
    for scale, size in enumerate(schedule):
        x = None if scale == 0 else snap(bilinear(snap(prefixes[scale - 1].double()), size))[0].flatten(1).T
        said, features = exact.step(x, schedule, scale, caches, steps[scale])
        after, tokens = len(schedule) - 1 - scale, bits[scale][0].flatten(0, 1)
        groups = quantizer.groups(scale, schedule)
        for group in groups if trunk else []:
            alone = said.flatten(0, 1)[:, group]
            assert torch.allclose(alone, trunk[scale][0].flatten(0, 1)[:, group].double(), atol=0.03)
        for number in range(4):
            positions = phase_mask(*size, number).flatten().nonzero()[:, 0]
            if not len(positions):
                continue
            known = known_symbols(symbols[scale], number)[:, :-1]
            around = exact.around(features, known, Phase(number, positions, after))
            here = tokens[positions]
            for group in groups:
                mine = exact.logits(said.flatten(0, 1)[positions], around, here, group, after)
                theirs = full[scale][0].detach().flatten(0, 1)[positions][:, group].double()
                assert torch.allclose(mine, theirs, atol=0.05)
                target, asked = here[:, group], quantizer.asked(here[:, group])
                p, q = exact.counts(mine).double() / 65536, torch.sigmoid(theirs)
                costs[0] -= float(torch.where(target, p, 1 - p).log2()[asked].sum())
                costs[1] -= float(torch.where(target, q, 1 - q).log2()[asked].sum())
                decisions += int(asked.sum())
    assert decisions > 4000
    assert costs[0] <= 1.01 * costs[1]


def test_a_trunk_may_add_up_to_more_than_the_limit() -> None:
    """As trained trunks do: only the norms of the sums are seen, so their unit is free."""
    prior = made_up(PLANES)
    prior.trunk.word_embed.weight.mul_(20)
    prior.trunk.word_embed.bias.add_(100 * torch.randn(prior.trunk.word_embed.bias.shape))
    exact, schedule = exact_prior(export_prior(prior), PLANES), halved_schedule(12, 16, 5)
    walked = schedule[: len(schedule) - PLANES.repeats]
    inputs = [snap(torch.randn(1, h * w, PLANES.inputs).double()) for h, w in walked[1:]]
    assert 150 < prior.trunk.word_embed(inputs[0].float()).abs().max() < 900
    hidden = prior.trunk.features([x.float() for x in inputs], walked)
    caches = exact.begin(schedule)
    for scale in range(len(walked)):
        exact.step(inputs[scale - 1][0] if scale else None, schedule, scale, caches, 0.5)
        assert caches.last is not None
        theirs = prior.context.feature(hidden[scale])[0].double()
        # The first one starts from a vector that these weights leave as small as the grid.
        assert torch.allclose(exact.feature(caches.last), theirs, atol=0.002 if scale else 0.05)


def test_what_is_expected_of_missing_scales_is_the_float_priors() -> None:
    prior = made_up(PLANES)
    exact = exact_prior(export_prior(prior), PLANES)
    quantizer, schedule = ladder(prior)
    _, prefixes = quantizer(0.4 * torch.randn(1, 16, 12, 16), schedule)
    caches, state = exact.begin(schedule), prior.trunk.start(schedule[:-4])
    hidden = torch.empty(0)
    for scale, size in enumerate(schedule):
        after, step = len(schedule) - 1 - scale, quantizer.step(scale, schedule)
        assert step is not None
        z = None if scale == 0 else bilinear(prefixes[scale - 1], size).flatten(2).mT
        if scale < len(schedule) - 4:
            _, hidden = prior.trunk.step(z, state)
        assert isinstance(prior.context, PlaneContext)
        v = in_steps(z, torch.zeros(1, 16, *size), step)
        theirs = prior.context.before(hidden.unflatten(1, size), v, after).sigmoid()[0]
        x = None if z is None else snap(z[0].double())
        mine = exact.chances(*exact.step(x, schedule, scale, caches, step), after)
        assert torch.allclose(mine, theirs.double(), atol=0.01)


def test_a_copy_of_the_caches_goes_its_own_way() -> None:
    exact = exact_prior(export_prior(made_up(PLANES)), PLANES)
    schedule = halved_schedule(8, 8, 5)
    inputs = [snap(torch.randn(h * w, 16).double()) for h, w in schedule]

    def said(scale: int, caches: object, change: float = 0.0) -> torch.Tensor:
        _, features = exact.step(inputs[scale] + change if scale else None, schedule, scale, caches, 0.5)
        return features

    plain, forked = exact.begin(schedule), exact.begin(schedule)
    assert torch.equal(said(0, plain), said(0, forked))
    other = exact.fork(forked)
    assert not torch.equal(said(1, other, 1.0), said(1, forked))
    said(1, plain)
    for scale in range(2, len(schedule)):
        mine = said(scale, forked)
        assert not torch.equal(said(scale, other), mine)
        assert torch.equal(said(scale, plain), mine)


def test_text_prior_cannot_be_exact() -> None:
    with pytest.raises(ModelError):
        export_prior(Prior(PriorConfig(embed_dim=32, depth=1, num_heads=2, text_channels=128)))
