"""Context heads: the tokens of one scale in four interleaved phases that see the neighbours coded so far.

A VAR trunk predicts all tokens of a scale independently. These small heads sit on top of an unchanged trunk and add to
what it says:

    trunk features --1x1--+
                          +-- relu -- 3x3 -- relu -- 3x3 -- relu --> what is added for each token
    known tokens ---3x3---+
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


def known_symbols(symbols_bmhw: Tensor, phase: int) -> Tensor:
    """[B, m+1, h, w]: the symbols of earlier phases, 0 elsewhere; the last channel marks known tokens."""
    marks = known_marks(symbols_bmhw, phase)
    return torch.cat([symbols_bmhw * marks, marks], 1)


def known_marks(symbols_bmhw: Tensor, phase: int) -> Tensor:
    """[B, 1, h, w]: 1 at the tokens of earlier phases, 0 elsewhere."""
    height, width = symbols_bmhw.shape[-2:]
    known = torch.zeros(height, width, dtype=torch.bool, device=symbols_bmhw.device)
    for earlier in range(phase):
        known |= phase_mask(height, width, earlier, known.device)
    return known.expand(len(symbols_bmhw), 1, -1, -1).to(symbols_bmhw.dtype)


class Neighbourhood(nn.Module):
    """What surrounds a token: trunk features, and `symbols` channels of the tokens that are known."""

    def __init__(self, features: int, symbols: int, width: int) -> None:
        super().__init__()
        self.feature = nn.Linear(features, width)
        self.known = nn.Conv2d(symbols + 1, width, 3, padding=1)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def neighbourhood(self, features_bchw: Tensor, known_bchw: Tensor) -> Tensor:
        """[B, C, h, w] trunk features (after `feature`) and known symbols -> [B, width, h, w]."""
        x = F.relu(features_bchw + self.known(known_bchw))
        x = F.relu(self.conv1(x))
        return F.relu(self.conv2(x))

    def every(self, features_bchw: Tensor, symbols_bmhw: Tensor) -> Tensor:
        """[B, h, w, width] from features after `feature`: teacher-forced, every token with what its phase sees."""
        height, width = symbols_bmhw.shape[-2:]
        known = torch.cat([known_symbols(symbols_bmhw, phase) for phase in range(4)])
        every = self.neighbourhood(features_bchw.repeat(4, 1, 1, 1), known.to(features_bchw)).unflatten(0, (4, -1))
        masks = torch.stack([phase_mask(height, width, phase, symbols_bmhw.device) for phase in range(4)])
        return (every * masks[:, None, None]).sum(0).permute(0, 2, 3, 1)


class ContextHead(Neighbourhood):
    """Logit corrections for the d independent bits of a token; within a token they also see its earlier bits.

    neighbourhood --> hidden units of each bit --> logit of bit j
                             ^
    earlier bits of the token (strictly triangular)
    """

    def __init__(self, features: int, d: int, width: int = 96, hidden: int = 8) -> None:
        super().__init__(features, d, width)
        self.d, self.hidden = d, hidden
        self.units = nn.Linear(width, d * hidden)
        self.earlier = nn.Parameter(torch.zeros(d, hidden, d))  # [bit, unit, earlier bit]
        self.out = nn.Parameter(torch.randn(d, hidden) * 0.02)
        self.bias = nn.Parameter(torch.zeros(d))

    def forward(self, features_bhwc: Tensor, symbols_bmhw: Tensor, bits_bhwd: Tensor) -> Tensor:
        """Teacher-forced corrections [B, h, w, d] of all four phases at once."""
        context = self.every(self.feature(features_bhwc).permute(0, 3, 1, 2), symbols_bmhw)
        signs = bits_bhwd.to(context.dtype) * 2 - 1
        lower = torch.tril(torch.ones(self.d, self.d, device=signs.device), -1)[:, None]
        units = self.units(context).unflatten(-1, (self.d, self.hidden))
        units = units + (signs @ (self.earlier * lower).flatten(0, 1).T).unflatten(-1, (self.d, self.hidden))
        return (F.relu(units) * self.out).sum(-1) + self.bias
