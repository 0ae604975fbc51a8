"""Context head: the bits of one scale in four interleaved phases that see the neighbours coded so far.

A VAR trunk predicts all tokens of a scale, and all bits of a token, independently. This small head sits on top of an
unchanged trunk and adds to its logits:

    trunk features --1x1--+
                          +-- relu -- 3x3 -- relu -- 3x3 -- relu --> per-bit hidden units --> logit of bit j
    known codes ---3x3----+                                             ^
                                           earlier bits of the token ---+ (strictly triangular)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# (row parity, column parity) of each phase: the first two form a checkerboard, so the others see four neighbours.
PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))


def phase_mask(height: int, width: int, phase: int, device: torch.device | None = None) -> Tensor:
    """[h, w] bool: the positions of a phase (none, for some phases of a map of one row or column)."""
    row, col = PHASES[phase]
    mask = torch.zeros(height, width, dtype=torch.bool, device=device)
    mask[row::2, col::2] = True
    return mask


def known_codes(bits_bhwd: Tensor, phase: int, active: int) -> Tensor:
    """[B, d+1, h, w] float: +-1 for active bits of earlier phases, 0 elsewhere; the last channel marks known tokens."""
    height, width = bits_bhwd.shape[1:3]
    known = torch.zeros(height, width, dtype=torch.bool, device=bits_bhwd.device)
    for earlier in range(phase):
        known |= phase_mask(height, width, earlier, known.device)
    signs = bits_bhwd.permute(0, 3, 1, 2).float() * 2 - 1
    signs = signs * known
    signs[:, active:] = 0
    return torch.cat([signs, known.expand(len(signs), 1, -1, -1).float()], 1)


class ContextHead(nn.Module):
    """Logit corrections [.., d] for the tokens of one phase, given trunk features and what was coded before."""

    def __init__(self, features: int, d: int, width: int = 96, hidden: int = 8) -> None:
        super().__init__()
        self.d, self.hidden = d, hidden
        self.feature = nn.Linear(features, width)
        self.known = nn.Conv2d(d + 1, width, 3, padding=1)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.units = nn.Linear(width, d * hidden)
        self.earlier = nn.Parameter(torch.zeros(d, hidden, d))  # [bit, unit, earlier bit]
        self.out = nn.Parameter(torch.randn(d, hidden) * 0.02)
        self.bias = nn.Parameter(torch.zeros(d))

    def neighbourhood(self, features_bchw: Tensor, known_bchw: Tensor) -> Tensor:
        """[B, C, h, w] trunk features (after `feature`) and known codes -> [B, width, h, w]."""
        x = F.relu(features_bchw + self.known(known_bchw))
        x = F.relu(self.conv1(x))
        return F.relu(self.conv2(x))

    def forward(self, features_bhwc: Tensor, bits_bhwd: Tensor, active: int) -> Tensor:
        """Teacher-forced corrections [B, h, w, d] of all four phases at once."""
        height, width = bits_bhwd.shape[1:3]
        projected = self.feature(features_bhwc).permute(0, 3, 1, 2)
        known = torch.cat([known_codes(bits_bhwd, phase, active) for phase in range(4)])
        every = self.neighbourhood(projected.repeat(4, 1, 1, 1), known).unflatten(0, (4, -1))
        masks = torch.stack([phase_mask(height, width, phase, bits_bhwd.device) for phase in range(4)])
        context = (every * masks[:, None, None]).sum(0).permute(0, 2, 3, 1)
        signs = bits_bhwd.to(context.dtype) * 2 - 1
        lower = torch.tril(torch.ones(self.d, self.d, device=signs.device), -1)[:, None]
        units = self.units(context).unflatten(-1, (self.d, self.hidden))
        units = units + (signs @ (self.earlier * lower).flatten(0, 1).T).unflatten(-1, (self.d, self.hidden))
        return (F.relu(units) * self.out).sum(-1) + self.bias
