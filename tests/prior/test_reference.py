"""The transformer against vectors computed by the public Infinity model definition (KEYS.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from arpc_codec.prior.attention import Text
from arpc_codec.prior.rope import axis_positions, token_rotations
from arpc_codec.prior.transformer import VAR, guide
from arpc_codec.scales import Schedule
from arpc_codec.zoo.bundle import Bundle

pytestmark = pytest.mark.usefixtures("no_gradients")

GROUPS = ("sq256", "r150", "sq512", "r125h")
GREEDY_GROUPS = ("sq256", "r150", "r125h")


class Case:
    """Everything of the reference folder, read once."""

    def __init__(self, folder: Path, imported: Bundle) -> None:
        self.folder = folder
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        self.vectors = load_file(folder / "vectors.safetensors")
        assert isinstance(imported.prior, VAR)
        self.model, self.tokenizer = imported.prior, imported.tokenizer
        self.text = Text(self.vectors["text.kv_compact"][None])

    def schedule(self, group: str) -> Schedule:
        return tuple((h, w) for _, h, w in self.config["groups"][group]["scale_schedule"])

    def grid(self, group: str) -> tuple[int, int]:
        height, width = self.config["groups"][group]["rope_reference_h_w"]
        return height, width

    def inputs(self, group: str) -> list[Tensor]:
        return list(self.vectors[f"{group}.x_in"].split([h * w for h, w in self.schedule(group)[1:]], dim=1))


@pytest.fixture(scope="module")
def case(shared_dir: Path, infinity_tiny: Bundle) -> Case:
    return Case(shared_dir / "reference" / "infinity-tiny", infinity_tiny)


def error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return (found - expected).abs().max().item()


class Run:
    """A scale-by-scale run with the case's text; a guided one goes beside another without."""

    def __init__(self, case: Case, group: str, guidance: float = 1.0) -> None:
        self.model, self.guidance, text = case.model, guidance, case.text
        texts = [text] if guidance == 1 else [text, case.model.text.unconditional(text)]
        self.states = [case.model.start(case.schedule(group), one, case.grid(group)) for one in texts]

    def step(self, x: Tensor | None) -> Tensor:
        own, *other = (self.model.step(x, state)[0] for state in self.states)
        return guide(own, other[0], self.guidance) if other else own


def stepped(case: Case, group: str, guidance: float = 1.0) -> Tensor:
    run = Run(case, group, guidance)
    return torch.cat([run.step(x) for x in (None, *case.inputs(group))], dim=1)


@pytest.mark.parametrize("group", GROUPS)
def test_teacher_forced_logits(case: Case, group: str) -> None:
    logits = case.model(case.inputs(group), case.schedule(group), case.text, case.grid(group))
    assert error(torch.cat(logits, dim=1), case.vectors[f"{group}.logits"]) < 1e-4


@pytest.mark.parametrize("group", GREEDY_GROUPS)
def test_unconditional_logits(case: Case, group: str) -> None:
    text = case.model.text.unconditional(case.text)
    logits = case.model(case.inputs(group), case.schedule(group), text, case.grid(group))
    assert error(torch.cat(logits, dim=1), case.vectors[f"{group}.logits_uncond"]) < 1e-4


@pytest.mark.parametrize("group", GROUPS)
def test_cached_logits(case: Case, group: str) -> None:
    assert error(stepped(case, group), case.vectors[f"{group}.logits_cached"]) < 1e-4


@pytest.mark.parametrize("group", GREEDY_GROUPS)
def test_guided_logits(case: Case, group: str) -> None:
    assert error(stepped(case, group, 3.0), case.vectors[f"{group}.logits_cfg3"]) < 2e-4


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("group", GREEDY_GROUPS)
def test_greedy_completion_bits_are_exact(case: Case, group: str, guidance: float) -> None:
    schedule, prefix = case.schedule(group), case.config["groups"][group]["greedy_ground_truth_scales"]
    name = "greedy" if guidance == 1 else "greedy_cfg3"
    run = Run(case, group, guidance)
    quantizer, d = case.tokenizer.quantizer, case.model.config.d
    z = torch.zeros(1, d, *schedule[-1])
    every: list[Tensor] = []
    for s, size in enumerate(schedule):
        x = quantizer.resample(z, size).flatten(2).transpose(1, 2) if s else None
        logits = run.step(x)
        bits = logits.unflatten(-1, (d, 2)).argmax(-1).reshape(1, *size, d).to(torch.uint8)
        if s < prefix:
            bits = case.vectors[f"{group}.bits.{s:02}"]
        else:
            every.append(logits)
            assert torch.equal(bits, case.vectors[f"{group}.{name}.bits.{s:02}"])
        z = z + quantizer.resample(quantizer.code(bits, s, schedule).to(z), schedule[-1])
    if guidance == 1:
        assert error(torch.cat(every, dim=1), case.vectors[f"{group}.greedy.logits"]) < 1e-4
        assert error(z, case.vectors[f"{group}.greedy.z"]) < 2e-6
    image = f"{group}.{name}.image"
    if image in case.vectors:
        found = case.tokenizer.decoder(z, case.tokenizer.state(0, False)).clamp(-1, 1)
        assert error(found, case.vectors[image]) < 1e-3


def test_intermediate_tensors(case: Case) -> None:
    model, vectors = case.model, case.vectors
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Tensor) -> None:
            found[name] = output

        return hook

    hooks = [block.register_forward_hook(keep(f"block{i}.out")) for i, block in enumerate(model.blocks)]
    first = model.blocks[0]
    for name in ("sa", "ca", "ffn"):
        hooks.append(getattr(first, name).register_forward_hook(keep(f"block0.{name}_out")))
    hooks.append(first.register_forward_pre_hook(lambda _module, inputs: found.update(x0=inputs[0])))
    hooks.append(model.text.norm.register_forward_hook(keep("text_normed")))
    schedule, grid = case.schedule("sq256"), case.grid("sq256")
    features = model.features(case.inputs("sq256"), schedule, case.text, grid)
    for hook in hooks:
        hook.remove()
    condition = model.text(case.text)
    assert condition.memory_btc is not None
    found["cond"] = condition.pooled_bc
    found["ca_kv"] = condition.memory_btc[0]
    found["text_normed"] = found["text_normed"][0]
    found["ada_shared"] = model.modulation(condition.pooled_bc)[None]
    found["head_in"] = torch.cat(features, dim=1)
    names = [name for name in vectors if name.startswith("sq256.dbg.")]
    assert sorted(name.removeprefix("sq256.dbg.") for name in names) == sorted(found)
    for name in names:
        expected = vectors[name]
        tensor = found[name.removeprefix("sq256.dbg.")]
        # Token tensors are stored for the first four scales only.
        tensor = tensor[:, : expected.shape[1]] if tensor.ndim == 3 else tensor
        assert error(tensor, expected) < 1e-4, name


@pytest.mark.parametrize("group", ["sq256", "r125h"])
def test_rotation_tables(case: Case, group: str) -> None:
    table = token_rotations(case.schedule(group), case.grid(group), case.model.config.head_dim)
    assert error(table, case.vectors[f"{group}.rope_cos_sin"]) < 1e-5


def test_positions_of_every_published_schedule(case: Case) -> None:
    ratios = json.loads((case.folder / "SCHEDULES.json").read_text("utf-8"))["ratios"]
    assert len(ratios) == 15
    for ratio in ratios.values():
        grid_h, grid_w = ratio["final_h_w_1M"]
        sizes = ratio["pn"]["1M"]["scales_h_w"]
        assert [axis_positions(h, grid_h) for h, _ in sizes] == ratio["rope_position_rows"]
        assert [axis_positions(w, grid_w) for _, w in sizes] == ratio["rope_position_cols"]


def test_prompts_of_different_length_do_not_touch_each_other(case: Case) -> None:
    prompt = case.vectors["text.kv_compact"]
    text = Text.pad([prompt[:2], prompt])
    inputs = [x.expand(2, -1, -1) for x in case.inputs("sq256")]
    logits = case.model(inputs, case.schedule("sq256"), text, case.grid("sq256"))
    assert error(torch.cat(logits, dim=1)[1:], case.vectors["sq256.logits"]) < 1e-4
    state = case.model.start(case.schedule("sq256"), text, case.grid("sq256"))
    cached = [case.model.step(x, state)[0] for x in (None, *inputs)]
    assert error(torch.cat(cached, dim=1), torch.cat(logits, dim=1)) < 1e-4
