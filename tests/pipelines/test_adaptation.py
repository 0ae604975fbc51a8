"""Adapters: a few steps on a picture make it cheaper, and what travels gives the very state that was fitted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from arpc_codec.codecs.adaptation import fit
from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.errors import FormatError
from arpc_codec.exact.grid import State
from arpc_codec.exact.pixelstate import export_pixel, import_pixel
from arpc_codec.prior.adapter import Adapter, adapted, layers, read_adapter, shapes, write_adapter
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.lowrank import layer
from arpc_codec.prior.pixel import PixelPrior


def state_of(channels: int) -> tuple[PixelConfig, State]:
    torch.manual_seed(0)
    config = PixelConfig(channels, width=16, depth=1, head=12, mixtures=3)
    prior = PixelPrior(config).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return config, export_pixel(prior)


def low_rank(adapter: Adapter, name: str) -> torch.Tensor:
    return torch.from_numpy(adapter[f"{name}.b"].astype(np.float32) @ adapter[f"{name}.a"].astype(np.float32))


@pytest.mark.parametrize("channels", [1, 3])
def test_integer_state_and_float_prior_are_the_same_network(channels: int) -> None:
    config, state = state_of(channels)
    again = export_pixel(import_pixel(config, state).double())
    for name in layers(config):
        whole = [
            part[f"{name}.weight"] * 2.0 ** -part[f"{name}.exponent"].astype(float)[:, None] for part in (state, again)
        ]
        assert np.array_equal(*whole)


@pytest.mark.parametrize("channels", [1, 3])
def test_adapted_is_smaller_and_travels(channels: int) -> None:
    config, state = state_of(channels)
    noise = np.random.default_rng(0).integers(0, 3, (1, 64, 64, channels))
    tile = (np.add.outer(np.arange(64), np.arange(64))[None, ..., None] + noise).astype(np.int32)
    before = torch.random.get_rng_state()
    adapter = fit(config, state, tile, 8, tile.size, steps=15)
    assert torch.equal(before, torch.random.get_rng_state())
    data = write_adapter(adapter)
    back = adapted(state, read_adapter(data, config, state))
    own = adapted(state, adapter)
    assert all(np.array_equal(back[name], own[name]) for name in state)
    sizes = [len(PixelCoder(config, s).encode(tile, 8)[0]) for s in (state, back)]
    assert sizes[1] < sizes[0]


def test_the_float_network_that_was_fitted_is_the_one_that_codes(picture: Callable[..., np.ndarray]) -> None:
    config, state = state_of(1)
    adapter = fit(config, state, picture(16, 16, 3)[None, ..., :1].astype(np.int32), 8, 1_000_000, steps=9)
    assert all(part.any() for name, part in adapter.items() if name.endswith((".b", ".bias", ".taps")))
    changed, plain = import_pixel(config, adapted(state, adapter)), import_pixel(config, state)
    for name in layers(config):
        wanted = layer(plain, name).weight + low_rank(adapter, name) * 2.0**-8
        assert torch.allclose(layer(changed, name).weight, wanted, atol=2e-4)
        wanted = layer(plain, name).bias + torch.from_numpy(adapter[f"{name}.bias"] * np.float32(2.0**-5))
        assert torch.allclose(layer(changed, name).bias, wanted, atol=1e-5)
    taps = torch.from_numpy(adapter["blocks.0.taps"] * np.float32(2.0**-5))
    for new, old in zip(changed.blocks, plain.blocks, strict=True):
        assert torch.allclose(new.gating.taps, old.gating.taps + taps, atol=1e-5)


def test_rows_that_a_change_makes_too_large_are_halved() -> None:
    config, state = state_of(3)
    adapter = {part: np.full(shape, 127, np.int8) for part, shape in shapes(config, state).items()}
    changed, plain = import_pixel(config, adapted(state, adapter)), import_pixel(config, state)
    for name in layers(config):
        wanted = layer(plain, name).weight + 2 * 127**2 * 2.0**-8
        assert torch.allclose(layer(changed, name).weight, wanted, rtol=2.0**-14)


def test_cut_adapter() -> None:
    config, state = state_of(1)
    with pytest.raises(FormatError):
        read_adapter(b"\1", config, state)


def test_threads_that_adapt_at_once_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a generator of a GPU touched, which is the caller's."""

    def refuse(seed: int) -> None:
        raise AssertionError("not ours")

    config, state = state_of(1)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    tile = np.random.default_rng(0).integers(0, 9, (1, 128, 128, 1)).astype(np.int32)

    def adapter(_: int) -> bytes:
        return write_adapter(fit(config, state, tile, 8, tile.size, steps=6))

    alone = adapter(0)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(adapter, range(8))) == {alone}
