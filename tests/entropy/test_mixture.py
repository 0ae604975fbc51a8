"""Mixtures of logistics: every sample comes back, costs what the distribution says, and nothing is impossible."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.entropy.mixture import Mixture, MixtureModel, code
from arpc_codec.exact.tables import sigmoid_table

MODEL = MixtureModel(sigmoid_table())


def mixtures(rng: np.random.Generator, n: int, bits: int, k: int = 3) -> Mixture:
    top = 1 << bits
    mean = torch.from_numpy(np.round(rng.uniform(-0.1 * top, 1.1 * top, (n, k)) * 256) / 256)
    scale = np.exp(rng.uniform(math.log(0.1), math.log(top / 4), (n, k)))
    rate = torch.from_numpy(np.clip(np.round(65536 / scale), 1, 64 * 65536) / 65536)
    weight = torch.from_numpy(rng.integers(0, 4097, (n, k)).astype(float))
    weight[:, 0] += (weight.sum(1) == 0).double()
    return Mixture(mean, rate, weight, mean.mean(1).round(), bits)


def cost(mixture: Mixture, x: torch.Tensor) -> tuple[float, list[tuple[np.ndarray, np.ndarray]]]:
    """Ideal bits of all decisions, and the decisions."""
    decisions = []

    def decide(rows: torch.Tensor, counts: torch.Tensor, bits: torch.Tensor | None) -> torch.Tensor:
        assert bits is not None
        assert counts.min() >= 1
        assert counts.max() <= 65535
        decisions.append((counts.numpy(), bits.numpy()))
        return bits

    assert torch.equal(code(MODEL, mixture, decide, x), x)
    return sum(-np.log2(np.where(b, c, 65536 - c) / 65536).sum() for c, b in decisions), decisions


@given(st.integers(0, 2**32), st.sampled_from([1, 4, 8, 12, 16]))
@settings(max_examples=40, deadline=None)
def test_every_sample_comes_back(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    mixture = mixtures(rng, 50, bits)
    x = torch.from_numpy(rng.integers(0, 1 << bits, 50).astype(float))
    _, decisions = cost(mixture, x)
    queue = iter(decisions)

    def answer(rows: torch.Tensor, counts: torch.Tensor, bits: torch.Tensor | None) -> torch.Tensor:
        assert bits is None
        expected, answers = next(queue)
        assert np.array_equal(counts.numpy(), expected)
        return torch.from_numpy(answers)

    assert torch.equal(code(MODEL, mixture, answer, None), x)


def test_cost_is_that_of_the_distribution() -> None:
    """Samples drawn from a logistic cost its entropy, at any depth and scale."""
    rng = np.random.default_rng(3)
    for bits, scale in ((8, 0.4), (8, 3.0), (8, 20.0), (12, 30.0), (16, 2000.0)):
        n, top = 4000, 1 << bits
        centre = rng.uniform(0.3, 0.7, n) * top
        x = np.clip(np.round(centre + rng.logistic(0, scale, n)), 0, top - 1)
        column = torch.from_numpy(np.round(centre * 256) / 256)[:, None]
        rate = torch.full((n, 1), round(65536 / scale) / 65536, dtype=torch.float64)
        weight = torch.full((n, 1), 4096.0, dtype=torch.float64)
        spent, decisions = cost(Mixture(column, rate, weight, column[:, 0].round(), bits), torch.from_numpy(x))

        def sigmoid(z: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(-z))

        ideal = -np.log2(sigmoid((x + 0.5 - centre) / scale) - sigmoid((x - 0.5 - centre) / scale)).sum()
        assert abs(spent - ideal) < 0.004 * ideal + 0.002 * n
        # Focus: the number of decisions follows the scale, not the alphabet.
        assert sum(len(b) for _, b in decisions) / n < math.log2(24 * max(scale, 1)) + 2.5


def test_the_impossible_costs_little_more_than_raw() -> None:
    x = torch.tensor([65535.0])
    one = torch.ones(1, 1, dtype=torch.float64)
    spent, _ = cost(Mixture(0 * one, 64 * one, 4096 * one, torch.zeros(1, dtype=torch.float64), 16), x)
    assert spent < 16 + 22
