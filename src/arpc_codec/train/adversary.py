"""Patch discriminators: what no fixed metric sees (repeated marks, waxy surfaces), other networks learn to see."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

WARM_UP = 200
# One discriminator sees texture, one at a quarter of the size what it belongs to: parts of a face, of a wheel.
REDUCTIONS = (1, 4)


class PatchDiscriminator(nn.Module):
    """[B, 3, H, W] in [-1, 1] -> one logit per 8x8 pixels, each seeing 38x38 (PatchGAN; spectral norm)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(n, m, 4, stride=2, padding=1)) for n, m in pairwise(widths))
        self.out = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return self.out(x)


class Adversary(nn.Module):
    """Hinge losses of decoder and discriminators in one sum, so that one backward pass serves all."""

    steps: Tensor

    def __init__(self, weight: float) -> None:
        """`weight`: adversarial gradient at the decoder's last layer as a share of the other losses' gradient there."""
        super().__init__()
        self.weight = weight
        self.discriminators = nn.ModuleList(PatchDiscriminator() for _ in REDUCTIONS)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x_hat: Tensor, x: Tensor, other: Tensor, last: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Replaces `other` (the loss so far, which depends on x_hat alone) by a loss that also fools and teaches.

        The two gradients are weighed at `last`, the last layer's weight (VQGAN, eq. 7): weighed at the picture, a pull
        that all patches share sums up in the weights and shifts the colours. For WARM_UP steps it only teaches.
        """
        self.discriminators.requires_grad_(False)
        fool = -torch.stack([logits.mean() for logits in self._judge(x_hat)]).sum()
        self.discriminators.requires_grad_(True)
        (pull,), (g_fool,) = torch.autograd.grad(other, x_hat), torch.autograd.grad(fool, x_hat)
        if self.steps >= WARM_UP:
            size, size_fool = (
                torch.autograd.grad(x_hat, last, grad_outputs=g, retain_graph=True)[0].norm() for g in (pull, g_fool)
            )
            pull = pull + self.weight * size / (size_fool + 1e-12) * g_fool
        self.steps += 1
        through = (x_hat * pull).sum()
        real, fake = self._judge(x), self._judge(x_hat.detach())
        each = [F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in zip(real, fake, strict=True)]
        tell = torch.stack(each).sum()
        loss = other.detach() + through - through.detach() + tell
        return loss, {"tell": tell.item(), "fool": fool.item()}

    def _judge(self, x: Tensor) -> list[Tensor]:
        """Logits of every discriminator."""
        return [see(F.avg_pool2d(x, n)) for see, n in zip(self.discriminators, REDUCTIONS, strict=True)]
