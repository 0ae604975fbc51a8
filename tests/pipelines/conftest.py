"""Small models as imports make them, with float priors that take text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from arpc_codec.codecs.arpc import ArpcCodec
from arpc_codec.prior.config import PriorConfig
from arpc_codec.prior.context import ContextHead
from arpc_codec.prior.transformer import VAR
from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
from arpc_codec.zoo.bundle import ContextSizes, load_folder, save_imported

Head = ContextSizes(width=8, hidden=2)


def random_weights(module: torch.nn.Module, seed: int, std: float) -> dict[str, Tensor]:
    """Every matrix and vector of a module made random; norms stay near 1."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + std * torch.randn(tensor.shape, generator=generator) if "gain" not in name else tensor
        for name, tensor in module.state_dict().items()
    }


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ARPC_HOME with two small models as imports make them, `plain` and, with a context head, `headed`."""
    folder = tmp_path_factory.mktemp("float")
    widths, depths = (24, 24, 24, 48, 48), (1, 1, 1, 1, 1)
    pixels = TokenizerConfig(
        channels=12,
        encoder_stem=24,
        encoder_widths=widths,
        encoder_depths=depths,
        decoder_widths=widths,
        decoder_depths=tuple(depth + 1 for depth in depths),
        learned_gains=False,
        grid_bits=24,
        network="pyramid",
        masked=False,
    )
    tokens = PriorConfig(
        d=12,
        embed_dim=48,
        depth=3,
        num_heads=3,
        text_channels=40,
        text_maxlen=5,
        rope_grid="published",
        temperature=0.5,
    )
    torch.manual_seed(5)
    halves = (
        (pixels, random_weights(Tokenizer(pixels), 1, 0.02)),
        (tokens, random_weights(VAR(tokens), 2, 0.15)),
    )
    save_imported(folder / "plain", 501, "plain", "test", *halves)
    head = random_weights(ContextHead(48, 12, **Head), 3, 0.3)
    save_imported(folder / "headed", 502, "headed", "test", *halves, context=(Head, head))
    return folder


@pytest.fixture(scope="session")
def headed(home: Path) -> ArpcCodec:
    return ArpcCodec(load_folder(home / "headed"))
