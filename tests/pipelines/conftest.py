"""Small models as imports make them, with float priors that take text."""

from __future__ import annotations

from dataclasses import replace
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

HEAD_SIZES = ContextSizes(width=8, hidden=2)


def random_weights(module: torch.nn.Module, seed: int, std: float) -> dict[str, Tensor]:
    """Every matrix and vector of a module made random; norms stay near 1."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + std * torch.randn(tensor.shape, generator=generator) if "gain" not in name else tensor
        for name, tensor in module.state_dict().items()
    }


@pytest.fixture(scope="session")
def float_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ARPC_HOME with small models as imports make them: `plain`, `headed` with a context head, and `unscaled`."""
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
    head = random_weights(ContextHead(48, 12, **HEAD_SIZES), 3, 0.3)
    save_imported(folder / "headed", 502, "headed", "test", *halves, context=(HEAD_SIZES, head))
    # Coded at their own size, pictures take a tenth of the time.
    unscaled = replace(tokens, rope_grid=PriorConfig.rope_grid), halves[1][1]
    save_imported(folder / "unscaled", 503, "unscaled", "test", halves[0], unscaled)
    return folder


@pytest.fixture(scope="session")
def micro_float(float_home: Path) -> ArpcCodec:
    """The codec of `unscaled`."""
    return ArpcCodec(load_folder(float_home / "unscaled"))


@pytest.fixture(scope="session")
def headed(float_home: Path) -> ArpcCodec:
    return ArpcCodec(load_folder(float_home / "headed"))
