"""The ProGIC network: shapes, flags, sizes of the bundled configs, and no dependence on what is far away."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from arpc_codec.tokenizer.progic import Progic, ProgicConfig, decoder_reach, encoder_reach
from arpc_codec.train.weights import load_progic_config

DENSE = ProgicConfig(
    stages=3,
    entries=8,
    encoder_widths=(8, 8),
    encoder_depths=(1, 1),
    decoder_widths=(8, 8, 8, 8),
    decoder_depths=(1, 0, 1, 1),
)
LIGHT = ProgicConfig(
    channels=8,
    stages=3,
    entries=8,
    dense=False,
    encoder_widths=(12, 8),
    encoder_depths=(1, 0),
    decoder_widths=(12, 8),
    decoder_depths=(1, 0),
)


def awake(config: ProgicConfig) -> Progic:
    """A network without zeros: every layer has an effect."""
    torch.manual_seed(0)
    model = Progic(config)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0.0, 0.2)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("config", [DENSE, LIGHT])
@pytest.mark.parametrize("attention", [0, 1])
@pytest.mark.parametrize("modulation", [False, True])
def test_shapes_for_odd_latents_and_every_flag(config: ProgicConfig, attention: int, modulation: bool) -> None:
    model = awake(replace(config, attention=attention, modulation=modulation))
    x = torch.rand(2, 3, 48, 80) * 2 - 1
    y = model.encoder(x)
    assert y.shape == (2, config.channels, 3, 5)
    indices, prefixes, _ = model.quantizer(y)
    assert indices.shape == (2, 3, 3, 5)
    pictures = [model.decoder(prefixes[-1], model.used(stages, 2)) for stages in (1, 2, 3)]
    assert all(picture.shape == x.shape for picture in pictures)
    # Told another number of codebooks, the decoder draws another picture, if it is modulated.
    assert torch.equal(pictures[0], pictures[1]) != modulation
    names = model.state_dict().keys()
    assert any("attention" in name for name in names) == bool(attention)


def test_pictures_of_a_batch_have_their_own_modulation() -> None:
    model = awake(DENSE)
    z = torch.randn(2, 16, 2, 2)
    together = model.decoder(z, torch.tensor([0, 2]))
    torch.testing.assert_close(together[1:], model.decoder(z[1:], model.used(3)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", [DENSE, LIGHT])
def test_far_pixels_do_not_matter(config: ProgicConfig) -> None:
    """Whatever is normalised is normalised at one position: tiles with a halo give the whole picture."""
    model = awake(config)
    z = torch.randn(1, config.channels, 1, 24)
    whole, part = model.decoder(z, model.used(2)), model.decoder(z[..., :16], model.used(2))
    torch.testing.assert_close(part[..., : 8 * 16], whole[..., : 8 * 16], rtol=0, atol=1e-5)
    assert not torch.allclose(part[..., -16:], whole[..., 15 * 16 : 16 * 16], atol=1e-3)


@pytest.mark.parametrize(
    "config",
    [DENSE, LIGHT, replace(DENSE, decoder_depths=(1, 1, 0, 0), attention=0), replace(LIGHT, encoder_depths=(2, 1))],
)
def test_what_a_network_sees_is_known_from_its_config(config: ProgicConfig) -> None:
    """One column of cells changed: as many columns on each side change as the reach says, and no other."""
    model = awake(config)
    cells, middle = 31, 15

    def columns(first: torch.Tensor, second: torch.Tensor, side: int) -> torch.Tensor:
        return (first != second).any(1).any(1).view(-1, cells, side).any((0, 2)).nonzero().flatten() - middle

    x = torch.rand(1, 3, 16, 16 * cells)
    other = x.clone()
    other[..., 16 * middle : 16 * (middle + 1)] += 1
    changed = columns(model.encoder(x), model.encoder(other), 1)
    reach = encoder_reach(config)
    # A cell sees one eighth more to its left than to its right.
    assert changed.max() == reach
    assert changed.min() in (-reach, 1 - reach)
    z = torch.randn(1, config.channels, 1, cells)
    other = z.clone()
    other[..., middle] += 10
    changed = columns(model.decoder(z, model.used(1)), model.decoder(other, model.used(1)), 16)
    reach = decoder_reach(config)
    assert (changed.min(), changed.max()) == (-reach, reach)


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"), [("progic-tiny", 13, 17), ("progic-small", 5, 6), ("progic-base", 7, 11)]
)
def test_reach_of_the_bundled_configs(name: str, encoder: int, decoder: int) -> None:
    config = load_progic_config(name)
    assert (encoder_reach(config), decoder_reach(config)) == (encoder, decoder)


# Parameters (with modulation, without codebooks), multiply-accumulates per pixel in encoder and decoder, of codebooks.
@pytest.mark.parametrize(
    ("name", "parameters", "encoder", "decoder", "codebooks"),
    [
        ("progic-tiny", 6_049_687, 10_128, 37_537, 2_744),
        ("progic-small", 14_596_800, 54_973, 83_698, 5_120),
        ("progic-base", 33_222_784, 146_608, 278_725, 5_120),
    ],
)
def test_sizes_of_the_bundled_configs(name: str, parameters: int, encoder: int, decoder: int, codebooks: int) -> None:
    config = load_progic_config(name)
    with torch.device("meta"):
        model = Progic(config)
        picture, latent = torch.empty(1, 3, 256, 256), torch.empty(1, config.channels, 16, 16)
        work: list[int] = []
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda conv, _, out: work.append(out.numel() * conv.weight[0].numel()))
        model.encoder(picture)
        assert round(sum(work) / 256**2) == encoder
        work.clear()
        model.decoder(model.decoder_input(latent), model.used(config.stages))
    assert round(sum(work) / 256**2) == decoder
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.quantizer.codebooks.numel() // 256 == codebooks


def test_configs_are_read_strictly() -> None:
    with pytest.raises(TypeError):
        ProgicConfig.from_json({"width": 3})
    for wrong in ({"encoder_widths": [8]}, {"decoder_depths": [1, 1]}, {"dense": False}):
        with pytest.raises(ValueError, match="resolutions"):
            ProgicConfig.from_json(wrong)
    for config, noise in ((DENSE, -1), (LIGHT, 4)):
        with pytest.raises(ValueError, match="noise"):
            replace(config, noise=noise)
    for wrong in ({"stages": 0}, {"entries": 1}):
        with pytest.raises(ValueError, match="at least one codebook"):
            ProgicConfig.from_json(wrong)
    with pytest.raises(ValueError, match="latent"):
        replace(LIGHT, channels=16)
