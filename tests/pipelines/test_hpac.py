"""The lossless codec: pictures with their metadata, damage and cuts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.container import Codec, Container, Header, LosslessMode, read
from arpc_codec.errors import ArpcError, FormatError, ModelError, UsageError
from arpc_codec.imageio import ExactPicture

METADATA = st.none() | st.binary(min_size=1, max_size=30)


@st.composite
def pictures(draw: st.DrawFn) -> ExactPicture:
    """Any shape up to two tiles a side, any depth; noise, few values or a smooth field."""
    shape = draw(st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    rng, top = np.random.default_rng(draw(st.integers(0, 2**32))), int(np.iinfo(dtype).max)
    kind = draw(st.sampled_from(["noise", "few", "smooth"]))
    if kind == "smooth":
        slope = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))[..., None] * rng.integers(0, top // 40)
        samples = slope + rng.integers(0, 4, shape)
    else:
        samples = rng.choice(rng.integers(0, top + 1, 300 if kind == "noise" else 3), shape)
    return ExactPicture(samples.astype(dtype), draw(METADATA), draw(METADATA), draw(METADATA))


def check_round_trip(codec: HpacCodec, picture: ExactPicture, caption: str) -> None:
    data = codec.encode(picture, caption=caption)
    assert data == codec.encode(picture, caption=caption)
    container = read(data)
    assert container.sound
    assert container.header.caption == caption
    decoded = codec.decode(container)
    assert decoded.picture == picture
    assert (decoded.damage, decoded.cut) == ("", "")


@settings(max_examples=12)
@given(picture=pictures(), caption=st.text(max_size=20))
def test_every_picture_comes_back(micro_lossless: HpacCodec, picture: ExactPicture, caption: str) -> None:
    check_round_trip(micro_lossless, picture, caption)


@pytest.mark.slow
@settings(max_examples=2000)
@given(picture=pictures(), caption=st.text(max_size=20))
def test_two_thousand_pictures_come_back(micro_lossless: HpacCodec, picture: ExactPicture, caption: str) -> None:
    check_round_trip(micro_lossless, picture, caption)


@pytest.fixture(scope="module")
def original(picture: Callable[..., np.ndarray]) -> ExactPicture:
    """Three tiles; small enough that every byte of its file can be tried."""
    return ExactPicture(np.ascontiguousarray(picture(3, 34)[..., :1]) // 8, icc=b"profile")


@pytest.fixture(scope="module")
def file(micro_lossless: HpacCodec, original: ExactPicture) -> bytes:
    return micro_lossless.encode(original, caption="x")


def test_every_changed_byte_is_noticed(micro_lossless: HpacCodec, original: ExactPicture, file: bytes) -> None:
    kinds = set()
    for at in range(len(file)):
        data = bytearray(file)
        data[at] ^= 1 << at % 8
        try:
            container = read(bytes(data))
            decoded = micro_lossless.decode(container)
        except ArpcError:
            kinds.add("refused")
            continue
        assert decoded.damage or decoded.cut
        # A length of metadata that is too large looks like a cut; the picture is not in doubt.
        if not decoded.damage:
            assert container.truncated
            assert not decoded.missing
            assert np.array_equal(decoded.picture.samples, original.samples)
            continue
        kinds.add("tiles" if decoded.damaged else "rest")
        good = np.ones(original.samples.shape[:2], bool)
        for tile in (*decoded.damaged, *decoded.missing):
            good[tile.window] = False
            assert not decoded.picture.samples[tile.window].any()
        assert good.any()
        assert np.array_equal(decoded.picture.samples[good], original.samples[good])
    assert kinds == {"refused", "tiles", "rest"}


def test_every_cut_gives_the_tiles_that_arrived(micro_lossless: HpacCodec, original: ExactPicture, file: bytes) -> None:
    there = set()
    for size in range(len(file)):
        try:
            container = read(file[:size])
            decoded = micro_lossless.decode(container)
        except FormatError:
            assert not there
            continue
        assert container.truncated
        assert decoded.cut
        assert not decoded.damage
        there.add(len(decoded.missing))
        for tile in decoded.missing:
            assert not decoded.picture.samples[tile.window].any()
        if not decoded.missing:
            assert np.array_equal(decoded.picture.samples, original.samples)
    assert there == {0, 1, 2}


def test_what_is_no_lossless_file_of_this_model(micro_lossless: HpacCodec) -> None:
    lossy = Container(Header(Codec.ARPC, 101, 8, 8, 1), (b"x",))
    with pytest.raises(UsageError, match="arpc"):
        micro_lossless.decode(lossy)
    other = Container(Header(Codec.HPAC, 7, 8, 8, 1, lossless=LosslessMode()), (b"x",))
    with pytest.raises(ModelError, match="model id 7"):
        micro_lossless.decode(other)


@pytest.mark.parametrize("tile", [16, 1 << 16])
def test_a_huge_claim_in_a_small_file_is_cheap(micro_lossless: HpacCodec, file: bytes, tile: int) -> None:
    header = Header(Codec.HPAC, 101, 1 << 14, 1 << 14, 1, lossless=LosslessMode(16, True, tile))
    tracemalloc.start()
    with pytest.raises(FormatError, match="no tile"):
        micro_lossless.decode(Container(header, (read(file).segments[0][:8],)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_progress_ends_at_all_tiles(micro_lossless: HpacCodec, original: ExactPicture) -> None:
    seen: list[tuple[int, int]] = []
    data = micro_lossless.encode(original, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (3, 3)
    seen.clear()
    micro_lossless.decode(read(data), progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (3, 3)
