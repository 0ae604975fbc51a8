"""Trees over codebook entries: nodes along a path, and that chances of all leaves are a distribution."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from arpc_codec.errors import ModelError
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.context import known_symbols
from arpc_codec.prior.model import Prior
from arpc_codec.prior.tree import TreeHead, path_costs, path_nodes
from arpc_codec.scales import halved_schedule

SIZES = PriorConfig(d=3, embed_dim=16, depth=1, num_heads=2, codes=5, levels=(3, 3, 2), rank=4, repeats=4)


def every_path(bits: int) -> torch.Tensor:
    index = torch.arange(2**bits)
    return (index[:, None] >> torch.arange(bits - 1, -1, -1) & 1).bool()


def test_nodes_of_a_path() -> None:
    nodes = path_nodes(every_path(3))
    assert nodes[:, 0].tolist() == [0] * 8
    assert nodes[:, 1].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert nodes[:, 2].tolist() == [3, 3, 4, 4, 5, 5, 6, 6]


@pytest.mark.parametrize(("after", "bits"), [(0, 3), (2, 2), (9, 2)])
def test_chances_of_all_entries_sum_to_one(after: int, bits: int) -> None:
    torch.manual_seed(0)
    head = TreeHead(SIZES.levels, 4)
    asked = torch.randn(4)
    paths = torch.nn.functional.pad(every_path(bits), (0, 3 - bits))
    logits = head(asked.expand(1, 1, len(paths), -1), paths[None, None], after)[0, 0]
    assert not logits[:, bits:].any()
    chances = torch.where(paths, logits.sigmoid(), (-logits).sigmoid())[:, :bits].prod(1)
    assert chances.sum().item() == pytest.approx(1, abs=1e-6)
    everywhere = head.every(asked, after)
    assert torch.allclose(everywhere[path_nodes(paths[:, :bits])], logits[:, :bits], atol=1e-6)


def test_costs_of_all_entries_are_those_of_their_paths() -> None:
    chances = torch.rand(2, 7).double().clamp(0.01, 0.99)
    costs = path_costs(chances)
    paths = every_path(3)
    at = chances[:, path_nodes(paths)]
    assert torch.allclose(costs, -torch.where(paths, at, 1 - at).log2().sum(-1))
    assert torch.allclose((2.0**-costs).sum(-1), torch.ones(2).double())


def test_a_token_says_nothing_about_itself() -> None:
    """Changing one token of a scale leaves what its own nodes and those of its phase are asked with unchanged."""
    torch.manual_seed(0)
    prior = Prior(SIZES, 8)
    for parameter in prior.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.2)
    schedule = halved_schedule(4, 4)
    bits = [torch.rand(1, h, w, 3) < 0.5 for h, w in schedule]
    for tokens, level in zip(bits, (2, 2, 2, 2, 2, 3, 3), strict=True):
        tokens[..., level:] = False
    symbols = [torch.randn(1, 5, h, w) for h, w in schedule]
    inputs = [torch.randn(1, h * w, 5) for h, w in schedule[1:]]

    def logits(shown: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        alone, full = prior(inputs, bits, shown, schedule)
        return alone[-1], full[-1]

    before = logits(symbols)
    changed = [*symbols[:-1], symbols[-1].clone()]
    changed[-1][..., 0, 0] += 1
    after = logits(changed)
    assert torch.equal(before[0], after[0])
    same = (before[1] == after[1]).all(-1)[0]
    assert same[0::2, 0::2].all()
    assert not same[1, 1]


def test_known_symbols_are_those_of_earlier_phases() -> None:
    symbols = torch.ones(1, 2, 3, 3)
    assert not known_symbols(symbols, 0).any()
    known = known_symbols(symbols, 2)
    assert known[0, 2].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert torch.equal(known[0, 0], known[0, 2])


def test_config_is_checked() -> None:
    assert SIZES.outputs == 4
    assert PriorConfig(levels=[3, 3], d=3).levels == (3, 3)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="do not fit"):
        replace(SIZES, d=4)
    with pytest.raises(ModelError, match="only scales of trees"):
        PriorConfig(repeats=3)
    with pytest.raises(ModelError, match="at most 4"):
        replace(SIZES, repeats=5)
