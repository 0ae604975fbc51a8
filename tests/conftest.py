"""Fixtures of all tests: the shared data where it exists, a micro model, made-up pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from torch import nn

    from arpc_codec.codecs.arpc import ArpcCodec
    from arpc_codec.codecs.hpac import HpacCodec
    from arpc_codec.codecs.progic import ProgicCodec
    from arpc_codec.zoo.bundle import Bundle

# Torch reads it when it is imported: one thread for each worker of pytest-xdist and for the commands it starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Other workers are busy, too: an example that takes long is no fault.
settings.register_profile("arpc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("arpc")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of shared data (metric weights, Kodak pictures) beside the project; skips without it."""
    folder = Path(__file__).resolve().parent.parent.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no folder ../shared beside the project: metric weights and test pictures are not here")
    return folder


# Tests of what happens without it take it out of the environment.
METRICS = os.environ.get("ARPC_METRICS")


@pytest.fixture(scope="session")
def metrics_dir(request: pytest.FixtureRequest) -> Path:
    """Folder of metric weights: $ARPC_METRICS, else that beside the project; skips without it."""
    shared: Path = Path(METRICS) if METRICS else request.getfixturevalue("shared_dir") / "metrics"
    return shared


def random_weights(module: nn.Module, std: float) -> None:
    """Replace the zeros of a fresh module, so that no layer is without effect."""
    from torch import nn

    for parameter in module.parameters():
        if parameter.ndim and not parameter.any():
            nn.init.normal_(parameter, 0.0, std)


@pytest.fixture(scope="session")
def micro_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ARPC_HOME with one very small model of random weights, `micro`, id 100: logic does not need a trained one."""
    import torch

    from arpc_codec.exact.export import export_prior
    from arpc_codec.prior.config import PriorConfig
    from arpc_codec.prior.model import Prior
    from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
    from arpc_codec.zoo.bundle import save_bundle

    tokenizer_config = TokenizerConfig(
        encoder_widths=(16, 16), encoder_depths=(1, 1), decoder_widths=(8, 8, 16, 16), decoder_depths=(1, 1, 1, 1)
    )
    prior_config = PriorConfig(embed_dim=32, depth=2, num_heads=2, scale_embed="index+end", key_tokens=100)
    torch.manual_seed(1)
    tokenizer, prior = Tokenizer(tokenizer_config), Prior(prior_config, 16, 4)
    random_weights(tokenizer, 0.1)
    random_weights(prior, 0.1)
    with torch.no_grad():
        tokenizer.encoder.out.weight.mul_(4)
    home = tmp_path_factory.mktemp("models")
    weights, state = (tokenizer_config, tokenizer.state_dict()), (prior_config, export_prior(prior))
    save_bundle(home / "micro", 100, "micro", "test", weights, state)
    return home


@pytest.fixture(scope="session")
def micro(micro_home: Path) -> ArpcCodec:
    """The micro model's codec."""
    from arpc_codec.codecs.arpc import ArpcCodec

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARPC_HOME", str(micro_home))
        return ArpcCodec.load("micro")


@pytest.fixture(scope="session")
def micro_planes(micro_home: Path) -> ArpcCodec:
    """A very small model of planes with random weights, `micro-planes`, id 104; in ARPC_HOME too."""
    import torch

    from arpc_codec.codecs.arpc import ArpcCodec
    from arpc_codec.exact.export import export_prior
    from arpc_codec.prior.config import PriorConfig
    from arpc_codec.prior.model import Prior
    from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
    from arpc_codec.zoo.bundle import load_folder, save_bundle

    widths = {"encoder_widths": (16, 16), "decoder_widths": (8, 8, 16, 16)}
    depths = {"encoder_depths": (1, 1), "decoder_depths": (0, 1, 1, 1)}
    groups, steps = (2, 5, 8), (0.3, 0.5, 0.5, 1.2, 2.0, 0.7, 1.0)
    pixels = TokenizerConfig(
        channels=8,
        steps=steps,
        active=(8, 8, 5, 5, 5, 5, 2),
        resting=(0, 5, 0, 0, 0, 0, 0),
        groups=groups,
        trade=0.1,
        **widths,
        **depths,
    )
    sizes = {"embed_dim": 32, "depth": 2, "num_heads": 2, "scale_embed": "index+end", "key_tokens": 100}
    tokens = PriorConfig(d=40, groups=groups, levels=6, units=3, repeats=4, **sizes)
    torch.manual_seed(5)
    tokenizer, prior = Tokenizer(pixels), Prior(tokens, 16)
    random_weights(tokenizer, 0.1)
    random_weights(prior, 0.1)
    with torch.no_grad():
        tokenizer.encoder.out.weight.mul_(4)
        tokenizer.encoder.linear.weight.mul_(2)
        # Zeros are the rule.
        prior.context.bias[..., 0] -= 1
        tokenizer.quantizer.chances[:, :16] = 0.25
    folder = micro_home / "micro-planes"
    save_bundle(folder, 104, "micro-planes", "test", (pixels, tokenizer.state_dict()), (tokens, export_prior(prior)))
    return ArpcCodec(load_folder(folder))


@pytest.fixture(scope="session")
def micro_lossless(micro_home: Path) -> HpacCodec:
    """A very small lossless model of random weights, `micro-lossless`, id 101, with tiles of 16; in ARPC_HOME too."""
    import torch

    from arpc_codec.codecs.hpac import HpacCodec
    from arpc_codec.exact.pixelstate import export_pixel
    from arpc_codec.prior.features import PixelConfig
    from arpc_codec.prior.pixel import PixelPrior
    from arpc_codec.zoo.lossless import load_lossless, save_lossless

    torch.manual_seed(2)
    priors = {}
    for channels in (1, 3):
        prior = PixelPrior(PixelConfig(channels, width=8, depth=1, head=8, mixtures=2)).double()
        random_weights(prior, 0.1)
        priors[channels] = (prior.config, export_pixel(prior))
    folder = micro_home / "micro-lossless"
    save_lossless(folder, 101, "micro-lossless", "test", 16, priors)
    return HpacCodec(load_lossless(folder))


@pytest.fixture(scope="session")
def micro_progic(micro_home: Path) -> ProgicCodec:
    """A very small ProGIC model of random weights, `micro-progic`, id 102, with 3 stages; in ARPC_HOME too."""
    import torch

    from arpc_codec.codecs.progic import ProgicCodec
    from arpc_codec.tokenizer.progic import Progic, ProgicConfig
    from arpc_codec.zoo.progic import load_progic, save_progic

    config = ProgicConfig(
        channels=8,
        stages=3,
        entries=1000,
        encoder_widths=(8, 8),
        encoder_depths=(1, 1),
        decoder_widths=(8, 8, 8, 8),
        decoder_depths=(1, 0, 1, 1),
        noise=3,
    )
    torch.manual_seed(3)
    network = Progic(config)
    random_weights(network, 0.1)
    with torch.no_grad():
        # Entries of the size of what is left for them.
        network.quantizer.codebooks *= torch.tensor([1.0, 0.7, 0.5])[:, None, None]
    folder = micro_home / "micro-progic"
    save_progic(folder, 102, "micro-progic", "test", config, network.state_dict())
    return ProgicCodec(load_progic(folder))


@pytest.fixture(scope="session")
def micro_coded(micro_home: Path, picture: Callable[..., np.ndarray]) -> ProgicCodec:
    """A very small ProGIC model with a prior of its indices, `micro-coded`, id 103, with 3 stages; in ARPC_HOME too.

    The prior's weights are random; its biases are how often made-up photos choose each entry.
    """
    import torch

    from arpc_codec.codecs.progic import ProgicCodec
    from arpc_codec.exact.indices import export_indices
    from arpc_codec.prior.indices import IndexConfig, IndexPrior
    from arpc_codec.tokenizer.bisection import reordered
    from arpc_codec.tokenizer.progic import Progic, ProgicConfig
    from arpc_codec.zoo.progic import ProgicModel, load_progic, save_progic

    widths = {"encoder_widths": (8, 8), "decoder_widths": (8, 8, 8, 8)}
    depths = {"encoder_depths": (1, 1), "decoder_depths": (1, 0, 1, 1)}
    config = ProgicConfig(channels=8, stages=3, entries=128, **widths, **depths)
    torch.manual_seed(4)
    network = Progic(config)
    random_weights(network, 0.1)
    sizes = torch.tensor([1.0, 0.7, 0.5])[:, None, None]
    network.quantizer.codebooks = reordered((network.quantizer.codebooks * sizes).half().float())
    folder = micro_home / "micro-coded"
    save_progic(folder, 103, "micro-coded", "test", config, network.state_dict())
    packed: ProgicModel = load_progic(folder)
    indices_bshw = ProgicCodec(packed).quantise(np.stack([picture(256, 256, seed) for seed in range(20, 26)]), 3)

    prior = IndexPrior(IndexConfig(8, 3, 128, widths=(24, 16), low=8), packed.network.quantizer.codebooks)
    random_weights(prior, 0.1)
    with torch.no_grad():
        for stage in range(3):
            uses = torch.from_numpy(np.bincount(indices_bshw[:, stage].ravel(), minlength=128) + 0.2).float()
            prior.high_bias[stage] += uses.view(prior.config.parts).sum(1).log()
            prior.low_bias[stage] += uses.log()
    save_progic(folder, 103, "micro-coded", "test", config, network.state_dict(), (prior.config, export_indices(prior)))
    return ProgicCodec(load_progic(folder))


@pytest.fixture(scope="session")
def infinity_tiny(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The reference weights of ../shared, imported with the public command and loaded as any model."""
    from click.testing import CliRunner

    from arpc_codec.cli.main import main
    from arpc_codec.zoo.bundle import load_bundle

    home, reference = tmp_path_factory.mktemp("imported"), shared_dir / "reference" / "infinity-tiny"
    files = ["--tokenizer", reference / "vae.safetensors", "--transformer", reference / "transformer.safetensors"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARPC_HOME", str(home))
        words = ["models", "import", "infinity", *files, "--preset", "infinity", "-o", home / "infinity-tiny"]
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 0, result.stderr
        return load_bundle("infinity-tiny", check=True)


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    """Function (height, width, seed=0) -> a made-up photo."""

    def make(height: int, width: int, seed: int = 0) -> np.ndarray:
        """Smooth random colours, uint8 [H, W, 3]."""
        rng = np.random.default_rng(seed)
        coarse = rng.uniform(0, 255, (4, 4, 3))
        rows = np.linspace(0, 3, height)[:, None] @ np.ones((1, width))
        cols = np.ones((height, 1)) @ np.linspace(0, 3, width)[None]
        y, x = rows.astype(int).clip(max=2), cols.astype(int).clip(max=2)
        fy, fx = (rows - y)[..., None], (cols - x)[..., None]
        top = coarse[y, x] * (1 - fx) + coarse[y, x + 1] * fx
        bottom = coarse[y + 1, x] * (1 - fx) + coarse[y + 1, x + 1] * fx
        return (top * (1 - fy) + bottom * fy + rng.normal(0, 8, (height, width, 3))).clip(0, 255).astype(np.uint8)

    return make


@pytest.fixture
def no_gradients() -> Iterator[None]:
    """The test runs in torch's inference mode."""
    import torch

    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Function folder -> the results in it, without the manifest."""

    def read(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.jsonl")
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    return read
