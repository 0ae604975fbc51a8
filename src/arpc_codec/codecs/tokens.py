"""One tile's walk through its scales: coding and generation are the same loop with another source of bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..entropy import PROBABILITY_BITS, BitDecoder, BitEncoder, checkpoint
from ..errors import FormatError
from ..exact.fixed import snap
from ..exact.prior import ExactPrior
from ..prior.context import PHASES, phase_mask
from ..scales import Schedule
from ..tokenizer import MultiScaleBSQ

# Scales with at least this many coded tokens end with one check byte.
CHECKED_TOKENS = 16

# (counts [n], flat token positions [n], bit) -> bits [n] bool
BitSource = Callable[[Tensor, Tensor, int], Tensor]


@dataclass
class Walk:
    """Sum of the codes so far, and the prior's caches; `scale` is the next scale's index from 0."""

    prior: ExactPrior
    quantizer: MultiScaleBSQ
    schedule: Schedule
    scale: int = 0
    z: Tensor = field(init=False)
    active: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.active = self.quantizer.active(len(self.schedule))
        self.z = torch.zeros(
            1, self.quantizer.channels, *self.schedule[-1], dtype=torch.float64, device=self.prior.device
        )
        self._caches = self.prior.begin()

    def fork(self) -> Walk:
        """A copy that can walk on without changing this one."""
        other = Walk(self.prior, self.quantizer, self.schedule, self.scale)
        other.z = self.z.clone()
        other._caches = [list(cache) for cache in self._caches]
        return other

    def predict(self) -> tuple[Tensor, Tensor]:
        """Trunk logits [h, w, d] and features of the next scale; call once per scale, then `advance`."""
        x = None
        if self.scale:
            x = snap(self.quantizer.resample(snap(self.z), self.schedule[self.scale]))[0].flatten(1).T
        return self.prior.step(x, self.schedule, self.scale, self._caches)

    def advance(self, code_bchw: Tensor) -> None:
        """Add the code of the scale that was predicted and go to the next."""
        self.z += self.quantizer.resample(code_bchw, self.schedule[-1])
        self.scale += 1

    def code(self, bits_hwd: Tensor) -> Tensor:
        """Bits [h, w, d] of the current scale -> code [1, d, h, w]."""
        return self.quantizer.code(bits_hwd[None], self.magnitude, self.active[self.scale])

    @property
    def magnitude(self) -> Tensor:
        """Magnitude of the current scale's codes, float64."""
        size = self.schedule[self.scale]
        return self.quantizer.magnitude(size, self.schedule[-1]).detach().double().to(self.z.device)

    def draw(self, trunk: Tensor, features: Tensor, sources: list[BitSource]) -> Tensor:
        """Bits [h, w, d] of the current scale, phase by phase, each phase taken from its source."""
        height, width = self.schedule[self.scale]
        active = self.active[self.scale]
        bits = torch.zeros(height, width, self.quantizer.channels, dtype=torch.bool, device=trunk.device)
        for phase, source in enumerate(sources):
            positions = phase_mask(height, width, phase, trunk.device).flatten().nonzero()[:, 0]
            if not len(positions):
                continue
            context = self.prior.phase_context(features, bits, phase, active, positions)
            units = self.prior.phase_units(context)
            logits = trunk.flatten(0, 1)[positions]
            signs = torch.zeros_like(logits)
            for bit in range(active):
                counts = self.prior.counts(self.prior.bit_logit(logits, units, signs, bit))
                drawn = source(counts, positions, bit)
                signs[:, bit] = drawn.double() * 2 - 1
            bits.view(-1, bits.shape[-1])[positions] = signs > 0
        return bits


def known(bits_hwd: Tensor, log: list[tuple[np.ndarray, np.ndarray]]) -> BitSource:
    """Source that repeats given bits and logs (bits, counts) for the entropy coder."""

    def source(counts: Tensor, positions: Tensor, bit: int) -> Tensor:
        drawn = bits_hwd.flatten(0, 1)[positions, bit]
        log.append((drawn.cpu().numpy(), counts.cpu().numpy().astype(np.uint16)))
        return drawn

    return source


def decoded(decoder: BitDecoder) -> BitSource:
    """Source that reads the bits of a segment."""
    return lambda counts, positions, bit: torch.from_numpy(decoder.decode(counts.cpu().numpy())).to(counts.device) > 0


def likeliest(counts: Tensor, positions: Tensor, bit: int) -> Tensor:
    """Source of the more probable value of each bit."""
    return counts > 1 << (PROBABILITY_BITS - 1)


def sampled(seed: int) -> BitSource:
    """Source that draws each bit with its probability; the raw PCG64 stream is the same in every numpy."""
    generator = np.random.PCG64(seed)

    def source(counts: Tensor, positions: Tensor, bit: int) -> Tensor:
        raw = np.asarray(generator.random_raw(len(counts)), dtype=np.uint64) >> np.uint64(64 - PROBABILITY_BITS)
        return torch.from_numpy(raw.astype(np.int32)).to(counts.device) < counts

    return source


def expected_code(walk: Walk, trunk: Tensor) -> Tensor:
    """Expected code [1, d, h, w] of the current scale, from the trunk alone."""
    active = walk.active[walk.scale]
    signs = walk.prior.counts(trunk).double() * 2.0 ** (1 - PROBABILITY_BITS) - 1
    signs[..., active:] = walk.quantizer.fill
    return snap(signs.permute(2, 0, 1)[None] * walk.magnitude)


@dataclass(frozen=True)
class CodedScale:
    """What one scale of one tile costs: (bits, counts) of every call, per phase; and its tokens."""

    scale: int
    phases: tuple[tuple[tuple[np.ndarray, np.ndarray], ...], ...]
    bits_hwd: Tensor

    def segment(self, fingerprint: bytes, phases: int = len(PHASES)) -> bytes:
        """The sealed stream of the first `phases` phases."""
        encoder = BitEncoder()
        for phase in self.phases[:phases]:
            for bits, counts in phase:
                encoder.encode(bits.astype(np.int32), counts)
        check = scale_check(fingerprint, self.scale, self.bits_hwd, phases)
        if check is not None:
            encoder.encode_byte(check)
        return encoder.seal()


def scale_check(fingerprint: bytes, scale: int, bits_hwd: Tensor, phases: int) -> int | None:
    """Check byte of the tokens of the first `phases` phases; None for a scale too small to have one."""
    height, width = bits_hwd.shape[:2]
    coded = torch.zeros(height, width, dtype=torch.bool, device=bits_hwd.device)
    for phase in range(phases):
        coded |= phase_mask(height, width, phase, bits_hwd.device)
    if int(coded.sum()) < CHECKED_TOKENS:
        return None
    return checkpoint(fingerprint, scale, np.packbits((bits_hwd & coded[..., None]).cpu().numpy()).tobytes())


def encode_scales(walk: Walk, bits: list[Tensor]) -> list[CodedScale]:
    """Code the scales in `bits` (each [h, w, d] bool); the walk ends behind them."""
    coded = []
    for bits_hwd in bits:
        trunk, features = walk.predict()
        logs: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in PHASES]
        masked = walk.draw(trunk, features, [known(bits_hwd, log) for log in logs])
        coded.append(CodedScale(walk.scale, tuple(tuple(log) for log in logs), masked))
        walk.advance(walk.code(masked))
    return coded


def decode_scale(walk: Walk, segment: bytes, fingerprint: bytes, phases: int = len(PHASES)) -> None:
    """Take one scale from its segment; a partly sent scale is completed with the likeliest bits.

    Raises FormatError when the check byte disagrees; the walk is then spent.
    """
    decoder = BitDecoder(segment)
    trunk, features = walk.predict()
    missing = len(PHASES) - phases
    bits = walk.draw(trunk, features, [decoded(decoder)] * phases + [likeliest] * missing)
    expected = scale_check(fingerprint, walk.scale, bits, phases)
    if expected is not None and decoder.decode_byte() != expected:
        raise FormatError(f"scale {walk.scale + 1} is damaged")
    walk.advance(walk.code(bits))


def fill_scales(walk: Walk, fill: str, seed: int) -> None:
    """Generate every remaining scale: `argmax`, `sample` or `mean` (expected value of each bit)."""
    source = sampled(seed) if fill == "sample" else likeliest
    while walk.scale < len(walk.schedule):
        trunk, features = walk.predict()
        if fill == "mean":
            walk.advance(expected_code(walk, trunk))
        else:
            walk.advance(walk.code(walk.draw(trunk, features, [source] * len(PHASES))))
