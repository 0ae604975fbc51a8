"""Multi-scale residual quantizer of planes: a scale has a step, a token is a vector of integers that refine the sum.

ARPC's group-masked bitwise residual quantizer with as many bits as the picture needs: is a channel zero, which sign, is
it more than one step ... (the nearest published thing are the trit planes of DPICT, CVPR 2022). A channel takes part
from the scale on at which its spread is worth the step. So how many scales are sent is a quality, as a step size is,
and not a number of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from arpc_codec.scales import Schedule
from arpc_codec.scales.resample import WEIGHT_BITS
from arpc_codec.tokenizer.multiscale import MultiScaleQuantizer, binary_entropy
from arpc_codec.tokenizer.texture import UNITS

# Largest integer of a token: what is beyond is left to the scales that follow.
TOP = 4
# Is it zero, is it negative, is it more than 1, 2, 3.
SLOTS = TOP + 1
# Residuals of less than 1/2 + this steps are nearest to 0: a bit is worth more than they are. Not in scales smaller
# than the latent, where one integer is the tint of a whole sky, nor for the means of smooth cells.
DEAD = 0.25
# Cells are smooth whose detail (`texture.py`) is weaker than usual by a factor of e.
SMOOTH = -UNITS
# Chances of bits without a prior are kept as so many parts: few enough for float16.
CHANCES = 2048


def integers(values: Tensor, dead: float = DEAD) -> Tensor:
    """Nearest integers of values in steps, with a dead zone around 0."""
    return values.sign() * (values.abs() + 0.5 - dead).floor()


class Planes:
    """Where the bits of a token of integers are.

    Channels are coded in groups: bits of a group stand together, first whether each of its channels is zero, then the
    signs, then whether it is more than 1, 2, 3. `ends`: of the groups, the last one all channels.
    """

    def __init__(self, ends: Sequence[int]) -> None:
        self.ends, self.starts = tuple(ends), (0, *ends[:-1])
        self.channels, self.bits = ends[-1], SLOTS * ends[-1]
        places = [
            torch.arange(SLOTS * start, SLOTS * end).view(SLOTS, -1)
            for start, end in zip(self.starts, self.ends, strict=True)
        ]
        # [SLOTS, C]: place of each bit; and back.
        self.places = torch.cat(places, 1)
        self.back = self.places.flatten().argsort()

    def groups(self, within: slice) -> list[slice]:
        """Bits of each group, within places that begin and end with one."""
        places = [slice(SLOTS * a, SLOTS * b) for a, b in zip(self.starts, self.ends, strict=True)]
        return [group for group in places if within.start <= group.start and group.stop <= within.stop]

    @staticmethod
    def parts(group: slice) -> list[slice]:
        """Bits of a group that are decided together, one part after the other."""
        width = (group.stop - group.start) // SLOTS
        return [slice(first, first + width) for first in range(group.start, group.stop, width)]

    @staticmethod
    def asked(group_xk: Tensor) -> Tensor:
        """[..., k] bool: which bits of a group [..., k] say something: zeros have no sign, ones are not beyond 2."""
        planes = group_xk.unflatten(-1, (SLOTS, -1))
        zero, more = planes[..., :1, :], planes[..., 2:-1, :]
        return torch.cat([torch.ones_like(zero), zero, zero, more], -2).flatten(-2)

    def integers(self, bits_xd: Tensor, channels: int | None = None) -> Tensor:
        """[..., C] int8 of bits [..., d]; `channels`: of so many, for speed."""
        other, minus, *more = bits_xd[..., self.places[:, :channels].to(bits_xd.device)].unbind(-2)
        size = other.char()
        for bit in more:
            size = size + bit.char()
        return torch.where(minus, -size, size)

    def of(self, integers_xc: Tensor) -> Tensor:
        """Bits [..., d] bool of integers [..., C]."""
        return self.group_bits(integers_xc)[..., self.back.to(integers_xc.device)]

    @staticmethod
    def group_bits(integers_xc: Tensor) -> Tensor:
        """Bits [..., SLOTS * c] bool of the integers [..., c] of one group."""
        size = integers_xc.abs()
        return torch.stack([size > 0, integers_xc < 0, *(size > n for n in range(1, TOP))], -2).flatten(-2)

    @staticmethod
    def costs(chances_nk: Tensor) -> Tensor:
        """Bits [n, c, 2 * TOP + 1] that integers from -TOP to TOP cost, from the chances of a 1 [n, SLOTS * c]."""
        ones, zeros = (-p.log2().unflatten(1, (SLOTS, -1)) for p in (chances_nk, 1 - chances_nk))
        sizes, beyond = [], ones[:, 0]
        for slot in range(2, SLOTS):
            sizes.append(beyond + zeros[:, slot])
            beyond = beyond + ones[:, slot]
        sizes.append(beyond)
        minus, plus = ones[:, 1], zeros[:, 1]
        return torch.stack(
            [*(minus + size for size in reversed(sizes)), zeros[:, 0], *(plus + size for size in sizes)], -1
        )


class MultiScalePlanes(MultiScaleQuantizer):
    """A step and a range of channels for each number of scales that follow; the last is that of all beyond.

    `active`: ends of the ranges; `resting`: how many channels before each range have had the step already. So one step
    can be two scales, first of the channels that gain most by it.
    `means`: channels that are means of a cell, of a latent that begins with channels of texture; blotches and tints of
    smooth surfaces are minded before anything else.
    """

    chances: Tensor

    def __init__(
        self,
        steps: Sequence[float],
        active: Sequence[int],
        ends: Sequence[int],
        resting: Sequence[int] = (),
        *,
        means: Sequence[int] = (),
        grid_bits: int = WEIGHT_BITS,
    ) -> None:
        planes = Planes(ends)
        super().__init__(planes.channels, planes.bits, grid_bits)
        self.planes, self.ranges = planes, tuple(zip(resting or [0] * len(active), active, strict=True))
        self.means = list(means)
        self.register_buffer("chances", torch.full((len(steps), self.bits), 0.5))
        unit = 2.0**grid_bits
        self.steps = tuple(round(step * unit) / unit for step in steps)

    def groups(self, scale: int, schedule: Schedule) -> list[slice]:
        """Bits of each group of channels that take part."""
        return self.planes.groups(self.coded(schedule)[scale])

    def parts(self, group: slice) -> list[slice]:
        """Whether each channel is zero, then the signs, then whether it is more than 1, 2, 3."""
        return self.planes.parts(group)

    def asked(self, group_xk: Tensor) -> Tensor:
        """As `Planes.asked`."""
        return self.planes.asked(group_xk)

    def usual(self, scale: int, schedule: Schedule) -> Tensor:
        """How often each bit was 1 in training pictures."""
        return self.chances[min(len(schedule) - 1 - scale, len(self.chances) - 1)].double()

    @torch.no_grad()
    def count(self, bits: Sequence[Tensor], level: int) -> None:
        """Set what is usual of a level from bits [n, d] of its tokens."""
        ones, asked = torch.zeros(self.bits), torch.zeros(self.bits)
        for bits_nd in bits:
            for group in self.planes.groups(slice(0, self.bits)):
                asked[group] += self.asked(bits_nd[:, group]).sum(0)
            ones += bits_nd.sum(0)
        self.chances[level] = ((ones + 0.4) / (asked + 0.8) * CHANCES).round().clamp(1, CHANCES - 1) / CHANCES

    def step(self, scale: int, schedule: Schedule) -> float:
        """Step of a scale, on the grid."""
        return self.steps[min(len(schedule) - 1 - scale, len(self.steps) - 1)]

    def coded(self, schedule: Schedule) -> tuple[slice, ...]:
        """Bits of the channels that take part."""
        ranges = [self._range(after) for after in range(len(schedule) - 1, -1, -1)]
        return tuple(slice(SLOTS * first, SLOTS * last) for first, last in ranges)

    def settled(self, level: int, repeats: int) -> Tensor:
        """[C]: the step that each channel has had when so many scales follow, infinite if it has had none.

        Of the `repeats` scales of the latent's own size alone.
        """
        steps = torch.full((self.channels,), torch.inf)
        for after in range(repeats - 1, level - 1, -1):
            first, last = self._range(after)
            steps[first:last] = self.steps[after]
        return steps

    def _range(self, after: int) -> tuple[int, int]:
        return self.ranges[min(after, len(self.ranges) - 1)]

    def _rests(self, scale: int, schedule: Schedule) -> Tensor:
        """[C] bool: channels that take no part."""
        first, last = self._range(len(schedule) - 1 - scale)
        rests = torch.ones(self.channels, dtype=torch.bool)
        rests[first:last] = False
        return rests

    def choose(self, residual_bchw: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """Bits of the nearest integers, with a dead zone where it does no harm."""
        values, rests = residual_bchw / self.step(scale, schedule), self._rests(scale, schedule)
        chosen = integers(values, DEAD if schedule[scale] == schedule[-1] else 0.0)
        # Where texture takes part for the first time its residual is itself. What is left of it later is never so low.
        if self.means and not rests[0]:
            even = integers(values[:, self.means], 0.0)
            chosen[:, self.means] = torch.where(residual_bchw[:, :1] < SMOOTH, even, chosen[:, self.means])
        chosen = chosen.clamp(-TOP, TOP)
        chosen[:, rests] = 0
        return self.planes.of(chosen.permute(0, 2, 3, 1))

    def flipped(self, bits_bhwd: Tensor, rate: float, scale: int, schedule: Schedule) -> Tensor:
        """A share of the integers is one more or less."""
        known = self.planes.integers(bits_bhwd)
        hit = torch.rand(known.shape, device=known.device) < rate
        hit[..., self._rests(scale, schedule)] = False
        moved = known + torch.where(torch.rand(known.shape, device=known.device) < 0.5, -1, 1).char()
        return self.planes.of(torch.where(hit, moved, known).clamp(-TOP, TOP))

    def code(self, bits_bhwd: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """Integers times the step."""
        return self.planes.integers(bits_bhwd).permute(0, 3, 1, 2).double() * self.step(scale, schedule)

    def expected(self, chances_hwn: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """From the chance of a 1 for each bit, those before it being 1."""
        other, minus, *more = chances_hwn[..., self.planes.places.to(chances_hwn.device)].double().unbind(-2)
        size, beyond = torch.ones_like(other), torch.ones_like(other)
        for chance in more:
            beyond = beyond * chance
            size = size + beyond
        mean = other * (1 - 2 * minus) * size
        mean[..., self._rests(scale, schedule)] = 0
        unit = 2.0**self.grid_bits
        return ((mean * self.step(scale, schedule)) * unit).round().permute(2, 0, 1)[None] / unit

    def entropy(self, chances_hwn: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """Of bits that are only asked where those before them are 1."""
        other, minus, *more = chances_hwn[..., self.planes.places.to(chances_hwn.device)].double().unbind(-2)
        beyond = torch.zeros_like(other)
        for chance in reversed(more):
            beyond = binary_entropy(chance) + chance * beyond
        bits = binary_entropy(other) + other * (binary_entropy(minus) + beyond)
        bits[..., self._rests(scale, schedule)] = 0
        return bits.sum(-1)

    def guessed(self, schedule: Schedule) -> int:
        """Up to the first scale of the latent's size: of finer steps next to nothing is expected."""
        return schedule.index(schedule[-1]) + 1

    def symbols(self, bits_bhwd: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """The integers [B, C, h, w]."""
        return self.planes.integers(bits_bhwd).permute(0, 3, 1, 2).float()
