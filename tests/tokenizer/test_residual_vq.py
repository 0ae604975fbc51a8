"""The residual vector quantizer: nearest entries, exact sums, codebooks that learn and no entry that stays unused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from arpc_codec.tokenizer.residual_vq import ResidualVQ, used_share

STAGES, ENTRIES, CHANNELS = 3, 8, 4


def latent(seed: int = 0, size: tuple[int, int] = (5, 7)) -> torch.Tensor:
    return torch.randn(2, CHANNELS, *size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def quantizer() -> ResidualVQ:
    torch.manual_seed(0)
    return ResidualVQ(CHANNELS, stages=STAGES, entries=ENTRIES)


def test_every_stage_takes_the_nearest_entry(quantizer: ResidualVQ) -> None:
    y = latent()
    indices, prefixes, _ = quantizer(y)
    assert indices.shape == (2, STAGES, 5, 7)
    z = torch.zeros_like(y)
    for stage in range(STAGES):
        residual = (y - z).permute(0, 2, 3, 1)
        distance = (residual[..., None, :] - quantizer.codebooks[stage]).square().sum(-1)
        assert torch.equal(indices[:, stage], distance.argmin(-1))
        z = z + quantizer.codebooks[stage][indices[:, stage]].permute(0, 3, 1, 2)
        assert torch.equal(prefixes[stage], z)


def test_decoding_is_exact_for_every_prefix(quantizer: ResidualVQ) -> None:
    indices, prefixes, _ = quantizer(latent())
    for stages, z in enumerate(prefixes, 1):
        assert torch.equal(quantizer.decode(indices, stages), z)
        assert torch.equal(quantizer.decode(indices[:, :stages], stages), z)


def test_the_first_stages_alone(quantizer: ResidualVQ) -> None:
    whole, part = quantizer(latent()), quantizer(latent(), 2)
    assert torch.equal(part.indices, whole.indices[:, :2])
    assert all(torch.equal(a, b) for a, b in zip(part.prefixes, whole.prefixes[:2], strict=True))


def test_of_equal_entries_the_lowest_is_taken(quantizer: ResidualVQ) -> None:
    quantizer.codebooks[:, 5] = quantizer.codebooks[:, 2]
    indices = quantizer(latent()).indices
    assert (indices == 2).any()
    assert not (indices == 5).any()


def test_many_positions_are_compared_as_few(quantizer: ResidualVQ, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = quantizer(latent()).indices
    monkeypatch.setattr("arpc_codec.tokenizer.residual_vq.CHUNK", 16)
    assert torch.equal(quantizer(latent()).indices, whole)


def test_gradients_pass_straight_through(quantizer: ResidualVQ) -> None:
    y = latent().requires_grad_()
    prefixes = quantizer(y).prefixes
    target = latent(1)
    for z in prefixes:
        (gradient,) = torch.autograd.grad((z * target).sum(), y, retain_graph=True)
        assert torch.equal(gradient, target)


def test_kmeans_starts_well_and_updates_improve(quantizer: ResidualVQ) -> None:
    y = latent(size=(24, 24))
    generator = torch.Generator().manual_seed(0)

    def errors() -> list[float]:
        return [(y - z).square().mean().item() for z in quantizer(y).prefixes]

    quantizer.start(y, generator, rounds=1)
    first = errors()
    assert first[0] > first[1] > first[2]
    for _ in range(40):
        quantizer.update(y, quantizer(y), generator, decay=0.5)
    assert errors()[-1] < first[-1]
    with pytest.raises(ValueError, match="positions"):
        quantizer.start(latent(size=(1, 1)), generator)


def test_dead_entries_come_back(quantizer: ResidualVQ) -> None:
    y = latent(size=(24, 24))
    generator = torch.Generator().manual_seed(0)
    quantizer.start(y, generator)
    quantizer.codebooks[:, 3:] = 1000.0
    quantizer.sums[:, 3:] = 1000.0 * quantizer.uses[:, 3:, None]
    assert used_share(quantizer(y).indices, ENTRIES) == [3 / 8] * STAGES
    revived = sum(quantizer.update(y, quantizer(y), generator, decay=0.5) for _ in range(20))
    assert revived >= 5 * STAGES
    assert used_share(quantizer(y).indices, ENTRIES) == [1.0] * STAGES


def test_updates_depend_on_the_generator_alone(quantizer: ResidualVQ) -> None:
    torch.manual_seed(0)
    twin = ResidualVQ(CHANNELS, stages=STAGES, entries=ENTRIES)
    for module in (quantizer, twin):
        torch.rand(3)
        module.start(latent(), torch.Generator().manual_seed(1))
        for step in range(5):
            y = latent(step)
            module.update(y, module(y), torch.Generator().manual_seed(step), decay=0.1)
    assert all(torch.equal(a, b) for a, b in zip(quantizer.buffers(), twin.buffers(), strict=True))


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read the Linux way")
def test_memory_of_a_large_picture() -> None:
    """Distances to all entries are there for some positions at a time, and nothing of them stays behind."""
    code = """
import resource, torch
from arpc_codec.tokenizer.residual_vq import nearest
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
y, book = torch.randn(1, 2, 512, 512), torch.randn(1024, 2)
nearest(book, y[..., :64, :64])
before = peak()
nearest(book, y)
print(peak() - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert grown < 2**26
