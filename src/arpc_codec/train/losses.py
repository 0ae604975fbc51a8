"""Reconstruction loss: pixels at two resolutions and three perceptual networks seen through random views.

One network alone is fooled: its blind spots fill with grids, its favourite strokes with marks. Several under random
shifts, turns and reductions are harder to fool.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.metrics.lpips import LPIPS
from arpc_codec.metrics.vggfeat import VGGFeatures, vgg_loss
from arpc_codec.tokenizer import STRIDE

# The networks cost more than the codec, so each step asks one of them; how often, as a share of steps.
SHARES = {"alex": 0.3, "squeeze": 0.3, "vgg": 0.4}
# Mean fine detail (of [-1, 1]) below which a surface counts as smooth.
FLAT = 0.02


@dataclass(frozen=True)
class LossWeights:
    """Factor of each term; see `ReconstructionLoss`."""

    l1: float = 0.6
    l1_quarter: float = 0.5
    alex: float = 0.4
    squeeze: float = 0.2
    vgg: float = 0.3
    grid: float = 3.0
    flat: float = 12.0
    blotch: float = 12.0
    colour: float = 2.0
    fringe: float = 1.0


def grid_error(error_bchw: Tensor) -> Tensor:
    """Mean magnitude of the error's average over all 16x16 cells: what repeats in every cell is a grid, not content."""
    cell = F.pixel_unshuffle(error_bchw, STRIDE).mean((2, 3)).unflatten(1, (-1, STRIDE**2))
    return (cell - cell.mean(2, keepdim=True)).abs().mean()


def flat_errors(x_hat: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean fine error, and error of the means of 8x8 pixels, where the picture is smooth.

    Marks that the perceptual networks like are seen there first, and after them blotches: surfaces that should be even
    and are not, which these networks do not mind.
    """
    size = x.shape[-2:]

    def fine(y: Tensor) -> Tensor:
        return y - F.interpolate(F.avg_pool2d(y, 8), size, mode="bilinear")

    def smooth(activity: Tensor) -> Tensor:
        return 1 / (1 + (activity / FLAT) ** 2)

    activity, error = F.avg_pool2d(fine(x).abs().mean(1, keepdim=True), 8), x_hat - x
    enlarged = F.interpolate(activity, size, mode="bilinear")
    return (smooth(enlarged) * fine(error).abs()).mean(), (smooth(activity) * F.avg_pool2d(error, 8).abs()).mean()


def colour_error(error_bchw: Tensor, size: int) -> Tensor:
    """Mean magnitude of colour differences of the error over size x size pixels: blotches on skin and in skies of 8
    pixels, tints beside edges of 2.

    They are seen before anything else, and neither squared error nor perceptual networks mind them much.
    """
    low = F.avg_pool2d(error_bchw, size)
    return (low - low.mean(1, keepdim=True)).abs().mean()


def drawn(chance: float) -> str:
    """The network that a number in [0, 1) stands for."""
    return next(name for name, end in zip(SHARES, accumulate(SHARES.values()), strict=True) if chance < end)


def turn(x_hat: Tensor, x: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Both [B, 3, H, W] in the same one of eight orientations: marks that please in one may not in the others."""
    across, down, swap = (torch.rand(3, generator=generator) < 0.5).tolist()
    axes = [axis for axis, flip in ((-1, across), (-2, down)) if flip]
    pair = [y.flip(axes) for y in (x_hat, x)]
    if swap:
        # A bare transpose of channels-last memory is neither layout, and convolutions are slow on it.
        pair = [y.transpose(-1, -2).contiguous(memory_format=torch.channels_last) for y in pair]
    return pair[0], pair[1]


class ReconstructionLoss(nn.Module):
    """Errors of grid, colour, fringe, flat, blotch + L1, also at a quarter of the size + LPIPS (two) + VGG-19."""

    def __init__(self, metrics: Path, weights: LossWeights) -> None:
        super().__init__()
        self.weights = weights
        self.alex, self.squeeze, self.vgg = LPIPS("alex", metrics), LPIPS("squeeze", metrics), VGGFeatures(metrics)

    def forward(
        self, x_hat: Tensor, x: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Scalar loss and its terms for [B, 3, H, W] batches in [-1, 1]."""
        w = self.weights
        l1 = (x_hat - x).abs().mean()
        quarter = (F.avg_pool2d(x_hat, 4) - F.avg_pool2d(x, 4)).abs().mean()
        grid, colour, fringe = grid_error(x_hat - x), colour_error(x_hat - x, 8), colour_error(x_hat - x, 2)
        flat, blotch = flat_errors(x_hat, x)
        loss = w.l1 * l1 + w.l1_quarter * quarter + w.grid * grid + w.colour * colour
        loss = loss + w.fringe * fringe + w.flat * flat + w.blotch * blotch
        name = drawn(torch.rand((), generator=generator).item())
        if name == "vgg":
            c, d = self._crop(x_hat, x, 96, generator)
            with torch.no_grad():
                target = self.vgg(d[:4])
            term = vgg_loss(self.vgg(c[:4]), target)
        else:
            a, b = self._view(x_hat, x, generator)
            term = (self.alex if name == "alex" else self.squeeze)(a, b).mean()
        return loss + getattr(w, name) / SHARES[name] * term, {
            "l1": l1.item(),
            "grid": grid.item(),
            "flat": flat.item(),
            "blotch": blotch.item(),
            "colour": colour.item(),
            "fringe": fringe.item(),
            name: term.item(),
        }

    @staticmethod
    def _view(x_hat: Tensor, x: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """The same random turn and shift of 0-7 pixels for both, 40 % of the time at half size (from 192 pixels on)."""
        x_hat, x = turn(x_hat, x, generator)
        top, left = torch.randint(8, (2,), generator=generator).tolist()
        a, b = x_hat[..., top:, left:], x[..., top:, left:]
        if min(a.shape[-2:]) >= 180 and torch.rand((), generator=generator) < 0.4:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        return a, b

    @staticmethod
    def _crop(x_hat: Tensor, x: Tensor, side: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        x_hat, x = turn(x_hat, x, generator)
        top = int(torch.randint(x.shape[-2] - side + 1, (), generator=generator))
        left = int(torch.randint(x.shape[-1] - side + 1, (), generator=generator))
        window = (..., slice(top, top + side), slice(left, left + side))
        return x_hat[window], x[window]
