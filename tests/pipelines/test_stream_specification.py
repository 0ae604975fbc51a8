"""The stream of a tile read choice by choice in exact fractions, as formats/arpc-v1.md tells it."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.entropy.mixture import Mixture
from arpc_codec.entropy.symbols import SymbolDecoder, probabilities
from arpc_codec.exact.pixel import Wavefront
from arpc_codec.exact.pixelstate import export_pixel
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.pixel import PixelPrior

HEIGHT, WIDTH, BITS = 4, 6, 7
TOP = 1 << BITS


class Reader:
    """Samples of one step and channel from a stream."""

    def __init__(self, stream: bytes, table: list[int]) -> None:
        self.decoder, self.table, self.escapes = SymbolDecoder(stream), table, 0

    def sigmoid(self, z: Fraction) -> int:
        z = 64 * max(Fraction(-20), min(Fraction(20), z))
        i = math.floor(z)
        low, high = self.table[i + 1280], self.table[i + 1281]
        return 4096 * low + math.floor(4096 * (z - i)) * (high - low)

    def mass(self, mixture: Mixture, n: int, x: int) -> Fraction:
        parts = [part[:, n].tolist() for part in (mixture.mean, mixture.rate, mixture.weight)]
        if x <= 0:
            return Fraction(0)
        if x >= TOP:
            return sum(map(int, parts[2])) * Fraction(2) ** 36 + Fraction(2) ** 34
        logistics = zip(*parts, strict=True)
        terms = [int(w) * self.sigmoid((x - Fraction(1, 2) - Fraction(m)) * Fraction(r)) for m, r, w in logistics]
        return sum(terms) + x * Fraction(2) ** (34 - BITS)

    def choose(self, mixture: Mixture, n: int, edges: list[int]) -> tuple[int, int]:
        """The cell of a sample."""
        cells, mass = len(edges) - 1, [self.mass(mixture, n, x) for x in edges]
        whole = max(Fraction(1), mass[-1] - mass[0])
        starts = [round((m - mass[0]) / whole * (2**20 - cells)) + j for j, m in enumerate(mass[:-1])] + [2**20]
        counts = np.array([[b - a for a, b in itertools.pairwise(starts)]])
        cell = int(self.decoder.decode(probabilities(counts))[0])
        return edges[cell], edges[cell + 1]

    def samples(self, mixture: Mixture, count: int) -> list[int]:
        left = []
        for n in range(count):
            first, size = self.window(mixture, n)
            edges = [0, *(first + size * j // 16 for j in range(17)), max(TOP, first + size)]
            left.append(self.choose(mixture, n, edges))
            self.escapes += not first <= left[n][0] < first + size
        while any(high - low > 1 for low, high in left):
            for n, (low, high) in enumerate(left):
                if high - low > 1:
                    left[n] = self.choose(mixture, n, [low + (high - low) * j // 16 for j in range(17)])
        return [low for low, _ in left]

    @staticmethod
    def window(mixture: Mixture, n: int) -> tuple[int, int]:
        size, weight = 16, mixture.weight[:, n].tolist()
        scale = sum(w / r for w, r in zip(weight, mixture.rate[:, n].tolist(), strict=True)) / sum(weight)
        while size < 12 * scale and size < TOP:
            size *= 16
        first = min(max(0, math.floor(mixture.centre[n].item() - size / 2)), max(0, TOP - size))
        return first, size


@pytest.mark.parametrize(("channels", "order"), [(1, [0]), (3, [1, 0, 2])])
def test_a_stream_is_what_the_specification_says(channels: int, order: list[int]) -> None:
    torch.manual_seed(0)
    prior = PixelPrior(PixelConfig(channels, width=8, depth=1, head=8, mixtures=2)).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    coder = PixelCoder(prior.config, export_pixel(prior))
    rng = np.random.default_rng(channels)
    ramp = np.add.outer(20 * np.arange(HEIGHT), 5 * np.arange(WIDTH))[..., None]
    tile = ramp % TOP ^ rng.integers(0, 2, (HEIGHT, WIDTH, channels))
    tile[2, 3] = TOP - 1 - tile[2, 3]  # far from what is expected
    reader = Reader(coder.encode(tile[None].astype(np.int32), BITS)[0], coder.state["tables.sigmoid"].tolist())
    front = Wavefront(coder.state, coder.config, (1, HEIGHT, WIDTH), BITS)
    found = np.zeros_like(tile)
    for step in range(WIDTH + 2 * (HEIGHT - 1)):
        front.begin(step)
        rows = np.array([row for row in range(HEIGHT) if 0 <= step - 2 * row < WIDTH])
        for place, channel in enumerate(order):
            values = reader.samples(front.mixture(place), len(rows))
            front.settle(place, np.array(values, np.float64))
            found[rows, step - 2 * rows, channel] = values
    assert np.array_equal(found, tile)
    assert reader.escapes
