"""The lossless prior in exact steps: equal to the float network, the same for every batch, decodable step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from arpc_codec.entropy.mixture import Mixture, MixtureModel, code
from arpc_codec.entropy.symbols import SymbolDecoder, SymbolEncoder
from arpc_codec.exact.grid import State
from arpc_codec.exact.pixel import Wavefront
from arpc_codec.exact.pixelstate import export_pixel
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.observed import observe
from arpc_codec.prior.pixel import PixelPrior
from arpc_codec.prior.wavefront import skew, steps, unskew


def model(channels: int) -> tuple[PixelPrior, State]:
    torch.manual_seed(0)
    prior = PixelPrior(PixelConfig(channels, width=16, depth=2, head=12, mixtures=3)).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return prior, export_pixel(prior)


def tiles(picture: Callable[..., np.ndarray], channels: int, batch: int = 2) -> np.ndarray:
    pictures = [picture(13, 17, i) for i in range(batch)]
    return np.stack(pictures)[..., :channels].astype(np.float64)


def walk(state: State, config: PixelConfig, x: np.ndarray) -> list[list[Mixture]]:
    """Mixtures of every step and place, teacher-forced."""
    batch, height, width, _ = x.shape
    front = Wavefront(state, config, (batch, height, width), 8)
    truth, result = skew(x), []
    for step in range(steps(height, width)):
        front.begin(step)
        row: list[Mixture] = []
        for place, context in enumerate(front.plan):
            row.append(front.mixture(place))
            front.settle(place, truth[step, :, front.now, context.channel].ravel())
        result.append(row)
    return result


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_to_the_full_masked_forward(channels: int, picture: Callable[..., np.ndarray]) -> None:
    """Cache-then-select steps give the float network's mixtures, up to the grids of the exact arithmetic."""
    prior, state = model(channels)
    x = tiles(picture, channels)
    with torch.no_grad():
        expected = prior(observe(x, 8))
    found = walk(state, prior.config, x)
    batch, height, width, _ = x.shape
    for place, channel in enumerate(prior.order):
        means = np.zeros((steps(height, width), batch, height, 3))
        for step, row in enumerate(found):
            first = max(0, -(-(step - width + 1) // 2))
            got = row[place].mean.T.reshape(batch, -1, 3)
            means[step, :, first : first + got.shape[1]] = got
        error = np.abs(unskew(means, width) - expected[channel][1].numpy())
        assert float(error.mean()) < 0.05
        assert float(error.max()) < 2.0


def test_batch_changes_nothing(picture: Callable[..., np.ndarray]) -> None:
    prior, state = model(3)
    x = tiles(picture, 3)
    both, second = walk(state, prior.config, x), walk(state, prior.config, x[1:])
    for a, b in zip(both, second, strict=True):
        for p, q in zip(a, b, strict=True):
            half = p.mean.shape[1] // 2
            for name in ("mean", "rate", "weight", "centre"):
                assert np.array_equal(getattr(p, name)[..., half:], getattr(q, name))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_coded_comes_back(channels: int, picture: Callable[..., np.ndarray]) -> None:
    prior, state = model(channels)
    x = tiles(picture, channels)
    batch, height, width, _ = x.shape
    mixtures = MixtureModel(state["tables.sigmoid"])
    encoder = SymbolEncoder()

    def write(rows: np.ndarray, chances: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is not None
        encoder.encode(symbols, chances)
        return symbols

    truth = skew(x)

    def run(decide: Callable, known: bool) -> np.ndarray:
        front = Wavefront(state, prior.config, (batch, height, width), 8)
        out = np.zeros_like(truth)
        for step in range(steps(height, width)):
            front.begin(step)
            for place, context in enumerate(front.plan):
                samples = truth[step, :, front.now, context.channel].ravel() if known else None
                samples = code(mixtures, front.mixture(place), decide, samples)
                front.settle(place, samples)
                out[step, :, front.now, context.channel] = samples.reshape(batch, -1)
        return unskew(out, width)

    run(write, True)
    decoder = SymbolDecoder(encoder.seal())

    def read(rows: np.ndarray, chances: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        return decoder.decode(chances)

    assert np.array_equal(run(read, False), x)
