"""Trains a small network: `torchrun ... ranks_worker.py OUT STEPS`; writes what each process has at its end.

One process can take the steps of several `together`: each with the mean of their losses.
"""

import os
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from arpc_codec.train import loop, ranks


class Network(nn.Module):
    """A buffer that follows the data, a layer that only every third number uses, and one that none does."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.always, self.sometimes, self.never = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor, seed: int) -> Tensor:
        self.seen.fill_(seed)
        return self.sometimes(self.always(x)) if seed % 3 == 0 else self.always(x)


def train(out: Path, steps: int, together: int, rank: int = 0) -> dict[str, Tensor]:
    """What the process has at the end, and the numbers of its steps."""
    # Clocks that disagree: all go by the first. The others start from other weights, too.
    ticks = count()
    loop.time = SimpleNamespace(monotonic=lambda: next(ticks) * (1 + 9 * rank))  # type: ignore[assignment]
    # So do measurements: all train in the precision that pays for the first.
    loop.bfloat16_pays = lambda device_type: rank > 0
    torch.manual_seed(rank)
    network, seeds = Network(), []

    def loss(seed: int) -> Tensor:
        seeds.append(seed)
        x = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
        return (network(x, seed) - x.flip(1)).square().mean()

    def step(seed: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        return torch.stack([loss(seed * together + n) for n in range(together)]).mean(), {}

    def validate(module: nn.Module) -> dict[str, float]:
        (out / f"validated{rank}").touch()
        return {}

    config = loop.LoopConfig(minutes=steps / 60, lr=0.03, weight_decay=0.1, warmup_steps=2, save_minutes=0.05)
    averages = loop.run(network, step, out, config, validate=validate).state
    return {"seeds": torch.tensor(seeds), **network.state_dict()} | {f"ema.{k}": v for k, v in averages.items()}


def main() -> None:
    out, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    ranks.join()
    save_file(train(out, int(sys.argv[2]), 1, rank), out / f"end{rank}.safetensors")


if __name__ == "__main__":
    main()
