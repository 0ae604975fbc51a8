"""A linear layer whose matrix may be stored in half the bytes that it computes with."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """nn.Linear in the type of its input: a bfloat16 matrix is widened layer by layer, while it is used."""

    def forward(self, x: Tensor) -> Tensor:
        return self.apply_with(x, self.bias)

    def apply_with(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The same with another bias."""
        return F.linear(x, self.weight.to(x.dtype), bias)


def matrices(model: nn.Module) -> set[str]:
    """Names, as in a state dict, of the parameters that may be stored in half the bytes."""
    return {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Linear)}
