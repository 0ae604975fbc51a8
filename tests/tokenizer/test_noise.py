"""Noise beside a latent: the same everywhere, and without effect where a model has none."""

import pytest
import torch

from arpc_codec.errors import ModelError
from arpc_codec.tokenizer import Tokenizer, TokenizerConfig
from arpc_codec.tokenizer.noise import cell_noise, with_noise
from arpc_codec.train.weights import add_noise


def test_these_values_on_every_machine() -> None:
    noise = cell_noise(2, 3, 5)
    assert noise.shape == (2, 3, 5)
    assert (noise.flatten()[:5] * 2**15).int().tolist() == [22683, -30492, 14948, -32012, 17842]
    assert noise.min() >= -1
    assert noise.max() < 1
    many = cell_noise(16, 40, 40)
    assert abs(many.mean()) < 0.02
    assert abs(many.var() - 1 / 3) < 0.01


def test_batches_differ_unless_it_is_seed_zero() -> None:
    z = torch.zeros(2, 4, 3, 3)
    same, other = with_noise(z, 8), with_noise(z, 8, seed=7)
    assert same.shape == (2, 12, 3, 3)
    assert torch.equal(same[0], same[1])
    assert not torch.equal(other[0], other[1])
    assert torch.equal(other[:, :4], z)
    assert with_noise(z, 0) is z


@pytest.mark.parametrize("config", [{"noise": -1}, {"noise": 4, "network": "pyramid"}])
def test_configs_that_cannot_have_it(config: dict) -> None:
    with pytest.raises(ModelError, match="noise"):
        TokenizerConfig(**config)


def test_weights_without_noise_give_the_same_picture_where_noise_is_silent() -> None:
    plain, noisy = Tokenizer(TokenizerConfig()), Tokenizer(TokenizerConfig(noise=3))
    # Zeros at first: then nothing but the linear path would be compared.
    torch.nn.init.normal_(plain.decoder.out.weight)
    noisy.load_state_dict(add_noise(plain.state_dict(), noisy))
    z, state = torch.randn(1, 16, 4, 4), plain.state(0, False)
    silent = torch.cat([z, torch.zeros(1, 3, 4, 4)], 1)
    assert torch.allclose(noisy.decoder(silent, state), plain.decoder(plain.decoder_input(z), state), atol=1e-5)
    assert not torch.allclose(noisy.decoder(noisy.decoder_input(z), state), noisy.decoder(silent, state), atol=1e-3)
    again = add_noise(noisy.state_dict(), noisy)
    assert all(torch.equal(tensor, noisy.state_dict()[name]) for name, tensor in again.items())
