"""Residual vector quantizer: one resolution, several codebooks, each for what the ones before it left (ProGIC).

y --nearest of codebook 1--> c1   y - c1 --nearest of codebook 2--> c2   ...   z_i = c1 + ... + ci
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

# Vectors compared with a codebook at a time: their distances to 1024 entries then fit into a cache-friendly 16 MB.
CHUNK = 4096
# Share of the mean use below which an entry counts as dead, and the use that it is given when it is born again: it
# is judged anew only after the average has forgotten that.
DEAD, BORN = 0.03, 0.3
# Buffers that only `update` needs.
TRAINING_BUFFERS = ("uses", "sums")


class VectorQuantized(NamedTuple):
    """indices: [B, stages, H, W] int64. prefixes: after each stage the sum so far, [B, C, H, W].

    leads: [B, stages, H, W], by how much the second best entry is further away, in halves of squared distances.
    """

    indices: Tensor
    prefixes: list[Tensor]
    leads: Tensor


class Entries(NamedTuple):
    """A codebook [E, C], the moving mean of how many vectors chose each entry [E], and of their sum [E, C]."""

    codebook: Tensor
    uses: Tensor
    sums: Tensor


class ResidualVQ(nn.Module):
    """`stages` codebooks of `entries` vectors of C channels.

    The codebooks follow the moving mean of the residuals that chose each entry (van den Oord et al. 2017, appendix A)
    rather than a gradient: they need no learning rate of their own, keep up with an encoder that changes its scale,
    leave no stale optimiser moments behind when an entry is replaced, and the use of each entry, which revival needs,
    is known anyway. `forward` and `decode` change nothing; the trainer calls `update`.
    """

    codebooks: Tensor
    uses: Tensor
    sums: Tensor

    def __init__(self, channels: int, *, stages: int = 5, entries: int = 1024) -> None:
        super().__init__()
        self.stages, self.entries = stages, entries
        self.register_buffer("codebooks", torch.randn(stages, entries, channels) / channels**0.5)
        # Moving means over steps: how many vectors chose each entry, and their sum.
        self.register_buffer("uses", torch.ones(stages, entries))
        self.register_buffer("sums", self.codebooks.clone())

    def forward(self, y_bchw: Tensor, stages: int | None = None) -> VectorQuantized:
        """Quantise [B, C, H, W], in the first `stages` stages or in all.

        The prefixes are exact sums of entries; their gradient is that of y.
        """
        straight = y_bchw - y_bchw.detach()
        z = torch.zeros_like(y_bchw)
        found: list[tuple[Tensor, Tensor]] = []
        prefixes: list[Tensor] = []
        for stage in range(self.stages if stages is None else stages):
            found.append(nearest(self.codebooks[stage], (y_bchw - z).detach()))
            z = z + self._look_up(stage, found[-1][0])
            prefixes.append(z + straight)
        indices, leads = (torch.stack(parts, 1) for parts in zip(*found, strict=True))
        return VectorQuantized(indices, prefixes, leads)

    def decode(self, indices_bshw: Tensor, stages: int) -> Tensor:
        """Sum [B, C, H, W] of the first `stages` entries of every position, bit for bit the quantizer's prefix."""
        z = self._look_up(0, indices_bshw[:, 0])
        for stage in range(1, stages):
            z = z + self._look_up(stage, indices_bshw[:, stage])
        return z

    @torch.no_grad()
    def update(
        self, y_bchw: Tensor, quantized: VectorQuantized, generator: torch.Generator, decay: float = 0.99
    ) -> int:
        """Move every codebook towards the residuals that chose its entries; returns how many entries were revived."""
        before = [torch.zeros_like(y_bchw), *quantized.prefixes[:-1]]
        return sum(
            learn(self._entries(stage), vectors(y_bchw - z), quantized.indices[:, stage].flatten(), generator, decay)
            for stage, z in enumerate(before)
        )

    @torch.no_grad()
    def start(self, y_bchw: Tensor, generator: torch.Generator, rounds: int = 15) -> None:
        """k-means of the residuals, stage by stage. Raises ValueError for fewer positions than entries."""
        z = torch.zeros_like(y_bchw)
        for stage in range(self.stages):
            residual_bchw = y_bchw - z
            k_means(vectors(residual_bchw), self._entries(stage), generator, rounds)
            z = z + self._look_up(stage, nearest(self.codebooks[stage], residual_bchw)[0])

    def _look_up(self, stage: int, index_bhw: Tensor) -> Tensor:
        return self.codebooks[stage][index_bhw].permute(0, 3, 1, 2)

    def _entries(self, stage: int) -> Entries:
        return Entries(self.codebooks[stage], self.uses[stage], self.sums[stage])


@torch.no_grad()
def nearest(codebook_ec: Tensor, residual_bchw: Tensor) -> tuple[Tensor, Tensor]:
    """Indices [B, H, W] of the entries at the least distance, the lowest of equal ones, and their leads."""
    # Half precision would choose other entries.
    with torch.autocast(residual_bchw.device.type, enabled=False):
        half_squares = codebook_ec.square().sum(1) / 2
        rows = vectors(residual_bchw)
        index, lead = rows.new_empty(len(rows), dtype=torch.int64), rows.new_empty(len(rows))
        # One buffer for all parts: results that are allocated between new ones keep them from being given back.
        distances = rows.new_empty(min(CHUNK, len(rows)), len(codebook_ec))
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            torch.addmm(half_squares, part, codebook_ec.T, alpha=-1, out=distances[: len(part)])
            index[start : start + CHUNK], lead[start : start + CHUNK] = _least(distances[: len(part)])
    size = (residual_bchw.shape[0], *residual_bchw.shape[2:])
    return index.unflatten(0, size), lead.unflatten(0, size)


@torch.no_grad()
def k_means(residual_pc: Tensor, entries: Entries, generator: torch.Generator, rounds: int = 15) -> None:
    """Make a codebook of vectors [P, C], in place. Raises ValueError for fewer vectors than entries."""
    count = len(entries.codebook)
    if len(residual_pc) < count:
        raise ValueError(f"{len(residual_pc)} positions cannot start {count} entries")
    chosen = torch.randperm(len(residual_pc), generator=generator)[:count]
    entries.codebook.copy_(residual_pc[chosen.to(residual_pc.device)])
    for _ in range(rounds):
        index, _ = nearest(entries.codebook, residual_pc.T[None, :, :, None])
        learn(entries, residual_pc, index.flatten(), generator, decay=0.0)


@torch.no_grad()
def learn(entries: Entries, residual_pc: Tensor, index_p: Tensor, generator: torch.Generator, decay: float) -> int:
    """Move a codebook towards the vectors that chose its entries, in place; returns how many entries were revived."""
    codebook, uses, sums = entries
    uses.lerp_(torch.bincount(index_p, minlength=len(uses)).to(uses), 1 - decay)
    sums.lerp_(torch.zeros_like(sums).index_add_(0, index_p, residual_pc), 1 - decay)
    used = uses > 0
    codebook[used] = sums[used] / uses[used, None]
    # Drawn on the CPU: the same on every device, and again after a resume.
    fresh = torch.randperm(len(residual_pc), generator=generator).to(index_p.device)
    dead = (uses < DEAD * uses.mean()).nonzero().flatten()[: len(fresh)]
    codebook[dead] = residual_pc[fresh[: len(dead)]]
    uses[dead] = BORN * uses.mean()
    sums[dead] = codebook[dead] * uses[dead, None]
    return len(dead)


def _least(distances_pe: Tensor) -> tuple[Tensor, Tensor]:
    """Column of the least value of each row, the first of equal ones; how far the next is. Overwrites the rows."""
    if distances_pe.device.type == "cpu":
        # numpy's takes a tenth of the time of torch's, which is most of what quantising costs.
        index = torch.from_numpy(distances_pe.numpy().argmin(1))
    else:
        index = distances_pe.argmin(1)
    least = distances_pe.gather(1, index[:, None])
    distances_pe.scatter_(1, index[:, None], torch.inf)
    return index, distances_pe.amin(1) - least[:, 0]


def used_share(indices_bshw: Tensor, entries: int) -> list[float]:
    """Per stage the share of entries that occur."""
    return [stage.unique().numel() / entries for stage in indices_bshw.unbind(1)]


def vectors(x_bchw: Tensor) -> Tensor:
    """[B, C, H, W] -> [B*H*W, C] float32."""
    return x_bchw.float().permute(0, 2, 3, 1).flatten(0, 2)
