"""Train a context head on the frozen transformer of an imported model; see prior/context.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from arpc_codec.prior.context import ContextHead
from arpc_codec.scales import Schedule
from arpc_codec.scales.published import Published
from arpc_codec.tokenizer import MultiScaleQuantizer, channels_last
from arpc_codec.train import ranks
from arpc_codec.train.captions import Encode, Record, load_records
from arpc_codec.train.features import Features, Frozen, load, store
from arpc_codec.train.finetune import float_parts
from arpc_codec.train.folder import begin
from arpc_codec.train.loop import LoopConfig, Metrics, run
from arpc_codec.train.prior import bit_losses, bit_sums, scale_weights
from arpc_codec.zoo.bundle import ContextSizes
from arpc_codec.zoo.derived import save_derived
from arpc_codec.zoo.placing import check_new
from arpc_codec.zoo.registry import ModelEntry, read_entry


@dataclass(frozen=True)
class ContextTraining:
    """width, hidden: sizes of the head. batch: pictures in a step."""

    width: int = 96
    hidden: int = 8
    batch: int = 4
    lr: float = 2e-3
    save_minutes: float = 4.0


def head_losses(
    head: ContextHead, features: Features, schedule: Schedule, quantizer: MultiScaleQuantizer
) -> tuple[list[Tensor], list[Tensor]]:
    """(nats per bit of each scale with the head, the same of the trunk alone)."""
    tokens = [h * w for h, w in schedule]
    full, alone = [], []
    parts = zip(*(t.split(tokens, 1) for t in features), schedule, strict=True)
    for scale, (hidden, logits, bits, size) in enumerate(parts):
        trunk, bits_bhwd = logits.unflatten(1, size), bits.unflatten(1, size)
        added = head(hidden.float().unflatten(1, size), quantizer.symbols(bits_bhwd, scale, schedule), bits_bhwd)
        full.append(bit_losses(trunk + added, bits_bhwd, quantizer, scale, schedule))
        alone.append(bit_losses(trunk, bits_bhwd, quantizer, scale, schedule))
    return full, alone


def train_context(
    frozen: Frozen, records: tuple[list[Record], list[Record]], folder: Path, minutes: float, setup: ContextTraining
) -> tuple[ContextHead, Metrics]:
    """Train a head within `minutes`; returns it with averaged weights, and what held-out pictures cost with it.

    First the features of all (training, validation) records are stored in folder/features, which no minute is counted
    for. Metrics: coded bits / raw active bits, `val_ratio` with the head, `val_trunk` without.
    """
    device = frozen.trunk.pos_start.device
    with ranks.in_turn():
        train, held = (_by_layout(side, store(frozen, side, folder / "features")) for side in records)
    torch.manual_seed(0)
    head = ContextHead(frozen.trunk.config.embed_dim, frozen.trunk.config.d, setup.width, setup.hidden).to(device)
    channels_last(head)
    shares = np.array([len(paths) for paths in train.values()], float)
    shares /= shares.sum()
    layouts = list(train)

    quantizer = frozen.tokenizer.quantizer

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 5))
        layout = layouts[int(rng.choice(len(layouts), p=shares))]
        chosen = [train[layout][int(i)] for i in rng.integers(len(train[layout]), size=setup.batch)]
        full, alone = head_losses(head, load(chosen, device), layout.schedule, quantizer)
        weights = scale_weights(quantizer, layout.schedule, device)
        coded, trunk = (weights * torch.stack(full)).sum(), (weights * torch.stack(alone)).sum()
        return coded, {"bits": coded.item() / np.log(2), "bits_trunk": trunk.item() / np.log(2)}

    @torch.no_grad()
    def validate(module: nn.Module) -> Metrics:
        assert isinstance(module, ContextHead)
        sums = np.zeros(3)
        for layout, paths in held.items():
            for path in paths:
                losses = head_losses(module, load([path], device), layout.schedule, quantizer)
                sums += bit_sums(layout.schedule, quantizer.coded(layout.schedule), *losses)
        return {"val_ratio": float(sums[1] / sums[0]), "val_trunk": float(sums[2] / sums[0])}

    config = LoopConfig(minutes=minutes, lr=setup.lr, save_minutes=setup.save_minutes)
    head.load_state_dict(run(head, step, folder, config, validate=validate).state)
    return head, validate(head.eval())


def run_context_head(
    model: ModelEntry,
    data: Path,
    out: Path,
    minutes: float,
    encode: Encode | None,
    *,
    device: str = "cpu",
    model_id: int | None = None,
    name: str | None = None,
    licence: str | None = None,
    setup: ContextTraining | None = None,
) -> tuple[ModelEntry, Metrics]:
    """Train a context head for an imported model and write the model folder `out`, the same model with the head.

    data: as in `load_records`. encode: as in `finetune`; without it, or without captions, the head is trained for what
    the model predicts without text. Features and checkpoints are kept in a folder beside `out`, named `out`.run.
    Returns the new model and what held-out pictures cost (`train_context`). Raises as `float_parts`, `load_records`,
    `folder.begin` and `save_derived`, before anything is trained.
    """
    setup = ContextTraining() if setup is None else setup
    check_new(out, model_id, name)
    trunk, tokenizer = float_parts(model)
    encode = encode if trunk.config.text_channels else None
    frozen = Frozen(model.fingerprint, trunk.to(device), tokenizer.to(device), encode)
    records, run_folder = load_records(data, trunk.config), out.with_name(f"{out.name}.run")
    sizes = {"model": model.fingerprint[:12], "width": setup.width, "hidden": setup.hidden}
    begin(run_folder, "context-head", sizes)
    head, metrics = train_context(frozen, records, run_folder, minutes, setup)
    weights = {key: tensor.cpu() for key, tensor in head.state_dict().items()}
    context = ContextSizes(width=setup.width, hidden=setup.hidden), weights
    with ranks.in_turn() as first:
        if first:
            save_derived(model, out, context=context, model_id=model_id, name=name, licence=licence)
    return read_entry(out), metrics


def _by_layout(records: Sequence[Record], paths: Sequence[Path]) -> dict[Published, list[Path]]:
    found: dict[Published, list[Path]] = {}
    for record, path in zip(records, paths, strict=True):
        found.setdefault(record.layout, []).append(path)
    return found
