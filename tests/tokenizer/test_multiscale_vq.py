"""Multi-scale vector quantizer: nearest entries, bits as paths, expected codes, codebooks that learn."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from arpc_codec.errors import ModelError
from arpc_codec.scales import halved_schedule
from arpc_codec.scales.resample import area, bilinear
from arpc_codec.tokenizer import MultiScaleVQ, Tokenizer, TokenizerConfig

LEVELS = (5, 4, 4, 4, 3)
SCHEDULE = halved_schedule(10, 14)


@pytest.fixture
def quantizer() -> MultiScaleVQ:
    torch.manual_seed(0)
    made = MultiScaleVQ(6, LEVELS)
    made.start(latent(24), SCHEDULE, torch.Generator().manual_seed(0))
    return made


def latent(count: int = 2, seed: int = 0) -> torch.Tensor:
    """Smooth and rough parts, channels of very unequal size."""
    generator = torch.Generator().manual_seed(seed)
    smooth = bilinear(torch.randn(count, 6, 3, 4, generator=generator), (10, 14))
    size = torch.tensor([4.0, 1.0, 0.5, 0.5, 0.3, 0.2])[:, None, None]
    return size * (smooth + 0.4 * torch.randn(count, 6, 10, 14, generator=generator))


def test_schedule_halves_down_to_one_cell_and_repeats_the_last() -> None:
    assert halved_schedule(32, 48)[:6] == ((1, 1), (1, 2), (2, 3), (4, 6), (8, 12), (16, 24))
    assert halved_schedule(32, 48)[6:] == ((32, 48),) * 5
    assert halved_schedule(1, 1) == ((1, 1),) * 5
    assert halved_schedule(1, 5) == ((1, 1), (1, 2), (1, 3), *[(1, 5)] * 5)
    with pytest.raises(ValueError, match="at least one cell"):
        halved_schedule(0, 4)


def test_every_scale_takes_the_nearest_entry(quantizer: MultiScaleVQ) -> None:
    h = latent()
    bits, prefixes = quantizer(h, SCHEDULE)
    z = torch.zeros_like(h)
    for scale, (size, tokens, prefix) in enumerate(zip(SCHEDULE, bits, prefixes, strict=True)):
        level = min(len(SCHEDULE) - 1 - scale, len(LEVELS) - 1)
        book = (getattr(quantizer, f"codebook{level}") * 4096).round() / 4096
        residual = area(h - z, size).permute(0, 2, 3, 1)
        nearest = (residual[..., None, :] - book).square().sum(-1).argmin(-1)
        places = 2 ** torch.arange(LEVELS[level] - 1, -1, -1)
        assert torch.equal((tokens[..., : LEVELS[level]] * places).sum(-1), nearest)
        assert not tokens[..., LEVELS[level] :].any()
        z = z + bilinear(book[nearest].permute(0, 3, 1, 2), SCHEDULE[-1])
        assert torch.allclose(z, prefix, atol=1e-5)


def test_each_scale_helps(quantizer: MultiScaleVQ) -> None:
    h = latent(8, seed=1)
    errors = [float((h - z).square().mean()) for z in quantizer(h, SCHEDULE).prefixes]
    assert all(after < before for before, after in pairwise(errors))
    assert errors[-1] < 0.15 * float(h.square().mean())


def test_active_bits_are_those_of_the_level(quantizer: MultiScaleVQ) -> None:
    assert quantizer.active(8) == (3, 3, 3, 3, 4, 4, 4, 5)
    assert quantizer.active(2) == (4, 5)


def test_codes_are_on_the_grid(quantizer: MultiScaleVQ) -> None:
    for scale, tokens in enumerate(quantizer(latent(), SCHEDULE).bits):
        code = quantizer.code(tokens, scale, SCHEDULE)
        assert code.dtype == torch.float64
        assert torch.equal(code * 4096, (code * 4096).round())


def test_expected_code_is_the_mean_over_all_paths(quantizer: MultiScaleVQ) -> None:
    scale, bits = 3, 3
    chances = torch.rand(2, 3, 2**bits - 1, dtype=torch.float64)
    book = (quantizer.codebook4.double() * 4096).round() / 4096
    expected = torch.zeros(2, 3, 6, dtype=torch.float64)
    for index in range(2**bits):
        chance, node = torch.ones(2, 3, dtype=torch.float64), 0
        for place in range(bits - 1, -1, -1):
            right = index >> place & 1
            chance = chance * (chances[..., node] if right else 1 - chances[..., node])
            node = 2 * node + 1 + right
        expected += chance[..., None] * book[index]
    found = quantizer.expected(chances, scale, SCHEDULE)[0].permute(1, 2, 0)
    assert torch.allclose(found, expected, atol=2.0**-12)
    sure = (chances > 0.5).double()
    found = quantizer.expected(sure, scale, SCHEDULE)
    paths = quantizer.code(_walk(sure, bits, quantizer.bits), scale, SCHEDULE)
    assert torch.equal(found, paths)


def _walk(sure: torch.Tensor, bits: int, width: int) -> torch.Tensor:
    """Bits [1, h, w, width] of the paths that certain chances lead along."""
    node = torch.zeros(sure.shape[:2], dtype=torch.int64)
    path = torch.zeros(1, *sure.shape[:2], width, dtype=torch.bool)
    for depth in range(bits):
        turn = sure.gather(-1, node[..., None])[..., 0] > 0
        path[0, ..., depth] = turn
        node = 2 * node + 1 + turn.long()
    return path


def test_errors_move_the_sums_and_leave_the_targets(quantizer: MultiScaleVQ) -> None:
    torch.manual_seed(0)
    h = latent()
    clean, noisy = quantizer(h, SCHEDULE), quantizer(h, SCHEDULE, [0.3] * len(SCHEDULE))
    assert torch.equal(clean.bits[0], noisy.bits[0])
    assert not torch.allclose(clean.prefixes[-1], noisy.prefixes[-1])
    for tokens, active in zip(noisy.bits, quantizer.active(len(SCHEDULE)), strict=True):
        assert not tokens[..., active:].any()


def test_symbols_are_of_about_one(quantizer: MultiScaleVQ) -> None:
    for scale, tokens in enumerate(quantizer(latent(16, seed=3), SCHEDULE).bits):
        size = float(quantizer.symbols(tokens, scale, SCHEDULE).square().mean().sqrt())
        assert 0.2 < size < 3


def test_too_few_positions_cannot_start() -> None:
    with pytest.raises(ValueError, match="cannot start"):
        MultiScaleVQ(6, (12,)).start(latent(), SCHEDULE, torch.Generator().manual_seed(0))


def test_config_is_checked() -> None:
    with pytest.raises(ModelError, match="codebooks of 1 to"):
        TokenizerConfig(codebooks=(10, 0))
    with pytest.raises(ModelError, match="the network pyramid has signs"):
        TokenizerConfig(network="pyramid", codebooks=(10,))
    with pytest.raises(ModelError, match="trade"):
        TokenizerConfig(trade=0.1)
    tokenizer = Tokenizer(TokenizerConfig(codebooks=LEVELS))
    assert tokenizer.schedule(10, 14) == SCHEDULE
    assert tokenizer.reach == 11
