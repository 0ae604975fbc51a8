"""Mixtures of logistics: every sample comes back, costs what the distribution says, and nothing is impossible."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.entropy.mixture import Mixture, MixtureModel, code
from arpc_codec.entropy.symbols import COUNT
from arpc_codec.exact.tables import sigmoid_table

MODEL = MixtureModel(sigmoid_table().numpy())


def mixtures(rng: np.random.Generator, n: int, bits: int, k: int = 3) -> Mixture:
    top = 1 << bits
    mean = np.round(rng.uniform(-0.1 * top, 1.1 * top, (k, n)) * 256) / 256
    scale = np.exp(rng.uniform(math.log(0.1), math.log(top / 4), (k, n)))
    rate = np.clip(np.round(65536 / scale), 1, 64 * 65536) / 65536
    weight = rng.integers(0, 4097, (k, n)).astype(float)
    weight[0] += weight.sum(0) == 0
    return Mixture(mean, rate, weight, mean.mean(0).round(), bits)


def whole_counts(chances: np.ndarray) -> np.ndarray:
    """The counts of 2^20 that probabilities are."""
    counts = chances * COUNT
    assert (counts == counts.astype(int)).all()
    assert counts.min() >= 1
    assert (counts.sum(1) == COUNT).all()
    return counts


def cost(mixture: Mixture, x: np.ndarray) -> tuple[float, list[tuple[np.ndarray, np.ndarray]]]:
    """Ideal bits of all choices, and the choices."""
    choices = []

    def choose(rows: np.ndarray, chances: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is not None
        choices.append((whole_counts(chances), symbols))
        return symbols

    assert np.array_equal(code(MODEL, mixture, choose, x), x)
    return sum(-np.log2(np.take_along_axis(c, s[:, None], 1) / COUNT).sum() for c, s in choices), choices


@given(st.integers(0, 2**32), st.sampled_from([1, 4, 8, 12, 16]))
@settings(max_examples=40)
def test_every_sample_comes_back(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    mixture = mixtures(rng, 50, bits)
    x = rng.integers(0, 1 << bits, 50).astype(float)
    _, choices = cost(mixture, x)
    queue = iter(choices)

    def answer(rows: np.ndarray, chances: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        assert symbols is None
        expected, answers = next(queue)
        assert np.array_equal(whole_counts(chances), expected)
        return answers

    assert np.array_equal(code(MODEL, mixture, answer, None), x)


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 8, 16]))
@settings(max_examples=20)
def test_any_answers_end(seed: int, bits: int) -> None:
    """A damaged stream may choose empty cells and cells beyond the alphabet: it ends all the same."""
    rng = np.random.default_rng(seed)

    def answer(rows: np.ndarray, chances: np.ndarray, symbols: np.ndarray | None) -> np.ndarray:
        return rng.integers(0, whole_counts(chances).shape[1], len(chances), np.int32)

    assert np.isfinite(code(MODEL, mixtures(rng, 50, bits), answer, None)).all()


def test_cost_is_that_of_the_distribution() -> None:
    """Samples drawn from a logistic cost its entropy, at any depth and scale."""
    rng = np.random.default_rng(3)
    for bits, scale in ((8, 0.4), (8, 3.0), (8, 20.0), (12, 30.0), (16, 2000.0)):
        n, top = 4000, 1 << bits
        centre = rng.uniform(0.3, 0.7, n) * top
        x = np.clip(np.round(centre + rng.logistic(0, scale, n)), 0, top - 1)
        mean = (np.round(centre * 256) / 256)[None]
        rate = np.full((1, n), round(65536 / scale) / 65536)
        weight = np.full((1, n), 4096.0)
        spent, choices = cost(Mixture(mean, rate, weight, mean[0].round(), bits), x)

        def sigmoid(z: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(-z))

        # The first and the last sample stand for everything beyond them.
        upper = np.where(x == top - 1, 1, sigmoid((x + 0.5 - centre) / scale))
        lower = np.where(x == 0, 0, sigmoid((x - 0.5 - centre) / scale))
        ideal = -np.log2(upper - lower).sum()
        assert abs(spent - ideal) < 0.004 * ideal + 0.002 * n
        # Focus: the number of choices follows the scale, not the alphabet.
        assert sum(len(symbols) for _, symbols in choices) / n < max(0, math.log2(12 * scale / 16)) / 4 + 2


def test_the_impossible_costs_little_more_than_raw() -> None:
    x = np.array([65535.0])
    one = np.ones((1, 1))
    spent, _ = cost(Mixture(0 * one, 64 * one, 4096 * one, np.zeros(1), 16), x)
    assert spent < 16 + 22
