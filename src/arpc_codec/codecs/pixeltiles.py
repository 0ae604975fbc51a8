"""Tiles of samples <-> streams through the lossless prior.

The compiled wavefront (`native`) walks them one by one; in numpy tiles of one shape are walked together, which takes
some nine times as long and gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from arpc_codec import native
from arpc_codec.codecs.hands import GO_ON, Stop
from arpc_codec.entropy.mixture import MixtureModel, Rows, code
from arpc_codec.entropy.symbols import Probabilities, SymbolDecoder, SymbolEncoder, Symbols
from arpc_codec.errors import FormatError
from arpc_codec.exact.grid import State, Values
from arpc_codec.exact.pixel import Wavefront
from arpc_codec.prior.adapter import Adapter, adapted
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.wavefront import skew, steps, unskew

# (tile, probabilities [n, m], symbols or None to read them) -> symbols
ChooseTile = Callable[[int, Probabilities, "Symbols | None"], Symbols]


class PixelCoder:
    """The exact lossless prior of one model, for grey (1 channel) or colour (3)."""

    def __init__(self, config: PixelConfig, state: State) -> None:
        self.config, self.state = config, state
        self.mixtures = MixtureModel(state["tables.sigmoid"])

    @cached_property
    def _compiled(self) -> native.NativeCoder:
        return native.NativeCoder(self.config, self.state)

    @property
    def _native(self) -> bool:
        return native.holds(self.config) and native.version() != ""

    def adapted(self, adapter: Adapter) -> PixelCoder:
        """The coder of a picture that brings an adapter."""
        return PixelCoder(self.config, adapted(self.state, adapter))

    def encode(self, tiles_bhwc: np.ndarray, bits: int, stop: Stop = GO_ON) -> list[bytes]:
        """One stream for each tile of samples below 2^bits. Ends with InterruptedError soon after stop[0] is set."""
        if self._native:
            return [self._compiled.encode(tile, bits, stop) for tile in tiles_bhwc]
        encoders = [SymbolEncoder() for _ in tiles_bhwc]

        def one(tile: int, chances: Probabilities, values: Symbols | None) -> Symbols:
            assert values is not None
            encoders[tile].encode(values, chances)
            return values

        self._walk(tiles_bhwc.astype(np.float64), bits, tiles_bhwc.shape[:3], one, stop)
        return [encoder.seal() for encoder in encoders]

    def decode(
        self, streams: Sequence[bytes], shape: tuple[int, int], bits: int, stop: Stop = GO_ON
    ) -> tuple[np.ndarray, set[int]]:
        """(samples int32 [B, H, W, C], tiles whose stream is impossible: what they hold means nothing).

        `stop` as in `encode`.
        """
        if self._native:
            found = [self._compiled.decode(stream, shape, bits, stop) for stream in streams]
            nothing = np.zeros((*shape, self.config.channels), np.int32)
            impossible = {index for index, tile in enumerate(found) if tile is None}
            return np.stack([nothing if tile is None else tile for tile in found]), impossible
        decoders, broken = [SymbolDecoder(stream) for stream in streams], set[int]()

        def one(tile: int, chances: Probabilities, values: Symbols | None) -> Symbols:
            try:
                return decoders[tile].decode(chances)
            except FormatError:
                broken.add(tile)
                return np.zeros(len(chances), np.int32)

        samples = self._walk(None, bits, (len(streams), *shape), one, stop)
        return samples.astype(np.int32), broken

    def _walk(self, x_bhwc: Values | None, bits: int, shape: tuple[int, ...], one: ChooseTile, stop: Stop) -> Values:
        """Every step of all tiles; `one(tile, probabilities, symbols or None)` codes the choices of one tile."""
        batch, height, width = shape
        front = Wavefront(self.state, self.config, (batch, height, width), bits)

        def choose(rows: Rows, chances: Probabilities, values: Symbols | None) -> Symbols:
            bounds = np.arange(1, batch + 1) * (front.now.stop - front.now.start)
            out, first = np.empty(len(chances), np.int32), 0
            for tile, end in enumerate(np.searchsorted(rows, bounds).tolist()):
                if end > first:
                    part = None if values is None else values[first:end]
                    out[first:end] = one(tile, chances[first:end], part)
                first = end
            return out

        truth = None if x_bhwc is None else skew(x_bhwc)
        out = np.zeros((steps(height, width), batch, height, self.config.channels))
        for step, found in enumerate(out):
            if stop[0]:
                raise InterruptedError("stopped")
            front.begin(step)
            for place, context in enumerate(front.plan):
                known = None if truth is None else truth[step, :, front.now, context.channel].ravel()
                samples = code(self.mixtures, front.mixture(place), choose, known)
                front.settle(place, samples)
                found[:, front.now, context.channel] = samples.reshape(batch, -1)
        return unskew(out, width)
