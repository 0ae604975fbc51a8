"""Tiles through the lossless prior: all comes back, for any content, depth and batch; damage stays in its tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.codecs.pixeltiles import PixelCoder
from arpc_codec.exact.pixelstate import export_pixel
from arpc_codec.prior.features import PixelConfig
from arpc_codec.prior.pixel import PixelPrior


def coder(channels: int) -> PixelCoder:
    torch.manual_seed(0)
    prior = PixelPrior(PixelConfig(channels, width=8, depth=1, head=8, mixtures=2)).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return PixelCoder(prior.config, export_pixel(prior))


CODERS = {channels: coder(channels) for channels in (1, 3)}


def content(rng: np.random.Generator, kind: str, shape: tuple[int, ...], bits: int) -> np.ndarray:
    top = 1 << bits
    if kind == "noise":
        return rng.integers(0, top, shape)
    if kind == "flat":
        return np.full(shape, int(rng.integers(top)))
    if kind == "edges":
        return np.where(rng.random(shape) < 0.1, top - 1, 0)
    ramp = np.add.outer(np.arange(shape[1]), np.arange(shape[2]))[None, :, :, None] * (top // 40 + 1)
    return (ramp + rng.integers(0, max(2, top // 50), shape)) % top


@given(
    st.integers(0, 2**32),
    st.sampled_from(["noise", "flat", "edges", "ramp"]),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 2, 8, 12, 16]),
    st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 9)),
)
@settings(max_examples=25)
def test_round_trip(seed: int, kind: str, channels: int, bits: int, shape: tuple[int, int, int]) -> None:
    tiles = content(np.random.default_rng(seed), kind, (*shape, channels), bits)
    streams = CODERS[channels].encode(tiles, bits)
    decoded, broken = CODERS[channels].decode(streams, shape[1:], bits)
    assert not broken
    assert np.array_equal(decoded, tiles)


def test_a_tile_does_not_depend_on_its_company() -> None:
    tiles = content(np.random.default_rng(1), "ramp", (3, 9, 11, 3), 8)
    together = CODERS[3].encode(tiles, 8)
    assert [CODERS[3].encode(tile[None], 8)[0] for tile in tiles] == together


def test_damage_stays_in_its_tile() -> None:
    tiles = content(np.random.default_rng(2), "ramp", (3, 9, 11, 3), 8)
    streams = CODERS[3].encode(tiles, 8)
    streams[1] = bytes(b ^ 0x5A for b in streams[1])
    decoded, _ = CODERS[3].decode(streams, (9, 11), 8)
    assert np.array_equal(decoded[[0, 2]], tiles[[0, 2]])
    assert not np.array_equal(decoded[1], tiles[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_smooth_pictures_shrink(channels: int) -> None:
    rows, columns = np.mgrid[:24, :32]
    plane = (100 + 50 * np.sin(rows / 5) + 40 * np.cos(columns / 7)).round().astype(int)
    tiles = np.repeat(plane[None, :, :, None], channels, 3)
    assert len(CODERS[channels].encode(tiles, 8)[0]) < 0.6 * tiles.size
