"""The exact prior of indices: the trained network's bits, proper distributions, refused codebooks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from arpc_codec.entropy.symbols import COUNT
from arpc_codec.exact.indices import ExactIndexPrior, export_indices
from arpc_codec.prior.indices import IndexConfig, IndexPrior


@pytest.fixture(scope="module", params=[6, 9])
def prior(request: pytest.FixtureRequest) -> IndexPrior:
    """Random weights large enough for probabilities from nearly 0 to nearly 1; entries of which all or 6 of 9 channels
    are seen."""
    torch.manual_seed(0)
    spread = torch.tensor([3.0, 2.0, 1.0])[:, None, None]
    unseen = torch.randn(3, 64, request.param - 6, generator=torch.Generator().manual_seed(1))
    codebooks = torch.cat([torch.randn(3, 64, 6) * spread, unseen], 2).half().float()
    prior = IndexPrior(IndexConfig(6, 3, 64, widths=(40, 24), low=12), codebooks)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return prior


def drawn(prior: IndexPrior, rows: int, cols: int) -> torch.Tensor:
    """[1, 3, rows, cols] indices as likely as the prior says."""
    exact = ExactIndexPrior(export_indices(prior), prior.config, prior.codebooks)
    stages, generator = list[torch.Tensor](), torch.Generator().manual_seed(1)
    for _ in range(3):
        stages.append(exact.code(stages, (rows, cols), lambda p, _: p.multinomial(1, generator=generator)[:, 0], None))
    return torch.stack(stages).view(1, 3, rows, cols)


def made_up(rows: int, cols: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 64, (1, 3, rows, cols)))


def record(exact: ExactIndexPrior, indices_shw: torch.Tensor, stage: int) -> tuple[float, list[torch.Tensor]]:
    """Bits of one stage, and every distribution that coded it."""
    seen, bits = list[torch.Tensor](), [0.0]

    def choose(probabilities: torch.Tensor, symbols: torch.Tensor | None) -> torch.Tensor:
        assert symbols is not None
        seen.append(probabilities)
        bits[0] -= float(probabilities.gather(1, symbols[:, None]).log2().sum())
        return symbols

    flat = list(indices_shw.flatten(1))
    found = exact.code(flat[:stage], (indices_shw.shape[1], indices_shw.shape[2]), choose, flat[stage])
    assert torch.equal(found, flat[stage])
    return bits[0], seen


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (9, 30)])
def test_bits_are_those_of_the_trained_network(prior: IndexPrior, shape: tuple[int, int]) -> None:
    indices = drawn(prior, *shape)
    exact = ExactIndexPrior(export_indices(prior), prior.config, prior.codebooks)
    with torch.no_grad():
        wanted = prior(indices)[:, 0].sum(1)
    for stage in range(3):
        assert record(exact, indices[0], stage)[0] == pytest.approx(float(wanted[stage]), rel=1e-3, abs=0.01)


def test_distributions_are_positive_counts_that_sum_to_one(prior: IndexPrior) -> None:
    exact = ExactIndexPrior(export_indices(prior), prior.config, prior.codebooks)
    _, seen = record(exact, made_up(20, 20)[0], 1)
    for probabilities in seen:
        counts = probabilities * COUNT
        assert probabilities.shape[1] == 8
        assert torch.equal(counts, counts.round())
        assert float(counts.min()) >= 1
        assert bool((counts.sum(1) == COUNT).all())
        assert probabilities.is_contiguous()


def test_what_comes_later_is_not_seen(prior: IndexPrior) -> None:
    """Another last stage, or other last positions, leave all distributions before them as they are."""
    exact = ExactIndexPrior(export_indices(prior), prior.config, prior.codebooks)
    one = made_up(16, 16)[0]
    two = one.clone()
    two[2] = made_up(16, 16, 1)[0, 2]
    two[1, 15, 14] = (two[1, 15, 14] + 9) % 64  # of the last pass
    assert all(map(torch.equal, record(exact, one, 0)[1], record(exact, two, 0)[1]))
    before, after = record(exact, one, 1)[1], record(exact, two, 1)[1]
    assert all(map(torch.equal, before[:-1], after[:-1]))
    assert not torch.equal(before[-1], after[-1])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_codebooks_of_any_size(scale: float) -> None:
    """A power of two in the model brings sums to the grid of activations."""
    torch.manual_seed(2)
    prior = IndexPrior(IndexConfig(6, 3, 64, widths=(40, 24), low=12), (scale * torch.randn(3, 64, 6)).half().float())
    exact = ExactIndexPrior(export_indices(prior), prior.config, prior.codebooks)
    indices = drawn(prior, 12, 12)
    with torch.no_grad():
        wanted = prior(indices)[:, 0].sum(1)
    assert record(exact, indices[0], 2)[0] == pytest.approx(float(wanted[2]), rel=1e-3)


@pytest.mark.parametrize("entries", [2, 3, 1000])
def test_other_numbers_of_entries_are_refused(entries: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        IndexConfig(entries=entries)


@pytest.mark.parametrize(("entries", "parts"), [(4, (2, 2)), (8, (4, 2)), (1024, (32, 32)), (2048, (64, 32))])
def test_halves_of_an_index(entries: int, parts: tuple[int, int]) -> None:
    assert IndexConfig(entries=entries).parts == parts


def test_network_sees_neighbours(prior: IndexPrior, picture: Callable[..., np.ndarray]) -> None:
    """Bits of a position depend on indices around it that come before, not on those that come after."""
    one = made_up(16, 16)
    two = one.clone()
    two[0, 0, 15, 14] = (two[0, 0, 15, 14] + 9) % 64
    with torch.no_grad():
        changed = (prior(one) != prior(two))[0, 0].view(16, 16)
    assert changed.nonzero().tolist() == [[15, 14]]
