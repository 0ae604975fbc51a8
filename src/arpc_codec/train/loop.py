"""The one training loop: minutes as the budget, resumable, EMA weights, a log line and a checkpoint every so often.

Several processes (ranks.py) go through it step by step together; the first one writes, validates and keeps the time.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from arpc_codec.errors import ModelError
from arpc_codec.files import make_folder
from arpc_codec.train import ranks
from arpc_codec.train.folder import ADVERSARY, State, log_line, reached, save_state
from arpc_codec.train.muon import Muon
from arpc_codec.train.precision import bfloat16_pays
from arpc_codec.train.weights import filled

Metrics = dict[str, float]
WEIGHTS, EMA, OPTIMISER = "weights.safetensors", "ema.safetensors", "optimiser.safetensors"


@dataclass(frozen=True)
class LoopConfig:
    """minutes: wall-clock budget of the whole run over all resumes; lr: peak, warmed up, then a cosine to 2 %."""

    minutes: float
    lr: float = 1e-3
    warmup_steps: int = 50
    weight_decay: float = 0.0
    beta2: float = 0.98
    clip: float = 1.0
    muon: tuple[str, ...] = ()
    ema_half_life: float = 150.0
    log_every: int = 20
    save_minutes: float = 2.0
    seed: int = 0


class Ema:
    """Exponential moving average of a module's floating-point state; starts as a plain mean."""

    def __init__(self, module: nn.Module, half_life: float) -> None:
        self.decay = 0.5 ** (1 / half_life)
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the module's present weights."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))
        for key, value in module.state_dict().items():
            self.state[key].lerp_(value, 1 - decay)

    def take(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Go on from another average after so many updates. Raises ValueError for that of another module."""
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in self.state.items()}:
            raise ValueError("an average of other weights")
        self.state, self.updates = {k: v.to(self.state[k].device) for k, v in state.items()}, updates


def run(
    module: nn.Module,
    step: Callable[[int, float], tuple[Tensor, Metrics]],
    folder: Path,
    config: LoopConfig,
    *,
    validate: Callable[[nn.Module], Metrics] | None = None,
    rates: Mapping[str, float] | None = None,
    adversary: nn.Module | None = None,
) -> Ema:
    """Train `module` until the minutes are spent; `step(seed, progress)` returns the loss and what to log.

    `seed`: the number of the step; several processes have different ones, and so draw data of their own.
    Writes to `folder`: log.jsonl, state.json and safetensors of the weights, their average and the optimiser.
    `rates` scales the learning rate of parameters by the first matching name prefix; 0 freezes them. Matrices and
    kernels whose names start with one of `config.muon` are trained with Muon, which needs fewer steps.
    The `adversary`, if any,
    is trained and saved beside the module, but not averaged.
    A run that was killed goes on from its last checkpoint; progress counts time, so the schedule still ends at 0.
    Raises ModelError when the checkpoint is damaged or that of another network.
    """
    make_folder(folder)
    groups = _groups(module, config, rates or {})
    trained = [p for group in groups for p in group["params"]]
    optimisers = _optimisers(groups, config)
    if adversary is not None:
        optimisers.append(torch.optim.AdamW([{"params": list(adversary.parameters()), "rate": 1.0}], betas=(0.5, 0.98)))
    device = next(module.parameters()).device
    halved = bool(ranks.agreed(bfloat16_pays(device.type)))
    if ranks.leads():
        log_line(folder, {"precision": "bfloat16" if halved else "float32"})
    networks = [network for network in (module, adversary) if network is not None]
    parameters = [p for network in networks for p in network.parameters()]
    # What networks learn without gradients, such as codebooks, is the first rank's: a mean of two codebooks would make
    # one entry of two that were born again.
    buffers = [buffer for network in networks for buffer in network.buffers()]
    ranks.share([*parameters, *buffers])
    ema = Ema(module, config.ema_half_life)
    index, spent = _resume(folder, module, adversary, optimisers, ema)
    budget = config.minutes * 60
    last = saved = time.monotonic()
    sums: dict[str, list[float]] = {}
    with _without_denormals(), _progress_bar() as bar:
        task = bar.add_task(folder.name, total=budget, completed=int(spent))
        while spent < budget:
            progress = spent / budget
            # A step has the same chances in a run that was stopped and in one that was not.
            seed = ranks.own(index)
            torch.manual_seed(config.seed + seed)
            rate = config.lr * min(1.0, (index + 1) / config.warmup_steps)
            rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate * group["rate"]
            with torch.autocast(device.type, torch.bfloat16, enabled=halved):
                loss, metrics = step(seed, progress)
            for network in networks:
                network.zero_grad()
            loss.backward()
            ranks.average_gradients(parameters)
            ranks.share(buffers)
            norm = torch.nn.utils.clip_grad_norm_(trained, config.clip)
            if torch.isfinite(norm):  # one bad batch must not cost the run
                for optimiser in optimisers:
                    optimiser.step()
                ema.update(module)
            index += 1
            now = time.monotonic()
            spent, last = ranks.agreed(spent + now - last), now
            if not ranks.leads():
                continue
            bar.update(
                task, completed=min(spent, budget), description=f"{folder.name}: step {index}, loss {loss.item():.3f}"
            )
            for name, value in {"loss": loss.item(), "grad": float(norm), **metrics}.items():
                sums.setdefault(name, []).append(value)
            done = spent >= budget
            if index % config.log_every == 0 or done:
                log_line(
                    folder,
                    {"step": index, "minutes": spent / 60, "lr": rate, **{k: sum(v) / len(v) for k, v in sums.items()}},
                )
                sums = {}
            if now - saved > config.save_minutes * 60 or done:
                _save(folder, module, adversary, optimisers, ema, State(index, spent, ema.updates))
                saved = now
                if validate is not None:
                    log_line(
                        folder, {"step": index, "minutes": spent / 60, **_with_weights(module, ema.state, validate)}
                    )
                    last = time.monotonic()
    return ema


@contextmanager
def _without_denormals() -> Iterator[None]:
    """On a CPU they made steps two to three times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _progress_bar() -> Progress:
    """Time spent of the budget; shown when stderr is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not (ranks.leads() and sys.stderr.isatty()))


def _groups(module: nn.Module, config: LoopConfig, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Optimiser groups by rate and kind; parameters of rate 0 or without gradient are left out."""
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        rate = next((value for prefix, value in rates.items() if name.startswith(prefix)), 1.0)
        if rate and parameter.requires_grad:
            # Gains and shifts are stored as matrices too, but are not linear maps.
            muon = name.startswith(config.muon) and name.endswith("weight") and parameter.ndim in (2, 4)
            groups.setdefault((rate, parameter.ndim >= 2, muon), []).append(parameter)
    return [
        {"params": p, "rate": rate, "weight_decay": config.weight_decay if decay else 0.0, "muon": muon}
        for (rate, decay, muon), p in groups.items()
    ]


def _optimisers(groups: list[dict[str, Any]], config: LoopConfig) -> list[torch.optim.Optimizer]:
    hidden = [group for group in groups if group["muon"]]
    others = [group for group in groups if not group["muon"]]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=config.lr, betas=(0.9, config.beta2))]
    if hidden:
        optimisers.append(Muon(hidden, lr=config.lr))
    return optimisers


@torch.no_grad()
def _with_weights(module: nn.Module, state: dict[str, Tensor], call: Callable[[nn.Module], Metrics]) -> Metrics:
    """Run `call` with other weights in place, then put the old ones back."""
    own = {k: v.clone() for k, v in module.state_dict().items()}
    module.load_state_dict(state)
    module.eval()
    try:
        return call(module)
    finally:
        module.load_state_dict(own)
        module.train()


def _save(
    folder: Path,
    module: nn.Module,
    adversary: nn.Module | None,
    optimisers: list[torch.optim.Optimizer],
    ema: Ema,
    now: State,
) -> None:
    """Every file under a temporary name first: a kill between the renames mixes two checkpoints at worst."""
    moments = {
        f"{n}.{i}.{name}": value
        for n, optimiser in enumerate(optimisers)
        for i, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    parts = {WEIGHTS: dict(module.state_dict()), EMA: ema.state, OPTIMISER: moments}
    if adversary is not None:
        parts[ADVERSARY] = dict(adversary.state_dict())
    for name, tensors in parts.items():
        save_file({k: v.contiguous() for k, v in tensors.items()}, (folder / name).with_suffix(".tmp"))
    for name in parts:
        os.replace((folder / name).with_suffix(".tmp"), folder / name)
    save_state(folder, now)


def _resume(
    folder: Path, module: nn.Module, adversary: nn.Module | None, optimisers: list[torch.optim.Optimizer], ema: Ema
) -> tuple[int, float]:
    """(step, seconds spent) of the checkpoint in `folder`, whose weights and moments everything takes."""
    now = reached(folder)
    if now is None:
        return 0, 0.0
    try:
        filled(module, load_file(folder / WEIGHTS), folder / WEIGHTS)
        if adversary is not None and (folder / ADVERSARY).is_file():
            filled(adversary, load_file(folder / ADVERSARY), folder / ADVERSARY)
        ema.take(load_file(folder / EMA), now.ema_updates)
        _take_moments(optimisers, load_file(folder / OPTIMISER))
    except (OSError, SafetensorError, ValueError, LookupError) as error:
        raise ModelError(f"{folder}: its checkpoint is damaged, or of another network ({error})") from error
    return now.step, now.spent_seconds


def _take_moments(optimisers: list[torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """What `_save` stored of optimisers. Raises ValueError or LookupError for those of other parameters."""
    moments: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimisers]
    for key, value in tensors.items():
        n, i, name = key.split(".")
        moments[int(n)].setdefault(int(i), {})[name] = value
    for optimiser, moment in zip(optimisers, moments, strict=True):
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        for number, state in moment.items():
            if any(value.ndim and value.shape != parameters[number].shape for value in state.values()):
                raise ValueError("moments of other parameters")
        optimiser.load_state_dict({"state": moment, "param_groups": optimiser.state_dict()["param_groups"]})
