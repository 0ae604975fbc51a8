"""One tile's walk through its scales: coding and generation are the same loop with another source of bits."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..entropy import PROBABILITY_BITS, BitDecoder
from ..entropy.guard import GuardList
from ..errors import FormatError
from ..exact.fixed import snap
from ..exact.prior import ExactTreePrior
from ..prior.coding import CodingPrior
from ..prior.context import PHASES, known_symbols, phase_mask
from ..prior.transformer import guide
from ..scales import Schedule
from ..scales.resample import area
from ..tokenizer import MultiScaleQuantizer, MultiScaleVQ
from .coded import CodedScale, Log, coded_positions, scale_check

# (logits [n], flat token positions [n], bit) -> bits [n] bool
BitSource = Callable[[Tensor, Tensor, int], Tensor]
# (what the trunk says [n, :], units, flat token positions [n]) before the first bit of a phase: an encoder's last word
Revision = Callable[[Tensor, Tensor, Tensor], None]


@dataclass
class Walk:
    """Sum of the codes so far, and the prior's caches; `scale` is the next scale's index from 0."""

    prior: CodingPrior
    quantizer: MultiScaleQuantizer
    schedule: Schedule
    scale: int = 0
    z: Tensor = field(init=False)
    active: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.active = self.quantizer.active(len(self.schedule))
        self.z = torch.zeros(
            1, self.quantizer.channels, *self.schedule[-1], dtype=torch.float64, device=self.prior.device
        )
        self._caches = self.prior.begin(self.schedule)
        # What the prior saw of each scale, None of the first; another one can join later.
        self.inputs: list[Tensor | None] = []
        self._guide: tuple[CodingPrior, Any, float] | None = None

    def fork(self) -> Walk:
        """A copy that can walk on without changing this one; without guidance."""
        other = copy(self)
        other.z, other.inputs = self.z.clone(), list(self.inputs)
        other._caches, other._guide = self.prior.fork(self._caches), None
        return other

    def follow(self, prior: CodingPrior) -> None:
        """Let another prior predict the scales that remain."""
        self.prior, self._caches = prior, self._seen_by(prior)

    def guide(self, other: CodingPrior, guidance: float) -> None:
        """Trunk logits of the scales that remain: guidance * own + (1 - guidance) * the other's."""
        self._guide = other, self._seen_by(other), guidance

    def _seen_by(self, prior: CodingPrior) -> Any:
        """Caches of a prior that has seen the scales so far."""
        caches = prior.begin(self.schedule)
        for scale, x in enumerate(self.inputs):
            prior.step(x, self.schedule, scale, caches)
        return caches

    def predict(self) -> tuple[Tensor, Tensor]:
        """What the trunk says [h, w, :], and features, of the next scale; call once per scale, then `advance`."""
        x = None
        if self.scale:
            grid = self.quantizer.grid_bits
            resampled = self.quantizer.resample(snap(self.z, grid), self.schedule[self.scale])
            x = snap(resampled, grid)[0].flatten(1).T
        self.inputs.append(x)
        trunk, features = self.prior.step(x, self.schedule, self.scale, self._caches)
        if self._guide is not None:
            other, caches, guidance = self._guide
            trunk = guide(trunk, other.step(x, self.schedule, self.scale, caches)[0], guidance)
        return trunk, features

    def advance(self, code_bchw: Tensor) -> None:
        """Add the code of the scale that was predicted and go to the next."""
        self.z += self.quantizer.resample(code_bchw, self.schedule[-1])
        self.scale += 1

    def code(self, bits_hwd: Tensor) -> Tensor:
        """Bits [h, w, d] of the current scale -> code [1, C, h, w]."""
        return self.quantizer.code(bits_hwd[None], self.scale, self.schedule).detach().to(self.z.device)

    @property
    def after(self) -> int:
        """Scales that follow the current one."""
        return len(self.schedule) - 1 - self.scale

    def draw(self, trunk: Tensor, features: Tensor, sources: list[BitSource], revise: Revision | None = None) -> Tensor:
        """Bits [h, w, d] of the current scale, phase by phase, each phase taken from its source."""
        height, width = self.schedule[self.scale]
        active = self.active[self.scale]
        bits = torch.zeros(height, width, self.quantizer.bits, dtype=torch.bool, device=trunk.device)
        for phase, source in enumerate(sources):
            positions = phase_mask(height, width, phase, trunk.device).flatten().nonzero()[:, 0]
            if not len(positions):
                continue
            symbols = self.quantizer.symbols(bits[None], self.scale, self.schedule)
            context = self.prior.phase_context(features, known_symbols(symbols, phase), positions)
            units = self.prior.phase_units(context)
            said = trunk.flatten(0, 1)[positions]
            if revise is not None:
                revise(said, units, positions)
            tokens = torch.zeros(len(positions), self.quantizer.bits, dtype=torch.bool, device=trunk.device)
            for bit in range(active):
                tokens[:, bit] = source(self.prior.bit_logit(said, units, tokens, bit, self.after), positions, bit)
            bits.view(-1, bits.shape[-1])[positions] = tokens
        return bits


def known(bits_hwd: Tensor, prior: CodingPrior, log: Log) -> BitSource:
    """Source that repeats given bits and logs what the entropy coder needs."""

    def source(logits: Tensor, positions: Tensor, bit: int) -> Tensor:
        drawn = bits_hwd.flatten(0, 1)[positions, bit]
        values = logits.cpu().numpy() if prior.guarded else prior.counts(logits).cpu().numpy().astype(np.uint16)
        log.append((drawn.cpu().numpy(), values))
        return drawn

    return source


def decoded(decoder: BitDecoder, counts: Callable[[Tensor], np.ndarray]) -> BitSource:
    """Source that reads the bits of a segment; counts: int [n] of logits [n]."""
    return lambda logits, positions, bit: torch.from_numpy(decoder.decode(counts(logits))).to(logits.device) > 0


def likeliest(prior: CodingPrior) -> BitSource:
    """Source of the more probable value of each bit."""
    return lambda logits, positions, bit: prior.probability(logits) > 0.5


def sampled(prior: CodingPrior, seed: int) -> BitSource:
    """Source that draws each bit with its probability; the raw PCG64 stream is the same in every numpy."""
    generator = np.random.PCG64(seed)

    def source(logits: Tensor, positions: Tensor, bit: int) -> Tensor:
        raw = np.asarray(generator.random_raw(len(logits)), dtype=np.uint64) >> np.uint64(64 - PROBABILITY_BITS)
        uniform = torch.from_numpy(raw.astype(np.float64) * 2.0**-PROBABILITY_BITS)
        return uniform.to(logits.device) < prior.probability(logits)

    return source


def expected_code(walk: Walk, trunk: Tensor) -> Tensor:
    """Expected code [1, C, h, w] of the current scale, from the trunk alone."""
    chances = walk.prior.chances(trunk, walk.after)
    return walk.quantizer.expected(chances, walk.scale, walk.schedule).to(walk.z.device)


def encode_scales(walk: Walk, bits: list[Tensor]) -> list[CodedScale]:
    """Code the scales in `bits` (each [h, w, d] bool); the walk ends behind them."""
    return [_encode_scale(walk, bits_hwd) for bits_hwd in bits]


def encode_latent(walk: Walk, h_bchw: Tensor, sent: int, trade: float) -> list[CodedScale]:
    """Code the first `sent` scales of a latent, its entries chosen by their distance and by what they cost.

    trade: what a bit is worth, as in `MultiScaleVQ.worth`. Coarser scales than the last take the nearest entries: they
    have few bits, and later scales build on them.
    """
    coded = []
    for size in walk.schedule[:sent]:
        residual = area(h_bchw - walk.z.to(h_bchw), size)
        bits_hwd = walk.quantizer.choose(residual, walk.scale, walk.schedule)[0]
        revise = cheaper(walk, residual, bits_hwd, trade) if size == walk.schedule[-1] else None
        coded.append(_encode_scale(walk, bits_hwd, revise))
    return coded


def _encode_scale(walk: Walk, bits_hwd: Tensor, revise: Revision | None = None) -> CodedScale:
    trunk, features = walk.predict()
    logs: list[Log] = [[] for _ in PHASES]
    masked = walk.draw(trunk, features, [known(bits_hwd, walk.prior, log) for log in logs], revise)
    coded = CodedScale.of(walk.scale, logs, masked, walk.prior.guarded)
    walk.advance(walk.code(masked))
    return coded


def cheaper(walk: Walk, residual_bchw: Tensor, bits_hwd: Tensor, trade: float) -> Revision:
    """Replaces the bits [h, w, d] of each phase by those of the least squared distance + trade * bits."""
    prior, quantizer, scale = walk.prior, walk.quantizer, walk.scale
    assert isinstance(prior, ExactTreePrior)
    assert isinstance(quantizer, MultiScaleVQ)
    squares = quantizer.squares(residual_bchw, scale, walk.schedule)
    worth_n1, squares_ne = quantizer.worth(squares, trade)[0].flatten(0, 1), squares[0].flatten(0, 1)
    level = quantizer.level(scale, walk.schedule)

    def revise(said: Tensor, units: Tensor, positions: Tensor) -> None:
        costs_ne = prior.costs(said, units, walk.after)
        index = (squares_ne[positions] + worth_n1[positions] * costs_ne).argmin(1)
        bits_hwd.view(-1, quantizer.bits)[positions] = quantizer.path(index, level)

    return revise


def decode_scale(walk: Walk, segment: bytes, fingerprint: bytes, phases: int = len(PHASES)) -> Tensor:
    """Take one scale from its segment: bits [h, w, d]; a partly sent scale is completed with the likeliest bits.

    Raises FormatError when the check byte disagrees; the walk is then spent.
    """
    decoder, prior = BitDecoder(segment), walk.prior
    trunk, features = walk.predict()
    if prior.guarded:
        guards = GuardList(decoder, int(coded_positions(trunk, phases).sum()) * walk.active[walk.scale])
        source = decoded(decoder, lambda logits: guards.counts(logits.cpu().numpy()))
    else:
        source = decoded(decoder, lambda logits: prior.counts(logits).cpu().numpy())
    missing = len(PHASES) - phases
    bits = walk.draw(trunk, features, [source] * phases + [likeliest(prior)] * missing)
    expected = scale_check(fingerprint, walk.scale, bits, phases)
    if expected is not None and decoder.decode_byte() != expected:
        raise FormatError(f"scale {walk.scale + 1} is damaged")
    walk.advance(walk.code(bits))
    return bits


def fill_scales(walk: Walk, fill: str, seed: int) -> None:
    """Generate every remaining scale: `argmax`, `sample` or `mean` (expected value of each bit)."""
    source = sampled(walk.prior, seed) if fill == "sample" else likeliest(walk.prior)
    while walk.scale < len(walk.schedule):
        trunk, features = walk.predict()
        if fill == "mean":
            walk.advance(expected_code(walk, trunk))
        else:
            walk.advance(walk.code(walk.draw(trunk, features, [source] * len(PHASES))))
