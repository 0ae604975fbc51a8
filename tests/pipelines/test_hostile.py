"""Cut and corrupted files: a picture or one clear error, never anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from arpc_codec.codecs.filling import Filling
from arpc_codec.container import read
from arpc_codec.errors import ArpcError, FormatError

if TYPE_CHECKING:
    from arpc_codec.loading import LossyCodec

# What a corrupted header may claim here; the command line's default is 2^29.
MAX_PIXELS = 1 << 18

Picture = Callable[..., np.ndarray]


@pytest.fixture(params=["micro", "micro_planes", "micro_progic", "micro_float"])
def codec(request: pytest.FixtureRequest) -> LossyCodec:
    """Every lossy codec, with a very small model, and one with guard lists."""
    return request.getfixturevalue(request.param)


def corrupt(data: bytes, rng: np.random.Generator) -> bytes:
    """One of: flipped bits, replaced bytes, a removed, repeated or inserted piece."""
    damaged = bytearray(data)
    kind = int(rng.integers(5))
    at = int(rng.integers(len(damaged)))
    size = int(rng.integers(1, 9))
    if kind == 0:
        for _ in range(size):
            damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        damaged[at : at + size] = rng.bytes(len(damaged[at : at + size]))
    elif kind == 2:
        del damaged[at : at + size]
    elif kind == 3:
        damaged[at:at] = damaged[at : at + size]
    else:
        damaged[at:at] = rng.bytes(size)
    return bytes(damaged)


def survives(codec: LossyCodec, data: bytes) -> bool:
    """True when the file gives a picture of the size it claims, False when it is refused."""
    try:
        container = read(data, max_pixels=MAX_PIXELS)
        pixels = codec.decode(container, filling=Filling("none")).pixels
    except ArpcError:
        return False
    assert pixels.shape == (container.header.height, container.header.width, 3)
    return True


def test_every_prefix_decodes_or_is_refused(codec: LossyCodec, picture: Picture) -> None:
    data = codec.encode(picture(48, 64), caption="x").data
    first = next(n for n in range(len(data)) if survives(codec, data[:n]))
    for length in range(len(data)):
        try:
            container = read(data[:length])
        except FormatError:
            assert length < first
            continue
        assert container.truncated
        assert survives(codec, data[:length]) == (length >= first)


def run_corruptions(codec: LossyCodec, data: bytes, count: int, seed: int) -> int:
    rng = np.random.default_rng(seed)
    return sum(survives(codec, corrupt(data, rng)) for _ in range(count))


@pytest.mark.parametrize("count", [80, pytest.param(300, marks=pytest.mark.thorough)])
def test_corruptions_are_survived_or_refused(count: int, codec: LossyCodec, picture: Picture) -> None:
    data = codec.encode(picture(48, 64)).data
    assert 0 < run_corruptions(codec, data, count, 0) < count


@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("name", ["micro", "micro_planes"])
def test_corrupted_tiles_are_survived_or_refused(
    count: int, name: str, picture: Picture, request: pytest.FixtureRequest
) -> None:
    codec: LossyCodec = request.getfixturevalue(name)
    data = codec.encode(picture(16, 960), scales=3).data
    assert read(data).header.tiled
    assert 0 < run_corruptions(codec, data, count, 0) < count


@pytest.mark.slow
def test_ten_thousand_corruptions(codec: LossyCodec, picture: Picture) -> None:
    data = codec.encode(picture(64, 96), caption="a caption").data
    assert 0 < run_corruptions(codec, data, 10_000, 1) < 10_000
