"""Properties of the transformer that need no reference data."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from arpc_codec.errors import ModelError, UsageError
from arpc_codec.prior.attention import Text
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.rope import angle_tables, axis_positions, rotate, token_positions, token_rotations
from arpc_codec.prior.transformer import VAR, guide
from arpc_codec.scales import Schedule

SCHEDULE: Schedule = ((1, 1), (2, 1), (3, 2), (5, 3))
CONFIG = PriorConfig(d=8, embed_dim=32, depth=3, num_heads=2, scale_embed="index+end")
TEXT_CONFIG = dataclasses.replace(CONFIG, text_channels=12, text_maxlen=9, scale_embed="index")


def random_model(config: PriorConfig = CONFIG, seed: int = 0) -> VAR:
    """A fresh prior starts as the identity, so every parameter is disturbed."""
    torch.manual_seed(seed)
    model = VAR(config)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.2
    return model


def random_inputs(batch: int = 2, d: int = 8, schedule: Schedule = SCHEDULE) -> list[Tensor]:
    return [torch.randn(batch, h * w, d) for h, w in schedule[1:]]


def random_text(batch: int = 2) -> Text:
    return Text.pad([torch.randn(3 + 2 * i, 12) for i in range(batch)])


@pytest.mark.parametrize("config", [CONFIG, TEXT_CONFIG], ids=["learned", "text"])
def test_steps_equal_forward(config: PriorConfig) -> None:
    model, inputs = random_model(config), random_inputs()
    text = random_text() if config.text_channels else None
    logits = model(inputs, SCHEDULE, text=text)
    features = model.features(inputs, SCHEDULE, text=text)
    state = model.start(SCHEDULE, text=text, batch=2)
    for s, x in enumerate([None, *inputs]):
        step_logits, step_features = model.step(x, state)
        assert step_logits.shape == (2, SCHEDULE[s][0] * SCHEDULE[s][1], 16)
        torch.testing.assert_close(step_logits, logits[s], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(step_features, features[s], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model.head(features[s]), logits[s])
    with pytest.raises(UsageError, match="already"):
        model.step(inputs[-1], state)


def test_a_scale_never_sees_finer_ones() -> None:
    model, inputs = random_model(), random_inputs()
    before = model(inputs, SCHEDULE)
    inputs[1] = inputs[1] + 1
    after = model(inputs, SCHEDULE)
    for s in (0, 1):
        assert torch.equal(before[s], after[s])
    for s in (2, 3):
        assert (before[s] - after[s]).abs().max() > 1e-3


def test_all_tokens_of_a_scale_see_each_other() -> None:
    model, inputs = random_model(), random_inputs(batch=1)
    before = model(inputs, SCHEDULE)[-1]
    inputs[-1][:, -1] += 1
    assert ((model(inputs, SCHEDULE)[-1] - before).abs().amax(-1) > 1e-5).all()


def test_scale_embedding_counts_from_both_ends() -> None:
    model = random_model()
    torch.nn.init.zeros_(model.lvl_embed.weight)
    model.end_embed.weight.data[3] = 0
    start = model(random_inputs(), SCHEDULE)[0]
    torch.nn.init.zeros_(model.end_embed.weight)
    assert torch.equal(start, model(random_inputs(), SCHEDULE)[0])
    model.end_embed.weight.data[3] = torch.randn(32)
    assert not torch.allclose(start, model(random_inputs(), SCHEDULE)[0])
    assert not hasattr(VAR(TEXT_CONFIG), "end_embed")


def test_gradients_reach_every_parameter() -> None:
    for config in (CONFIG, TEXT_CONFIG):
        model = random_model(config)
        text = random_text() if config.text_channels else None
        torch.cat(model(random_inputs(), SCHEDULE, text=text), dim=1).square().mean().backward()
        idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert idle == (["text.uncond"] if config.text_channels else [])


def test_a_fresh_prior_learns() -> None:
    torch.manual_seed(1)
    model, inputs = VAR(CONFIG), random_inputs(batch=4)
    targets = torch.cat([inputs[0].new_zeros(4, 1, 8), *inputs], dim=1) > 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        logits = torch.cat(model(inputs, SCHEDULE), dim=1).unflatten(-1, (8, 2))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 2), targets.long().flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(0.693, abs=0.05)
    assert losses[-1] < 0.25


def test_guidance_extrapolates_between_the_two_halves() -> None:
    model, inputs, text = random_model(TEXT_CONFIG), random_inputs(), random_text()
    cond = model(inputs, SCHEDULE, text=text)
    uncond = model(inputs, SCHEDULE, text=model.text.unconditional(text))
    states = [model.start(SCHEDULE, text=one) for one in (text, model.text.unconditional(text))]
    for s, (x, g) in enumerate(zip([None, *inputs], [1.0, 3.0, 0.5, 0.0], strict=True)):
        (own, hidden), (other, _) = (model.step(x, state) for state in states)
        torch.testing.assert_close(guide(own, other, g), g * cond[s] + (1 - g) * uncond[s], rtol=1e-3, atol=1e-3)
        assert hidden.shape == (2, len(cond[s][0]), 32)


def test_inputs_that_do_not_fit_are_refused() -> None:
    model, text_model, inputs = VAR(CONFIG), VAR(TEXT_CONFIG), random_inputs()
    published = VAR(dataclasses.replace(CONFIG, rope_grid="published"))
    with pytest.raises(UsageError, match="inputs"):
        model(inputs[:-1], SCHEDULE)
    with pytest.raises(UsageError, match="batch"):
        model([inputs[0][:1], *inputs[1:]], SCHEDULE)
    with pytest.raises(UsageError, match="grid"):
        published(inputs, SCHEDULE)
    with pytest.raises(UsageError, match="levels"):
        model.start(SCHEDULE * CONFIG.max_levels)
    with pytest.raises(UsageError, match="without text"):
        model(inputs, SCHEDULE, text=random_text())
    with pytest.raises(UsageError, match="needs a text"):
        text_model(inputs, SCHEDULE)
    with pytest.raises(UsageError, match="longer"):
        text_model(inputs, SCHEDULE, text=Text(torch.randn(2, 10, 12)))
    with pytest.raises(UsageError, match="channels"):
        text_model(inputs, SCHEDULE, text=Text(torch.randn(2, 5, 13)))
    with pytest.raises(UsageError, match="inputs"):
        model.step(inputs[0], model.start(SCHEDULE))


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 0},
        {"num_heads": 3},
        {"num_heads": 16},
        {"scale_embed": "both"},
        {"rope_grid": "own"},
        {"text_channels": 640},
        {"text_channels": 12, "text_maxlen": 0},
    ],
)
def test_configs_that_cannot_be_built(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="prior config"):
        dataclasses.replace(CONFIG, **change)  # type: ignore[arg-type]


def test_inference_does_not_spoil_later_training() -> None:
    model, schedule = random_model(), ((1, 1), (7, 5))
    with torch.inference_mode():
        state = model.start(schedule)
        model.step(None, state)
    torch.cat(model(random_inputs(schedule=schedule), schedule), dim=1).sum().backward()


def test_bfloat16_autocast_stays_close() -> None:
    model, inputs = random_model(), random_inputs()
    exact = torch.cat(model(inputs, SCHEDULE), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        rough = torch.cat(model(inputs, SCHEDULE), dim=1)
        state = model.start(SCHEDULE, batch=2)
        stepped = torch.cat([model.step(x, state)[0] for x in (None, *inputs)], dim=1)
    spread = exact.std().item()
    assert (rough - exact).abs().mean() < 0.1 * spread
    assert (stepped - exact).abs().mean() < 0.1 * spread


def test_positions_by_hand() -> None:
    assert axis_positions(4, 4) == [0, 1, 2, 3]
    assert axis_positions(1, 64) == [0]
    assert axis_positions(4, 14) == [0, 4, 7, 10]  # 3.5 and 10.5 go to the even neighbour
    assert axis_positions(3, 10) == [0, 3, 7]
    assert token_positions(((1, 1), (2, 3)), (4, 6)) == ([0, 0, 0, 0, 2, 2, 2], [0, 0, 2, 4, 0, 2, 4])


@given(size=st.integers(1, 130), grid=st.integers(1, 130))
def test_positions_round_half_to_even(size: int, grid: int) -> None:
    assert axis_positions(size, grid) == [round(Fraction(i * grid, size)) for i in range(size)]


def test_rotation_by_hand() -> None:
    cos, sin = angle_tables(6, 8)
    assert cos.shape == (6, 2)
    torch.testing.assert_close(sin[5], torch.tensor([5.0, 0.05], dtype=torch.float64).sin())
    table = token_rotations(((2, 3),), (2, 3), 8)
    torch.testing.assert_close(table[0, 5], torch.tensor([1.0, 0.01, 2.0, 0.02]).cos())
    x = torch.randn(1, 6, 1, 1, 8)
    turned = rotate(x, table)
    a, b = x[0, 5, 0, 0, :2]
    c, s = table[:, 5, 0]
    torch.testing.assert_close(turned[0, 5, 0, 0, :2], torch.stack((a * c - b * s, a * s + b * c)))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
