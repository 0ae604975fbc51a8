"""One tile's walk through its scales: coding and generation are the same loop with another source of bits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arpc_codec.codecs.coded import Checks, CodedScale, Log, coded_positions
from arpc_codec.entropy import PROBABILITY_BITS, BitDecoder
from arpc_codec.entropy.guard import GuardList
from arpc_codec.errors import FormatError
from arpc_codec.exact.fixed import snap
from arpc_codec.exact.prior import ExactPrior
from arpc_codec.exact.threads import one_thread
from arpc_codec.prior.coding import CodingPrior, Phase
from arpc_codec.prior.context import PHASES, phase_mask
from arpc_codec.prior.transformer import guide
from arpc_codec.scales import Schedule
from arpc_codec.scales.resample import area
from arpc_codec.tokenizer import MultiScalePlanes, MultiScaleQuantizer
from arpc_codec.tokenizer.planes import SLOTS, TOP

# Products of a square layer of the exact trunk, for less of which it is a loop of small operations.
SMALL = 1 << 25
# (logits of all that are asked for, flat token positions [n], places of k bits, asked [n, k] bool) -> bits bool
BitSource = Callable[[Tensor, Tensor, slice, Tensor], Tensor]
# (logits [n, k], flat token positions [n], places of k bits) before they are drawn: an encoder's last word
Revision = Callable[[Tensor, Tensor, slice], None]


@dataclass
class Walk:
    """Sum of the codes so far, and the prior's caches; `scale` is the next scale's index from 0.

    fingerprint: of the model, for the check bytes of a walk that decodes. received: if it is there, bits that decoding
    took for each cell of the latent are added to it, [H, W].
    """

    prior: CodingPrior
    quantizer: MultiScaleQuantizer
    schedule: Schedule
    fingerprint: bytes = b""
    received: Tensor | None = None
    scale: int = field(default=0, init=False)
    z: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.z = torch.zeros(
            1, self.quantizer.channels, *self.schedule[-1], dtype=torch.float64, device=self.prior.device
        )
        self._caches = self.prior.begin(self.schedule)
        self.checks = Checks(self.fingerprint, self.schedule)
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
            self._step(prior, x, scale, caches)
        return caches

    def predict(self) -> tuple[Tensor, Tensor]:
        """What the trunk says [h, w, :], and features, of the next scale; call once per scale, then `advance`."""
        x = None
        if self.scale:
            grid = self.quantizer.grid_bits
            resampled = self.quantizer.resample(snap(self.z, grid), self.schedule[self.scale])
            x = snap(resampled, grid)[0].flatten(1).T
        self.inputs.append(x)
        said, features = self._step(self.prior, x, self.scale, self._caches)
        if self._guide is not None:
            other, caches, guidance = self._guide
            said = guide(said, self._step(other, x, self.scale, caches)[0], guidance)
        return said, features

    def _step(self, prior: CodingPrior, x: Tensor | None, scale: int, caches: Any) -> tuple[Tensor, Tensor]:
        rows, columns = self.schedule[scale]
        small = isinstance(prior, ExactPrior) and rows * columns * prior.config.embed_dim**2 < SMALL
        with one_thread() if small else nullcontext():
            return prior.step(x, self.schedule, scale, caches, self.quantizer.step(scale, self.schedule))

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

    @one_thread()
    def draw(self, said: Tensor, features: Tensor, sources: list[BitSource], revise: Revision | None = None) -> Tensor:
        """Bits [h, w, d] of the current scale, phase by phase, each phase taken from its source."""
        height, width = self.schedule[self.scale]
        quantizer, prior = self.quantizer, self.prior
        groups = quantizer.groups(self.scale, self.schedule)
        bits = torch.zeros(height, width, quantizer.bits, dtype=torch.bool, device=said.device)
        known = torch.zeros(height, width, dtype=torch.bool, device=said.device)
        for number, source in enumerate(sources):
            mask = phase_mask(height, width, number, said.device)
            positions = mask.flatten().nonzero()[:, 0]
            if not len(positions):
                continue
            symbols = quantizer.symbols(bits[None], self.scale, self.schedule) * known
            around = prior.around(features, symbols, Phase(number, positions, self.after))
            here = said.flatten(0, 1)[positions]
            tokens = torch.zeros(len(positions), quantizer.bits, dtype=torch.bool, device=said.device)
            for group in groups:
                logits = prior.logits(here, around, tokens, group, self.after)
                if revise is not None:
                    revise(logits, positions, group)
                for part in quantizer.parts(group):
                    asked = quantizer.asked(tokens[:, group])[:, part.start - group.start : part.stop - group.start]
                    if asked.any():
                        told = logits[:, part.start - group.start : part.stop - group.start][asked]
                        tokens[:, part].masked_scatter_(asked, source(told, positions, part, asked))
            bits.view(-1, bits.shape[-1])[positions] = tokens
            known |= mask
        return bits


def known(bits_hwd: Tensor, prior: CodingPrior, log: Log) -> BitSource:
    """Source that repeats given bits and logs what the entropy coder needs."""

    def source(logits: Tensor, positions: Tensor, part: slice, asked: Tensor) -> Tensor:
        drawn = bits_hwd.flatten(0, 1)[positions, part][asked]
        values = logits.cpu().numpy() if prior.guarded else prior.counts(logits).cpu().numpy().astype(np.uint16)
        log.append((drawn.cpu().numpy(), values))
        return drawn

    return source


def decoded(decoder: BitDecoder, counts: Callable[[Tensor], np.ndarray]) -> BitSource:
    """Source that reads the bits of a segment; counts: int [n] of logits [n]."""
    return lambda logits, *_: torch.from_numpy(decoder.decode(counts(logits))).to(logits.device) > 0


def likeliest(prior: CodingPrior) -> BitSource:
    """Source of the more probable value of each bit."""
    return lambda logits, *_: prior.probability(logits) > 0.5


def sampled(prior: CodingPrior, seed: int) -> BitSource:
    """Source that draws each bit with its probability; the raw PCG64 stream is the same in every numpy."""
    generator = np.random.PCG64(seed)

    def source(logits: Tensor, *_: object) -> Tensor:
        raw = np.asarray(generator.random_raw(len(logits)), dtype=np.uint64) >> np.uint64(64 - PROBABILITY_BITS)
        uniform = torch.from_numpy(raw.astype(np.float64) * 2.0**-PROBABILITY_BITS)
        return uniform.to(logits.device) < prior.probability(logits)

    return source


@one_thread()
def expected_code(walk: Walk, said: Tensor, features: Tensor) -> Tensor:
    """Expected code [1, C, h, w] of the current scale, of which nothing is known."""
    chances = walk.prior.chances(said, features, walk.after)
    return walk.quantizer.expected(chances, walk.scale, walk.schedule).to(walk.z.device)


def encode_scales(walk: Walk, bits: list[Tensor]) -> list[CodedScale]:
    """Code the scales in `bits` (each [h, w, d] bool); the walk ends behind them."""
    return [_encode_scale(walk, bits_hwd) for bits_hwd in bits]


def encode_latent(walk: Walk, h_bchw: Tensor, sent: int, trade: float) -> list[CodedScale]:
    """Code the first `sent` scales of a latent, its integers chosen by their distance and by what they cost.

    trade: what a bit is worth, in squared errors of one step.
    """
    coded = []
    for size in walk.schedule[:sent]:
        residual = area(h_bchw - walk.z.to(h_bchw), size)
        bits_hwd = walk.quantizer.choose(residual, walk.scale, walk.schedule)[0]
        coded.append(_encode_scale(walk, bits_hwd, cheaper(walk, residual, bits_hwd, trade)))
    return coded


def _encode_scale(walk: Walk, bits_hwd: Tensor, revise: Revision | None = None) -> CodedScale:
    said, features = walk.predict()
    logs: list[Log] = [[] for _ in PHASES]
    masked = walk.draw(said, features, [known(bits_hwd, walk.prior, log) for log in logs], revise)
    coded = CodedScale.of(walk.scale, logs, masked, walk.prior.guarded)
    walk.advance(walk.code(masked))
    return coded


def cheaper(walk: Walk, residual_bchw: Tensor, bits_hwd: Tensor, trade: float) -> Revision:
    """Replaces the bits [h, w, d] of each group by those of the least squared error + trade * bits, in steps."""
    prior, quantizer = walk.prior, walk.quantizer
    assert isinstance(quantizer, MultiScalePlanes)
    step = quantizer.step(walk.scale, walk.schedule)
    wanted_nc = (residual_bchw[0].double() / step).flatten(1).T

    def revise(logits: Tensor, positions: Tensor, group: slice) -> None:
        costs_nct = quantizer.planes.costs(prior.probability(logits))
        channels = slice(group.start // SLOTS, group.stop // SLOTS)
        levels = torch.arange(-TOP, TOP + 1, dtype=torch.float64, device=logits.device)
        errors_nct = (wanted_nc[positions, channels, None] - levels).square()
        chosen = (errors_nct + trade * costs_nct).argmin(2) - TOP
        rows = bits_hwd.view(-1, quantizer.bits)
        rows[positions, group] = quantizer.planes.group_bits(chosen)

    return revise


def decode_scale(walk: Walk, segment: bytes, phases: int = len(PHASES)) -> Tensor:
    """Take one scale from its segment: bits [h, w, d]; a partly sent scale is completed with the likeliest bits.

    Raises FormatError when a check byte disagrees; the walk is then spent.
    """
    decoder, prior = BitDecoder(segment), walk.prior
    said, features = walk.predict()
    if prior.guarded:
        coded = walk.quantizer.coded(walk.schedule)[walk.scale]
        guards = GuardList(decoder, int(coded_positions(said, phases).sum()) * (coded.stop - coded.start))
        source = decoded(decoder, lambda logits: guards.counts(logits.cpu().numpy()))
    else:
        source = decoded(decoder, lambda logits: prior.counts(logits).cpu().numpy())
    taken = torch.zeros(said.shape[:2], dtype=torch.float64, device=said.device)
    if walk.received is not None:
        source = priced(source, prior, taken)
    missing = len(PHASES) - phases
    bits = walk.draw(said, features, [source] * phases + [likeliest(prior)] * missing)
    expected = walk.checks.take(walk.scale, bits, phases)
    if expected is not None and decoder.decode_byte() != expected:
        raise FormatError(f"scale {walk.scale + 1} is damaged")
    if walk.received is not None:
        walk.received += spread(taken, walk.schedule[-1])
    walk.advance(walk.code(bits))
    return bits


def priced(source: BitSource, prior: CodingPrior, bits_hw: Tensor) -> BitSource:
    """The source, which adds to bits [h, w] what its bits cost by their chances."""

    def read(logits: Tensor, positions: Tensor, part: slice, asked: Tensor) -> Tensor:
        drawn, chance = source(logits, positions, part, asked), prior.probability(logits)
        places = positions[asked.nonzero()[:, 0]]
        bits_hw.view(-1).index_add_(0, places, -torch.where(drawn, chance, 1 - chance).log2())
        return drawn

    return read


def spread(bits_hw: Tensor, size: tuple[int, int]) -> Tensor:
    """Bits of tokens [h, w], shared equally by the cells [H, W] that each stands for."""
    of = [
        torch.arange(cells, device=bits_hw.device) * tokens // cells
        for cells, tokens in zip(size, bits_hw.shape, strict=True)
    ]
    rows, cols = of
    share = rows.bincount()[rows, None] * cols.bincount()[cols]
    return bits_hw[rows][:, cols] / share


def fill_scales(walk: Walk, end: int, fill: str, seed: int) -> None:
    """Generate the scales from the next to number `end`: `argmax`, `sample` or `mean` (expected value of each bit)."""
    source = sampled(walk.prior, seed) if fill == "sample" else likeliest(walk.prior)
    while walk.scale < end:
        said, features = walk.predict()
        if fill == "mean":
            walk.advance(expected_code(walk, said, features))
        else:
            walk.advance(walk.code(walk.draw(said, features, [source] * len(PHASES))))
