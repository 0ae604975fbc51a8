"""Which precision a run trains in, and which of its weights Muon moves and how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from arpc_codec.train import loop, precision
from arpc_codec.train.loop import LoopConfig, run
from arpc_codec.train.muon import Muon, orthogonalise

# -- precision ---------------------------------------------------------------------------------------------------------


def measured(monkeypatch: pytest.MonkeyPatch, full: list[float], half: list[float]) -> bool:
    """What is decided when steps in float32 take these seconds, and those in bfloat16, in turn, these."""

    def clock() -> Iterator[float]:
        now = 0.0
        for seconds in chain.from_iterable(zip(full, half, strict=True)):
            yield now
            now += seconds
            yield now

    ticks = clock()
    monkeypatch.setattr(precision, "TRIES", len(full))
    monkeypatch.setattr(precision, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    return precision.bfloat16_pays.__wrapped__("cpu")


def test_bfloat16_pays_where_it_is_clearly_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(monkeypatch, [1.0] * 6, [0.5] * 6)
    assert not measured(monkeypatch, [1.0] * 6, [0.9] * 6)
    assert not measured(monkeypatch, [1.0] * 6, [10.0] * 6)
    # The quickest of several counts: other programs only make them slower.
    assert measured(monkeypatch, [5, 1, 9, 1, 1, 1], [9, 9, 9, 9, 0.5, 9])
    assert not measured(monkeypatch, [9, 9, 9, 9, 0.5, 9], [0.45] * 6)


def test_it_is_measured_once_and_on_a_processor_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision.bfloat16_pays("cuda")
    first = precision.bfloat16_pays("cpu")
    assert isinstance(first, bool)
    monkeypatch.setattr(precision, "time", None)
    assert precision.bfloat16_pays("cpu") == first


@pytest.mark.parametrize("pays", [False, True])
def test_steps_run_in_it_and_validations_do_not(pays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "bfloat16_pays", lambda device_type: pays)
    torch.manual_seed(0)
    model, seen = nn.Linear(4, 4), set()

    def step(index: int, progress: float):
        y = model(torch.ones(2, 4))
        seen.add(("step", y.dtype))
        return y.float().square().mean(), {}

    def validate(module: nn.Module) -> dict[str, float]:
        seen.add(("validation", module(torch.ones(2, 4)).dtype))
        return {}

    state = run(model, step, tmp_path, LoopConfig(minutes=0.01), validate=validate).state
    assert seen == {("step", torch.bfloat16 if pays else torch.float32), ("validation", torch.float32)}
    assert {value.dtype for value in state.values()} == {torch.float32}
    first = json.loads((tmp_path / "log.jsonl").read_text("utf-8").splitlines()[0])
    assert first == {"precision": "bfloat16" if pays else "float32"}


# -- Muon --------------------------------------------------------------------------------------------------------------


class Network(nn.Module):
    """Kernels, matrices, gains and an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1)
        self.mix, self.rows = nn.Linear(8, 4), nn.Embedding(5, 4)
        self.gains = nn.Parameter(torch.ones(2, 4))


def test_prefixes_say_what_muon_trains() -> None:
    model = Network()
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def chosen(*prefixes: str) -> set[str]:
        groups = loop._groups(model, LoopConfig(minutes=1, muon=prefixes), {"out": 0.5, "mix.bias": 0.0})
        found = [names[id(parameter)] for group in groups for parameter in group["params"]]
        assert sorted(found) == sorted(set(names.values()) - {"mix.bias"})
        assert {group["rate"] for group in groups for p in group["params"] if p is model.out.weight} == {0.5}
        return {names[id(parameter)] for group in groups if group["muon"] for parameter in group["params"]}

    assert chosen() == set()
    assert chosen("stem") == {"stem.weight"}
    # Biases and gains are no linear maps.
    assert chosen("stem", "out", "mix", "gains") == {"stem.weight", "out.weight", "mix.weight"}


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (9, 9)])
def test_all_directions_become_about_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalise(matrix)
    sizes = torch.linalg.svdvals(found)
    assert s.max() / s.min() > 2
    assert sizes.min() > 0.5
    assert sizes.max() < 1.4
    assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), 0) > 0.97


def test_a_kernel_moves_as_the_matrix_of_its_outputs() -> None:
    """In any memory format; steps are of the size of AdamW's."""
    torch.manual_seed(0)
    start, gradients = torch.randn(8, 3, 3, 3), torch.randn(4, 8, 3, 3, 3)
    kernel = nn.Parameter(start.clone())
    last = nn.Parameter(start.clone().contiguous(memory_format=torch.channels_last))
    matrix = nn.Parameter(start.flatten(1).clone())
    optimisers = [Muon([parameter], lr=0.01) for parameter in (kernel, last, matrix)]
    for gradient in gradients:
        kernel.grad, matrix.grad = gradient.clone(), gradient.flatten(1)
        last.grad = gradient.clone().contiguous(memory_format=torch.channels_last)
        for optimiser in optimisers:
            optimiser.step()
    assert torch.allclose(kernel, matrix.view_as(kernel), atol=1e-6)
    assert torch.allclose(last, kernel, atol=1e-6)
    moved = (kernel - start).square().mean().sqrt()
    assert 0.001 < moved < 4 * 0.01


def test_kernels_learn_with_muon_and_go_on_after_a_stop(tmp_path: Path) -> None:
    torch.manual_seed(0)
    target = nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False)

    def train(minutes: float) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))

        def step(index: int, progress: float):
            x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(index))
            return (model(x) - target(x)).square().mean(), {}

        return run(model, step, tmp_path, LoopConfig(minutes=minutes, lr=0.03, warmup_steps=5, muon=("0",))).state

    train(0.04)
    train(0.1)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.1 * losses[0]
    moments = load_file(tmp_path / "optimiser.safetensors")
    assert moments["1.0.momentum_buffer"].shape == (4, 3, 3, 3)
    assert json.loads((tmp_path / "state.json").read_text("utf-8"))["step"] > 100
