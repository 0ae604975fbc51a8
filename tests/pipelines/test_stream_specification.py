"""The stream of a tile read decision by decision in exact fractions, as formats/arpc-v1.md tells it."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.entropy import BitDecoder
from arpc_codec.entropy.mixture import Mixture
from arpc_codec.exact.pixel import Wavefront, export_pixel
from arpc_codec.prior.pixel import PixelConfig, PixelPrior

HEIGHT, WIDTH, BITS = 4, 6, 7
TOP = 1 << BITS


class Reader:
    """Samples of one step and channel from a stream."""

    def __init__(self, stream: bytes, table: list[int]) -> None:
        self.decoder, self.table, self.escapes = BitDecoder(stream), table, 0

    def sigmoid(self, z: Fraction) -> int:
        z = 64 * max(Fraction(-20), min(Fraction(20), z))
        i = math.floor(z)
        low, high = self.table[i + 1280], self.table[i + 1281]
        return 4096 * low + math.floor(4096 * (z - i)) * (high - low)

    def mass(self, mixture: Mixture, n: int, x: int) -> Fraction:
        logistics = zip(mixture.mean[n].tolist(), mixture.rate[n].tolist(), mixture.weight[n].tolist(), strict=True)
        terms = [int(w) * self.sigmoid((x - Fraction(1, 2) - Fraction(m)) * Fraction(r)) for m, r, w in logistics]
        return sum(terms) + x * Fraction(2) ** (34 - BITS)

    def decide(self, part: Fraction, whole: Fraction) -> bool:
        count = max(1, min(65535, round(part / whole * 65536)))
        return bool(self.decoder.decode(np.array([count]))[0])

    def samples(self, mixture: Mixture, count: int) -> list[int]:
        def mass(n: int, low: int, high: int) -> Fraction:
            return self.mass(mixture, n, high) - self.mass(mixture, n, low)

        left = [self.window(mixture, n) for n in range(count)]
        out = []
        for n, (low, high) in enumerate(left):
            if high - low < TOP and not self.decide(mass(n, low, high), mass(n, 0, TOP)):
                out.append(n)
        self.escapes += len(out)
        for n in out:
            low, high = left[n]
            above = self.decide(mass(n, high, TOP), mass(n, high, TOP) + mass(n, 0, low))
            left[n] = (high, TOP) if above else (0, low)
        while any(high - low > 1 for low, high in left):
            for n, (low, high) in enumerate(left):
                if high - low > 1:
                    middle = (low + high) // 2
                    upper = self.decide(mass(n, middle, high), mass(n, low, high))
                    left[n] = (middle, high) if upper else (low, middle)
        return [low for low, _ in left]

    @staticmethod
    def window(mixture: Mixture, n: int) -> tuple[int, int]:
        size, widest = 16, 1 / min(mixture.rate[n].tolist())
        while size < 12 * widest and size < TOP:
            size *= 2
        first = min(max(0, math.floor(mixture.centre[n].item() - size / 2)), TOP - size)
        return first, first + size


@pytest.mark.parametrize(("channels", "order"), [(1, [0]), (3, [1, 0, 2])])
def test_a_stream_is_what_the_specification_says(channels: int, order: list[int]) -> None:
    torch.manual_seed(0)
    prior = PixelPrior(PixelConfig(channels, width=8, depth=1, head=8, mixtures=2)).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    coder = PixelCoder(prior.config, export_pixel(prior), torch.device("cpu"))
    rng = np.random.default_rng(channels)
    ramp = np.add.outer(20 * np.arange(HEIGHT), 5 * np.arange(WIDTH))[..., None]
    tile = ramp % TOP ^ rng.integers(0, 2, (HEIGHT, WIDTH, channels))
    tile[2, 3] = TOP - 1 - tile[2, 3]  # far from what is expected
    reader = Reader(coder.encode(tile[None].astype(np.int32), BITS)[0], coder.state["tables.sigmoid"].tolist())
    front = Wavefront(coder.state, coder.config, (1, HEIGHT, WIDTH), BITS, coder.device)
    found = np.zeros_like(tile)
    for step in range(WIDTH + 2 * (HEIGHT - 1)):
        front.begin(step)
        rows = np.array([row for row in range(HEIGHT) if 0 <= step - 2 * row < WIDTH])
        for place, channel in enumerate(order):
            values = reader.samples(front.mixture(place), len(rows))
            front.settle(place, torch.tensor(values, dtype=torch.float64))
            found[rows, step - 2 * rows, channel] = values
    assert np.array_equal(found, tile)
    assert reader.escapes
