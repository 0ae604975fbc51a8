"""The discriminator: it learns to tell, its gradient reaches the picture in the wanted proportion and nothing else."""

from __future__ import annotations

import torch

from arpc_codec.train.adversary import WARM_UP, Adversary


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 3, 48, 48, generator=generator).clamp(-1, 1)
    smooth = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
    return smooth, x


def test_gradients_stay_on_their_side() -> None:
    torch.manual_seed(0)
    adversary = Adversary(weight=0.5)
    adversary.steps += WARM_UP
    smooth, x = batch(0)
    last = torch.nn.Conv2d(3, 3, 3, padding=1)
    x_hat = last(smooth)
    other = (x_hat - x).square().mean()
    alone = torch.autograd.grad(other, last.weight, retain_graph=True)[0]
    loss, terms = adversary(x_hat, x, other, last.weight)
    loss.backward()
    share = (last.weight.grad - alone).norm() / alone.norm()
    assert 0.49 < share < 0.51
    assert terms.keys() == {"tell", "fool"}
    for discriminator in adversary.discriminators:
        assert all(p.grad is not None and p.grad.any() for p in discriminator.layers.parameters())


def test_at_first_it_only_teaches() -> None:
    torch.manual_seed(0)
    adversary = Adversary(weight=0.5)
    smooth, x = batch(0)
    last = torch.nn.Conv2d(3, 3, 3, padding=1)
    x_hat = last(smooth)
    other = (x_hat - x).square().mean()
    alone = torch.autograd.grad(other, last.weight, retain_graph=True)[0]
    adversary(x_hat, x, other, last.weight)[0].backward()
    torch.testing.assert_close(last.weight.grad, alone)


def test_it_learns_to_tell() -> None:
    torch.manual_seed(0)
    adversary = Adversary(weight=0.0)
    optimiser = torch.optim.AdamW(adversary.parameters(), lr=2e-3)
    tells = []
    for step in range(30):
        smooth, x = batch(step)
        x_hat = smooth.requires_grad_()
        loss, terms = adversary(x_hat, x, x_hat.sum() * 0, x_hat)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        tells.append(terms["tell"])
    assert tells[-1] < 0.5 * tells[0]
