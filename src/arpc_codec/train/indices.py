"""Train the prior of ProGIC's indices on photographs that went through its encoder once."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from arpc_codec.files import write_file
from arpc_codec.prior.indices import IndexConfig, IndexPrior
from arpc_codec.tokenizer import channels_last
from arpc_codec.tokenizer.bisection import reordered
from arpc_codec.tokenizer.progic import Progic
from arpc_codec.train import ranks
from arpc_codec.train.data import Photos, random_crop, to_tensor
from arpc_codec.train.loop import LoopConfig, Metrics, run

# Pictures that go through the encoder at once.
TOGETHER = 8


@dataclass(frozen=True)
class IndexTraining:
    """crops: (height, width, how many are encoded). positions: of the latent, about so many in a step.

    held: one in so many crops, of other photographs, is for validation. seen: channels that the prior is shown, at
    most; its first layer is most of its time.
    """

    crops: tuple[tuple[int, int, int], ...] = ((256, 256, 2800), (384, 512, 350), (512, 384, 350))
    positions: int = 768
    held: int = 25
    seen: int = 16
    lr: float = 2e-3


def encoded(network: Progic, pool: Photos, size: tuple[int, int], count: int, rng: np.random.Generator) -> Tensor:
    """Indices int16 [count, stages, rows, cols] of random crops of photos that hold them."""
    found = []
    with torch.inference_mode():
        for start in range(0, count, TOGETHER):
            crops = [random_crop(rng, pool, size) for _ in range(min(TOGETHER, count - start))]
            found.append(network.quantizer(network.encoder(to_tensor(crops)).float()).indices.to(torch.int16))
    return torch.cat(found)


def encode_all(
    network: Progic, photos: tuple[Photos, Photos], folder: Path, setup: IndexTraining
) -> dict[str, list[Tensor]]:
    """Per side (train, held) the indices of every size of crop. They stay in `folder`: a resumed run reads them.

    Raises ModelError when no photo of a side holds one of the sizes.
    """
    books = network.quantizer.codebooks
    made_from = zlib.crc32(books.numpy().tobytes(), zlib.crc32(repr(setup.crops).encode()))
    cache = folder / f"indices-{made_from:08x}.safetensors"
    with ranks.in_turn():
        if not cache.is_file():
            cache.parent.mkdir(parents=True, exist_ok=True)
            tensors = {}
            # All of them before the first is encoded, which takes long.
            pools = {
                name: [side.holding((height, width), kind) for height, width, _ in setup.crops]
                for name, kind, side in zip(("train", "held"), ("photo", "held-out photo"), photos, strict=True)
            }
            for seed, (name, own) in enumerate(pools.items()):
                rng = np.random.default_rng(seed)
                for i, (pool, (height, width, count)) in enumerate(zip(own, setup.crops, strict=True)):
                    several = count if name == "train" else -(-count // setup.held)
                    tensors[f"{name}.{i}"] = encoded(network, pool, (height, width), several, rng)
            write_file(save(tensors), cache, force=True)
    stored = load_file(cache)
    return {name: [stored[f"{name}.{i}"].long() for i in range(len(setup.crops))] for name in ("train", "held")}


def train_indices(
    network: Progic,
    photos: tuple[Photos, Photos],
    folder: Path,
    minutes: float,
    setup: IndexTraining,
) -> dict[str, Tensor]:
    """Train the prior of a network's indices within `minutes`; returns the averaged weights.

    Of the network the codebooks are reordered, and weights are rounded as in its model folder. The time of encoding is
    not counted. Raises ValueError for codebooks of no power of two of entries.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.half().float()
    books = network.quantizer.codebooks = reordered(network.quantizer.codebooks)
    stages, entries, channels = books.shape
    model = IndexPrior(IndexConfig(min(channels, setup.seen), stages, entries), books)
    channels_last(network)
    data = encode_all(network.eval(), photos, folder, setup)
    shares = np.array([height * width * count for height, width, count in setup.crops], float)
    shares /= shares.sum()

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 4))
        pool = data["train"][int(rng.choice(len(shares), p=shares))]
        batch = max(1, setup.positions // pool[0, 0].numel())
        bits_s = model(pool[torch.from_numpy(rng.integers(len(pool), size=batch))]).mean((1, 2))
        return bits_s.mean(), {f"bits_stage{n}": value for n, value in enumerate(bits_s.tolist(), 1)}

    @torch.no_grad()
    def validate(module: nn.Module) -> Metrics:
        assert isinstance(module, IndexPrior)
        bits = torch.cat([module(part).flatten(1) for pool in data["held"] for part in pool.split(TOGETHER)], 1)
        per_stage = {f"val_bits_stage{n}": value for n, value in enumerate(bits.mean(1).tolist(), 1)}
        return {"val_bits": bits.mean().item(), **per_stage}

    config = LoopConfig(minutes=minutes, lr=setup.lr, beta2=0.99, weight_decay=0.01, ema_half_life=300, save_minutes=2)
    return run(model, step, folder, config, validate=validate).state
