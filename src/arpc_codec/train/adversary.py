"""A patch discriminator: what no fixed metric sees (repeated marks, waxy surfaces), a second network learns to see."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

# The ratio of gradients is measured once in so many steps; it changes slowly.
MEASURE_EVERY = 16


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
    """Hinge losses of decoder and discriminator in one sum, so that one backward pass serves both."""

    ratio: Tensor

    def __init__(self, weight: float) -> None:
        """`weight`: size of the adversarial gradient at the picture as a share of the other losses' gradient."""
        super().__init__()
        self.weight = weight
        self.discriminator = PatchDiscriminator()
        self.register_buffer("ratio", torch.zeros(()))

    def forward(self, x_hat: Tensor, x: Tensor, other: Tensor, index: int) -> tuple[Tensor, dict[str, float]]:
        """`other` (the loss so far, a function of x_hat) plus both adversarial terms; `index` counts steps."""
        self.discriminator.requires_grad_(False)
        fool = -self.discriminator(x_hat).mean()
        self.discriminator.requires_grad_(True)
        if index % MEASURE_EVERY == 0 or self.ratio == 0:
            g_other, g_fool = (torch.autograd.grad(t, x_hat, retain_graph=True)[0].norm() for t in (other, fool))
            measured = g_other / (g_fool + 1e-12)
            self.ratio.lerp_(measured, 1.0 if self.ratio == 0 else 0.1)
        real, fake = self.discriminator(x), self.discriminator(x_hat.detach())
        tell = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        return other + self.weight * self.ratio * fool + tell, {"tell": tell.item(), "fool": fool.item()}
