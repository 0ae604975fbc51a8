"""Muon (Jordan et al., 2024): momentum whose matrices are orthogonalised, in the gradient's own precision.

Steps are sized as in Liu et al. 2025, "Muon is Scalable for LLM Training" (arXiv 2502.16982), by 0.2 sqrt(longer side).

torch.optim.Muon iterates in bfloat16, which processors without bfloat16 units emulate: ten times slower there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Where kernels of the networks of tokenizer/progic.py are worth it: not in linear paths, whose scales are right from
# the start, nor in embeddings.
ENCODER_KERNELS = tuple(f"encoder.{part}" for part in ("stem", "fine", "down", "attention", "coarse", "out"))
DECODER_KERNELS = tuple(f"decoder.{part}" for part in ("stem", "attention", "stages", "up"))
# Quintic Newton-Schulz coefficients of the paper.
_A, _B, _C = 3.4445, -4.775, 2.0315


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Roughly U V^T of a matrix U S V^T: all singular values become about 1.

    Every step multiplies by a polynomial of the Gram matrix, so the steps are gone through with that small matrix, and
    their product meets the long one once.
    """
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    product = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    for _ in range(steps):
        factor = _B * gram + _C * gram @ gram
        factor.diagonal().add_(_A)
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Muon(torch.optim.Optimizer):
    """For matrices, and for kernels of convolutions as matrices of one row for each output.

    Steps have the size of AdamW's (Liu et al. 2025), so that it takes AdamW's learning rates.
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients in place; `closure` is not supported."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                buffer = state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(buffer, group["momentum"]).flatten(1))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.view_as(p), alpha=-0.2 * max(update.shape) ** 0.5 * group["lr"])
